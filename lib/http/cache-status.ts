/**
 * How a request was served, in a Cache-Status field (RFC 9211).
 *
 * Invariant: what is written is always a well-formed member of a structured list; never a key, never a header's value. Never throws.
 */
import { combined, type FieldValue } from './fields.js'
import { tokenOrString } from './structured-fields.js'

/** Why the handler was run (RFC 9211 section 2.2). */
export type ForwardReason = 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'miss' | 'request' | 'stale' | 'partial'

interface CommonFacts {
  /** How long it is still fresh, in seconds; below 0 once it is not (section 2.4). */
  readonly ttl?: number | undefined
  /** The name of a reason, of a closed set (section 2.8). */
  readonly detail?: string | undefined
}

/** It was served from the cache (section 2.1), or `fwd` says why not, or neither: the handler was not run. */
export type CacheStatusFacts = CommonFacts & (
  | { readonly hit: boolean }
  | {
    readonly fwd: ForwardReason
    /** The handler's status, if the client gets another one (section 2.3). */
    readonly fwdStatus?: number | undefined
    /** Section 2.5. */
    readonly stored?: boolean | undefined
    /** It was served with another request's run (section 2.6). */
    readonly collapsed?: boolean | undefined
  }
)

/** The default name of the cache. */
export const CACHE_NAME = 'fastify-coalesce'

/** Whether a cache can have this name: some printable ASCII (RFC 8941 section 3.3.3). */
export function isCacheName (name: string): boolean {
  return name !== '' && tokenOrString(name) !== undefined
}

/** One member of the field. A name that `isCacheName` refuses is not written. */
export function cacheStatus (name: string, facts: CacheStatusFacts): string {
  const { ttl, detail } = facts
  let member = isCacheName(name) ? tokenOrString(name) as string : CACHE_NAME
  if ('fwd' in facts) {
    member += `; fwd=${facts.fwd}${integer('fwd-status', facts.fwdStatus)}`
    if (facts.stored === true) member += '; stored'
    if (facts.collapsed === true) member += '; collapsed'
  } else if (facts.hit) {
    member += '; hit'
  }
  const why = detail === undefined ? undefined : tokenOrString(detail)
  return `${member}${integer('ttl', ttl)}${why === undefined ? '' : `; detail=${why}`}`
}

/** The field with a member added at its end: caches nearer to the origin come first (RFC 9211 section 2). */
export function appendCacheStatus (present: FieldValue, member: string): string {
  const before = combined(present)
  return before.trim() === '' ? member : `${before}, ${member}`
}

/** RFC 8941 section 3.3.1 */
const LARGEST = 999_999_999_999_999

function integer (name: string, value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return ''
  return `; ${name}=${Math.max(-LARGEST, Math.min(LARGEST, Math.floor(value)))}`
}
