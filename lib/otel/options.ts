/**
 * What `traceCoalescing` is called with.
 *
 * Invariant: a wrong argument throws at once, and says what it is, what it must be, and what it is instead.
 */
import type { TraceOptions, TracingApi } from '../../types/tracing.js'
import { InvalidOptionError } from '../errors.js'

const NAMES: ReadonlySet<string> = new Set<keyof TraceOptions>(['links', 'waits'])

/** @throws FST_COALESCE_INVALID_OPTION */
export function checkApi (api: TracingApi): void {
  const { trace, context, diag } = (api ?? {}) as { [Name in keyof TracingApi]?: Partial<Record<string, unknown>> }
  const used = [trace?.getTracer, trace?.getSpan, trace?.isSpanContextValid, context?.active, diag?.error]
  if (used.some(method => typeof method !== 'function')) throw new InvalidOptionError('traceCoalescing api', "what @opentelemetry/api exports: import * as api from '@opentelemetry/api'", textOf(api))
}

/** @throws FST_COALESCE_INVALID_OPTION */
export function readTraceOptions (options: TraceOptions): Required<TraceOptions> {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) throw new InvalidOptionError('traceCoalescing options', 'an object', textOf(options))
  for (const [name, value] of Object.entries(options)) {
    if (!NAMES.has(name)) throw new InvalidOptionError('traceCoalescing options', 'made of links and waits', textOf(name))
    if (value !== undefined && typeof value !== 'boolean') throw new InvalidOptionError(`traceCoalescing options.${name}`, 'true or false', textOf(value))
  }
  const { links = true, waits = true } = options
  return Object.freeze({ links, waits })
}

function textOf (value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  return typeof value === 'object' && value !== null ? Array.isArray(value) ? 'an array' : 'an object' : String(value)
}
