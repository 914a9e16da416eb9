/**
 * The span that a request, or the caller of a function, has already.
 *
 * Invariant: it is looked for in the request's own asynchronous context only, and made by nobody here.
 */
import type { TracingApi, TracingContext, TracingSpan } from '../../types/tracing.js'

export interface Own {
  /** Undefined: it is not traced. */
  readonly span: TracingSpan | undefined
  /** What spans of its waits are children of. */
  readonly context: TracingContext
  /** It is the span of @fastify/otel, which ends it when the response is sent, and never if none is. */
  readonly endsWithResponse: boolean
}

/** What @fastify/otel decorates requests with. */
interface Decorated {
  opentelemetry? (): { readonly span?: TracingSpan | null, readonly context?: TracingContext | null }
}

export function spanOf (request: object | undefined, api: TracingApi): Own {
  const { span, context } = (request as Decorated | undefined)?.opentelemetry?.() ?? {}
  if (span && context) return { span, context, endsWithResponse: true }
  const active = api.context.active()
  return { span: api.trace.getSpan(active), context: active, endsWithResponse: false }
}
