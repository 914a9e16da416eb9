/**
 * Parses the Cache-Control of a request (RFC 9111 section 5.2.1), for routes that respect it, and decides whether a cached response
 * satisfies it.
 *
 * Invariant: pure, never throws. Durations are in milliseconds. If a directive is repeated or malformed, the strictest reading counts:
 * the one that accepts the fewest cached responses.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { cacheDirectives } from './cache-control.js'
import { parseDeltaSeconds } from './delta-seconds.js'

export interface RequestDirectives {
  /** A cached response must be revalidated before it is served (section 5.2.1.4). */
  readonly noCache: boolean
  /** The response to this request must not be cached (section 5.2.1.5). A response that is already cached may be served. */
  readonly noStore: boolean
  /** The request gets a cached response or 504; the handler does not run (section 5.2.1.7). */
  readonly onlyIfCached: boolean
  /** The greatest age of a response that the request accepts (section 5.2.1.1). Here and below, undefined means: no such directive. */
  readonly maxAge: number | undefined
  /** How much longer the response must stay fresh (section 5.2.1.3). */
  readonly minFresh: number | undefined
  /** How stale the response may be (section 5.2.1.2). Infinity if the directive has no value. */
  readonly maxStale: number | undefined
  /** How stale the response may be if the run fails (RFC 5861 section 4). */
  readonly staleIfError: number | undefined
}

/** The current state of a cached response. */
export interface Kept {
  readonly age: number
  readonly lifetime: number
  readonly mayServeStale: boolean
  readonly staleIfError?: number | undefined
}

/** The directives of a request that has none, or whose route does not respect them. */
export const NO_REQUEST_DIRECTIVES: RequestDirectives = Object.freeze({
  noCache: false,
  noStore: false,
  onlyIfCached: false,
  maxAge: undefined,
  minFresh: undefined,
  maxStale: undefined,
  staleIfError: undefined
})

export function requestDirectives (headers: IncomingHttpHeaders): RequestDirectives {
  if (headers['cache-control'] === undefined) {
    return headers.pragma === undefined ? NO_REQUEST_DIRECTIVES : { ...NO_REQUEST_DIRECTIVES, noCache: saysNoCache(headers.pragma) }
  }
  const said = { noCache: false, noStore: false, onlyIfCached: false }
  let maxAge: number | undefined
  let minFresh: number | undefined
  let maxStale: number | undefined
  let staleIfError: number | undefined
  for (const [name, argument] of cacheDirectives(headers['cache-control'])) {
    const duration = parseDeltaSeconds(argument)
    switch (name) {
      case '':
        said.noCache = said.noStore = true
        break
      case 'no-cache':
        said.noCache = true
        break
      case 'no-store':
        said.noStore = true
        break
      case 'only-if-cached':
        said.onlyIfCached = true
        break
      case 'max-age':
        maxAge = least(maxAge, duration ?? 0)
        break
      case 'min-fresh':
        minFresh = Math.max(minFresh ?? 0, duration ?? Infinity)
        break
      case 'max-stale':
        maxStale = least(maxStale, argument === undefined ? Infinity : duration ?? 0)
        break
      case 'stale-if-error':
        staleIfError = least(staleIfError, duration ?? 0)
        break
    }
  }
  return { ...said, maxAge, minFresh, maxStale, staleIfError }
}

/** Whether `Pragma`, which is older than Cache-Control, has `no-cache` (RFC 9111 section 5.4). */
function saysNoCache (pragma: string): boolean {
  return cacheDirectives(pragma).some(([name]) => name === 'no-cache' || name === '')
}

function least (so: number | undefined, far: number): number {
  return Math.min(so ?? Infinity, far)
}

/** Whether a cached response may be served to a request now. Without directives it may if it is fresh (RFC 9111 section 4.2). */
export function acceptable ({ age, lifetime, mayServeStale }: Kept, { noCache, maxAge, minFresh, maxStale }: RequestDirectives): boolean {
  if (noCache) return false
  if (maxAge !== undefined && age > maxAge) return false
  if (minFresh !== undefined && lifetime - age < minFresh) return false
  return age < lifetime || (mayServeStale && maxStale !== undefined && age - lifetime <= maxStale)
}

/**
 * Whether a cached response may be served instead of an error (RFC 5861 section 4). The response or the request must have
 * `stale-if-error`; if both have it, the shorter time counts. A request with `no-cache` gets the error.
 */
export function acceptableOnError ({ age, lifetime, mayServeStale, staleIfError }: Kept, directives: RequestDirectives): boolean {
  if (directives.noCache) return false
  if (age < lifetime) return true
  if (!mayServeStale || (staleIfError === undefined && directives.staleIfError === undefined)) return false
  return age - lifetime <= Math.min(staleIfError ?? Infinity, directives.staleIfError ?? Infinity)
}
