/**
 * What a request asks of a cache (RFC 9111 section 5.2.1), for routes that heed it, and whether a kept response will do.
 *
 * Invariant: pure, never throws. Durations are in milliseconds. Where a directive is said more than once, or is not well formed,
 * what it comes to is the reading by which a kept response does the least often.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { cacheDirectives } from './cache-control.js'
import { parseDeltaSeconds } from './delta-seconds.js'

export interface RequestDirectives {
  /** Nothing kept will do unless it has been asked for anew (section 5.2.1.4). */
  readonly noCache: boolean
  /** Its response must not be kept (section 5.2.1.5); what is kept already may be served. */
  readonly noStore: boolean
  /** 504 rather than a run (section 5.2.1.7). */
  readonly onlyIfCached: boolean
  /** Section 5.2.1.1; undefined where it does not say, as below. */
  readonly maxAge: number | undefined
  /** Section 5.2.1.3. */
  readonly minFresh: number | undefined
  /** Section 5.2.1.2; infinite where it does not say how much. */
  readonly maxStale: number | undefined
  /** RFC 5861 section 4. */
  readonly staleIfError: number | undefined
}

/** Of a kept response, now. */
export interface Kept {
  readonly age: number
  readonly lifetime: number
  readonly mayServeStale: boolean
  readonly staleIfError?: number | undefined
}

/** Of a request that asks nothing, or whose route does not heed it. */
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

/** RFC 9111 section 5.4: what was said before there was Cache-Control. */
function saysNoCache (pragma: string): boolean {
  return cacheDirectives(pragma).some(([name]) => name === 'no-cache' || name === '')
}

function least (so: number | undefined, far: number): number {
  return Math.min(so ?? Infinity, far)
}

/** Whether a kept response will do for the request as it is. Without directives: whether it is fresh (RFC 9111 section 4.2). */
export function acceptable ({ age, lifetime, mayServeStale }: Kept, { noCache, maxAge, minFresh, maxStale }: RequestDirectives): boolean {
  if (noCache) return false
  if (maxAge !== undefined && age > maxAge) return false
  if (minFresh !== undefined && lifetime - age < minFresh) return false
  return age < lifetime || (mayServeStale && maxStale !== undefined && age - lifetime <= maxStale)
}

/**
 * Whether a kept response will do in the place of an error (RFC 5861 section 4): one of the two must say so, and if both do, the
 * shorter time counts. A request that wants nothing kept gets the error.
 */
export function acceptableOnError ({ age, lifetime, mayServeStale, staleIfError }: Kept, directives: RequestDirectives): boolean {
  if (directives.noCache) return false
  if (age < lifetime) return true
  if (!mayServeStale || (staleIfError === undefined && directives.staleIfError === undefined)) return false
  return age - lifetime <= Math.min(staleIfError ?? Infinity, directives.staleIfError ?? Infinity)
}
