/**
 * Decides whether a response is cached, and for how long: by the route's options, within the limits that the response sets.
 *
 * Invariant: pure except for the jitter. A response with `private`, `no-store`, `no-cache` or Set-Cookie, or an expired one, is
 * never cached. A response is never served stale for longer than it allows. No option makes a 5xx be served stale.
 */
import { isFailure } from './failure.js'
import { trimmed, parseHttpDate } from './conditional.js'
import { combined } from './fields.js'
import { ageOf, freshnessOf, mayServeStale, restrictsKeeping, type FreshnessReason, type KeepReason } from './freshness.js'
import type { Headers } from './headers.js'

export interface KeepSettings {
  readonly ttl: unknown
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  readonly ttlJitter: number
  readonly negativeTtl: ReadonlyMap<number, number | 'headers'>
  readonly maxEntryBytes: number
}

/** A response that may be shared. */
export interface Keepable {
  readonly status: number
  readonly headers: Headers
  readonly failed: boolean
  readonly bytes: number
  readonly requestedAt: number
  readonly respondedAt: number
}

export type PlanReason = KeepReason | FreshnessReason | 'error' | 'entry-too-large' | 'no-ttl'

export interface Plan {
  readonly reason?: undefined
  /** The age of the response when it came, in milliseconds. */
  readonly age: number
  /** When the response was made, in milliseconds since 1970. */
  readonly date: number
  readonly durations: { readonly freshFor: number, readonly staleWhileRevalidate: number, readonly staleIfError: number }
  /** How long the response is stored, in milliseconds. */
  readonly keepFor: number
}

/** How much longer a response with validators is stored, so that it can be revalidated; in milliseconds. */
const VALIDATE_FOR = 60_000

/**
 * Returns the plan for caching a response, or the reason why it is not cached.
 *
 * @param ttlOf returns the `ttl` of the route for this response: milliseconds, `'headers'`, or undefined for none
 */
export function planKeeping (response: Keepable, settings: KeepSettings, ttlOf: () => number | 'headers' | undefined): Plan | { readonly reason: PlanReason } {
  const { status, headers, respondedAt } = response
  if (response.bytes > settings.maxEntryBytes) return { reason: 'entry-too-large' }
  const isError = status >= 400 || response.failed
  const ttl = isError ? settings.negativeTtl.get(status) : ttlOf()
  if (ttl === undefined) return { reason: isError ? 'error' : 'no-ttl' }
  const freshness = ttl === 'headers'
    ? freshnessOf(response)
    : restrictsKeeping(headers, respondedAt) ?? {
      lifetime: ttl, age: 0, mayServeStale: mayServeStale(headers), staleWhileRevalidate: undefined, staleIfError: undefined
    }
  if (typeof freshness === 'string') return { reason: freshness }
  const lifetime = freshness.lifetime * (1 - settings.ttlJitter * Math.random())
  const fresh = lifetime - freshness.age
  const usedUp = Math.max(-fresh, 0)
  // A cached 5xx is not served stale by an option: it would hide that the error is over.
  const optional = (option: number): number => isFailure(status) ? 0 : option
  const stale = (own: number | undefined, option: number): number =>
    freshness.mayServeStale ? Math.max((own ?? optional(option)) - usedUp, 0) : 0
  const durations = {
    freshFor: Math.max(fresh, 0),
    staleWhileRevalidate: stale(freshness.staleWhileRevalidate, settings.staleWhileRevalidate),
    staleIfError: stale(freshness.staleIfError, settings.staleIfError)
  }
  const use = durations.freshFor + Math.max(durations.staleWhileRevalidate, durations.staleIfError)
  if (use === 0) return { reason: 'expired' }
  const validates = headers.etag !== undefined || headers['last-modified'] !== undefined
  return {
    age: ageOf(response),
    date: parseHttpDate(trimmed(combined(headers.date)), respondedAt) ?? respondedAt,
    durations,
    keepFor: use + (validates ? Math.max(VALIDATE_FOR, durations.freshFor) : 0)
  }
}
