/**
 * Whether a response says that it can be kept, for how long, and how old it is already (RFC 9111 sections 3 and 4.2).
 *
 * Invariant: pure, never throws. Durations are in milliseconds, moments in milliseconds since 1970. Nothing is guessed: a
 * response that does not say how long it is fresh is not. Where dates are wrong or missing, the reading that keeps less counts.
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
  /** How long it is fresh, counted from when it was made (RFC 9111 section 4.2.1). Used up at 0. */
  readonly lifetime: number
  /** How old it was at `respondedAt` (section 4.2.3). */
  readonly age: number
  /** False: once it is not fresh any more it must not be served, whatever options say (section 4.2.4). */
  readonly mayServeStale: boolean
  /** How long past its lifetime it may be served while it is asked for anew (RFC 5861 section 3); undefined where that is not said. */
  readonly staleWhileRevalidate: number | undefined
  /** How long past its lifetime it may be served in the place of an error (RFC 5861 section 4); undefined where that is not said. */
  readonly staleIfError: number | undefined
}

/** What no option of a route overrides. `expired`: it says of itself that it is not fresh, such as `max-age=0`. */
export type KeepReason = Restriction | 'set-cookie' | 'no-cache' | 'expired'

/** `status`: it answers one request only, or must be understood and is not. `no-freshness`: it does not say how long it is fresh. */
export type FreshnessReason = Exclude<KeepReason, 'expired'> | 'status' | 'no-freshness'

/** For how long a response that is to be obeyed says that it can be kept; or the reason why it does not say that it can. */
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

/** Why a response is not to be kept although the route says for how long; undefined if it may be. */
export function restrictsKeeping (headers: Headers, respondedAt: number): KeepReason | undefined {
  const directives = responseDirectives(headers)
  return forbids(directives, headers) ?? (lifetimeOf(directives, headers, respondedAt) === 0 ? 'expired' : undefined)
}

/** Whether a response that is kept may be served once it is not fresh any more (RFC 9111 section 4.2.4). */
export function mayServeStale (headers: Headers): boolean {
  return !responseDirectives(headers).mustRevalidate
}

/** Whether the response to a request with Authorization may be kept for others than who asked (RFC 9111 section 3.5). */
export function permitsAuthorization (headers: Headers): boolean {
  return responseDirectives(headers).permitsAuthorization
}

/** RFC 9111 section 4.2.3: corrected_initial_age. */
export function ageOf ({ headers, requestedAt, respondedAt }: Omit<Received, 'status'>): number {
  const apparent = respondedAt - dateOf(headers, respondedAt)
  const corrected = ageValue(headers) + Math.max(0, respondedAt - requestedAt)
  return Math.max(0, apparent, corrected)
}

/** RFC 9110 section 15, without what answers one request only. */
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
  // Section 5.3: what is not a date has expired.
  const expires = lines(headers.expires).map(line => parseHttpDate(trimmed(line), respondedAt) ?? -Infinity)
  return expires.length === 0 ? undefined : bounded(Math.min(...expires) - dateOf(headers, respondedAt))
}

/** When it was made, as far as can be told (RFC 9110 section 6.6.1). */
function dateOf (headers: Headers, respondedAt: number): number {
  return parseHttpDate(trimmed(combined(headers.date)), respondedAt) ?? respondedAt
}

/** RFC 9111 section 5.1: of a list the first member counts, and what is not well formed is as if it was not there. */
function ageValue (headers: Headers): number {
  return parseDeltaSeconds(combined(headers.age).split(',').map(trimmed).find(member => member !== '')) ?? 0
}
