/**
 * The directives of a response that govern what this cache keeps (RFC 9111 section 5.2.2, RFC 5861, RFC 9213).
 *
 * Invariant: pure, never throws. Where a directive is said more than once, or is not well formed, what it comes to is the
 * reading that keeps the least. A restriction is never lost, whatever stands around it in the field that governs.
 */
import { cacheDirectives, judge, type Directive, type Restriction } from './cache-control.js'
import { parseDeltaSeconds } from './delta-seconds.js'
import { combined } from './fields.js'
import type { Headers } from './headers.js'
import { parseDictionary } from './structured-fields.js'

/** Durations are in milliseconds. */
export interface ResponseDirectives {
  /** CDN-Cache-Control governs: neither Cache-Control nor Expires counts (RFC 9213 section 2.2). */
  readonly targeted: boolean
  /** Why it is for its own client only (sections 5.2.2.5 and 5.2.2.7). */
  readonly restriction: Restriction | undefined
  /** Not to be used again without asking (section 5.2.2.4). Its form with field names counts as the one without. */
  readonly noCache: boolean
  /** s-maxage, or else max-age (sections 5.2.2.10 and 5.2.2.1); undefined where neither is said. */
  readonly lifetime: number | undefined
  /**
   * must-revalidate, proxy-revalidate or s-maxage: not to be served stale (sections 5.2.2.2, 5.2.2.8 and 5.2.2.10). Beside an
   * s-maxage, though, RFC 5861 is there to say for how long it may be, and that is how origins use the two.
   */
  readonly mustRevalidate: boolean
  /** Not to be kept unless its status is understood (section 5.2.2.3). */
  readonly mustUnderstand: boolean
  /** Others may be given the response to a request with Authorization (section 3.5). */
  readonly permitsAuthorization: boolean
  /** RFC 5861 section 3; undefined where it is not said. */
  readonly staleWhileRevalidate: number | undefined
  /** RFC 5861 section 4; undefined where it is not said. */
  readonly staleIfError: number | undefined
}

export function responseDirectives (headers: Headers): ResponseDirectives {
  const dictionary = parseDictionary(headers['cdn-cache-control'])
  const targeted = dictionary !== undefined && dictionary.size > 0
  const found: readonly Directive[] = targeted ? [...dictionary] : cacheDirectives(headers['cache-control'])
  const says = (...names: string[]): boolean => found.some(([name]) => names.includes(name))
  const shared = least(found, 's-maxage')
  return {
    targeted,
    restriction: judge(found).restriction,
    noCache: says('no-cache'),
    lifetime: shared ?? least(found, 'max-age'),
    mustRevalidate: says('must-revalidate', 'proxy-revalidate') || (shared !== undefined && !says('stale-while-revalidate', 'stale-if-error')),
    mustUnderstand: says('must-understand'),
    permitsAuthorization: says('public', 'must-revalidate', 's-maxage'),
    staleWhileRevalidate: least(found, 'stale-while-revalidate'),
    staleIfError: least(found, 'stale-if-error')
  }
}

/**
 * What CDN-Cache-Control forbids, if there is one; what Cache-Control forbids is forbidden besides. RFC 9213 has one that is not
 * well formed ignored: what it was to say might have been this.
 */
export function targetedRestriction (headers: Headers): Restriction | undefined {
  const field = headers['cdn-cache-control']
  if (field === undefined || combined(field).trim() === '') return undefined
  return parseDictionary(field) === undefined ? 'cache-control-malformed' : responseDirectives(headers).restriction
}

/** The shortest of what a directive says; one that is not well formed says nothing, which is the shortest (section 4.2.1). */
function least (found: readonly Directive[], wanted: string): number | undefined {
  const all = found.filter(([name]) => name === wanted).map(([, argument]) => parseDeltaSeconds(argument) ?? 0)
  return all.length === 0 ? undefined : Math.min(...all)
}
