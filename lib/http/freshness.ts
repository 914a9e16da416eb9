/**
 * Whether a response says that it may be cached, for how long, and how old it is already (RFC 9111 sections 3 and 4.2).
 *
 * Invariant: pure, never throws. Durations are in milliseconds, moments in milliseconds since 1970. There is no heuristic freshness:
 * a response that does not say how long it is fresh is not cached. Wrong or missing dates are read in the way that caches shorter.
 */
import type { Restriction } from './cache-control.js'
import { parseHttpDate, trimmed } from './conditional.js'
import { bounded, parseDeltaSeconds } from './delta-seconds.js'
import { combined, lines } from './fields.js'
import type { Headers } from './headers.js'
import { answersOneOnly } from './policy.js'
import { responseDirectives, type ResponseDirectives } from './response-directives.js'

/** A response on its way into the cache. Header names are in lower case. */
export interface Received {
  readonly status: number
  readonly headers: Headers
  /** When the run that brought it began. */
  readonly requestedAt: number
  /** When its headers were there. */
  readonly respondedAt: number
}

export interface Freshness {
  /** How long it is fresh, counted from when it was made (RFC 9111 section 4.2.1). */
  readonly lifetime: number
  /** How old it was at `respondedAt` (section 4.2.3). */
  readonly age: number
  /** Whether it may be served once it is stale. If not, options do not change that (section 4.2.4). */
  readonly mayServeStale: boolean
  /** How long past its lifetime it may be served while it is refreshed (RFC 5861 section 3); undefined if it does not say. */
  readonly staleWhileRevalidate: number | undefined
  /** How long past its lifetime it may be served in the place of an error (RFC 5861 section 4); undefined if it does not say. */
  readonly staleIfError: number | undefined
}

/** Why a response is not cached, whatever the route's options. `expired`: it says that it is not fresh, as with `max-age=0`. */
export type KeepReason = Restriction | 'set-cookie' | 'no-cache' | 'expired'

/** `status`: it answers one request only, or has `must-understand` and a status that is not. `no-freshness`: it gives no lifetime. */
export type FreshnessReason = Exclude<KeepReason, 'expired'> | 'status' | 'no-freshness'

/** How long a response may be cached by its own headers (`ttl: 'headers'`); or the reason why it may not be. */
export function freshnessOf (response: Received): Freshness | FreshnessReason {
  const { status, headers, respondedAt } = response
  const directives = responseDirectives(headers)
  if (status < 200 || answersOneOnly(status) || (directives.mustUnderstand && !UNDERSTOOD.has(status))) return 'status'
  const reason = forbids(directives, headers)
  if (reason !== undefined) return reason
  const lifetime = lifetimeOf(directives, headers, respondedAt)
  if (lifetime === undefined) return 'no-freshness'
  const mayServeStale = !directives.mustRevalidate
  return {
    lifetime,
    age: ageOf(response),
    mayServeStale,
    staleWhileRevalidate: mayServeStale ? directives.staleWhileRevalidate : undefined,
    staleIfError: mayServeStale ? directives.staleIfError : undefined
  }
}

/** Why a response must not be cached although the route gives a `ttl`; undefined if it may be. */
export function restrictsKeeping (headers: Headers, respondedAt: number): KeepReason | undefined {
  const directives = responseDirectives(headers)
  return forbids(directives, headers) ?? (lifetimeOf(directives, headers, respondedAt) === 0 ? 'expired' : undefined)
}

/** Whether a cached response may be served once it is stale (RFC 9111 section 4.2.4). */
export function mayServeStale (headers: Headers): boolean {
  return !responseDirectives(headers).mustRevalidate
}

/** Whether the response to a request with Authorization may be cached for other clients (RFC 9111 section 3.5). */
export function permitsAuthorization (headers: Headers): boolean {
  return responseDirectives(headers).permitsAuthorization
}

/** RFC 9111 section 4.2.3: corrected_initial_age. */
export function ageOf ({ headers, requestedAt, respondedAt }: Omit<Received, 'status'>): number {
  const apparent = respondedAt - dateOf(headers, respondedAt)
  const corrected = ageValue(headers) + Math.max(0, respondedAt - requestedAt)
  return Math.max(0, apparent, corrected)
}

/** The final status codes of RFC 9110 section 15, without those that answer one request only. */
const UNDERSTOOD = new Set([
  200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 413, 414, 415,
  417, 421, 422, 426, 500, 501, 502, 503, 504, 505
])

function forbids (directives: ResponseDirectives, headers: Headers): Exclude<KeepReason, 'expired'> | undefined {
  if (headers['set-cookie'] !== undefined) return 'set-cookie'
  return directives.restriction ?? (directives.noCache ? 'no-cache' : undefined)
}

/** RFC 9111 section 4.2.1, as a shared cache. */
function lifetimeOf (directives: ResponseDirectives, headers: Headers, respondedAt: number): number | undefined {
  if (directives.lifetime !== undefined || directives.targeted || headers.expires === undefined) return directives.lifetime
  // Section 5.3: a response whose Expires is not a date has expired.
  const expires = lines(headers.expires).map(line => parseHttpDate(trimmed(line), respondedAt) ?? -Infinity)
  return expires.length === 0 ? undefined : bounded(Math.min(...expires) - dateOf(headers, respondedAt))
}

/** When it was made: its Date (RFC 9110 section 6.6.1), or else when it came. */
function dateOf (headers: Headers, respondedAt: number): number {
  return parseHttpDate(trimmed(combined(headers.date)), respondedAt) ?? respondedAt
}

/** RFC 9111 section 5.1: the first member of a list counts, and a value that is not well formed is ignored. */
function ageValue (headers: Headers): number {
  return parseDeltaSeconds(combined(headers.age).split(',').map(trimmed).find(member => member !== '')) ?? 0
}
