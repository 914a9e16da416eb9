/**
 * The directives of a response that say whether and how long it may be cached (RFC 9111 section 5.2.2, RFC 5861, RFC 9213).
 * What forbids sharing at all (`private`, `no-store`) is judged in `cache-control.ts`; what follows for the lifetime, in `freshness.ts`.
 *
 * Invariant: pure, never throws. A directive that is repeated or not well formed is read in the way that caches for the shortest
 * time. A restriction is never lost, whatever else its field says.
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
  /** Not to be served again without revalidation (section 5.2.2.4). With field names it counts as without. */
  readonly noCache: boolean
  /** s-maxage, or else max-age (sections 5.2.2.10 and 5.2.2.1); undefined without either. */
  readonly lifetime: number | undefined
  /**
   * must-revalidate, proxy-revalidate or s-maxage: not to be served stale (sections 5.2.2.2, 5.2.2.8 and 5.2.2.10). An s-maxage
   * does not forbid it beside a directive of RFC 5861, because origins use the two together.
   */
  readonly mustRevalidate: boolean
  /** Not to be cached unless its status is understood (section 5.2.2.3). */
  readonly mustUnderstand: boolean
  /** Others may be given the response to a request with Authorization (section 3.5). */
  readonly permitsAuthorization: boolean
  /** RFC 5861 section 3; undefined without it. */
  readonly staleWhileRevalidate: number | undefined
  /** RFC 5861 section 4; undefined without it. */
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
 * The restriction in CDN-Cache-Control; those in Cache-Control hold besides. One that is not well formed restricts, too: RFC 9213
 * ignores it, but it may have been meant to say `private`.
 */
export function targetedRestriction (headers: Headers): Restriction | undefined {
  const field = headers['cdn-cache-control']
  if (field === undefined || combined(field).trim() === '') return undefined
  return parseDictionary(field) === undefined ? 'cache-control-malformed' : responseDirectives(headers).restriction
}

/** The shortest of the durations that a directive gives; one that is not well formed gives 0 (section 4.2.1). */
function least (found: readonly Directive[], wanted: string): number | undefined {
  const all = found.filter(([name]) => name === wanted).map(([, argument]) => parseDeltaSeconds(argument) ?? 0)
  return all.length === 0 ? undefined : Math.min(...all)
}
