/**
 * Whether a run has failed, so far as it tells something of what is behind it.
 *
 * Invariant: nothing is thrown, whatever was thrown by the run and whatever `isFailure` does.
 */
import type { BreakerOptions } from '../../types/index.js'
import type { RunEnd } from './permits.js'

export interface FailureSettings {
  /** A run that takes longer has failed, in milliseconds. */
  readonly slow: number
  readonly isFailure: BreakerOptions['isFailure']
}

/** They tell nothing: protection further inside let nothing be asked, or the run was ended because nobody waited. */
const NEUTRAL: ReadonlySet<unknown> = new Set([
  'FST_COALESCE_QUEUE_FULL', 'FST_COALESCE_QUEUE_TIMEOUT', 'FST_COALESCE_BREAKER_OPEN', 'FST_COALESCE_NOBODY_WAITS'
])

/** @returns undefined if it tells nothing. Who did well, or is said to have, but was slow, has failed. */
export function hasFailed (end: RunEnd, duration: number, { slow, isFailure }: FailureSettings): boolean | undefined {
  if (end === undefined) return undefined
  const failed = isFailure === undefined ? byDefault(end) : byUser(end, duration, isFailure)
  return failed === false ? duration > slow : failed
}

function byUser (end: NonNullable<RunEnd>, duration: number, isFailure: NonNullable<FailureSettings['isFailure']>): boolean | undefined {
  try {
    const said: unknown = isFailure({ status: end.status, error: end.error, duration })
    if (said === undefined || typeof said === 'boolean') return said
  } catch {}
  return byDefault(end)
}

/** A status says what an app made of an error. A run that was cut off or ran out of time has none. */
function byDefault ({ status, error }: NonNullable<RunEnd>): boolean | undefined {
  if (error === undefined) return status !== undefined && status >= 500
  const { code, statusCode } = factsOf(error)
  if (NEUTRAL.has(code)) return undefined
  if (status !== undefined) return status >= 500
  return !(typeof statusCode === 'number' && statusCode >= 400 && statusCode <= 499)
}

function factsOf (error: unknown): { code?: unknown, statusCode?: unknown } {
  try {
    const { code, statusCode } = error as { code?: unknown, statusCode?: unknown }
    return { code, statusCode }
  } catch {
    return {}
  }
}
