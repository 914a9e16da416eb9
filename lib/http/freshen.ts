/**
 * Revalidation of a cached response, and its freshening by a 304 or a HEAD (RFC 9111 sections 3.2, 4.3.1, 4.3.4 and 4.3.5).
 *
 * Invariant: pure, never throws; names are in lower case. A cached body keeps the fields that say how to read it. When in doubt,
 * the answer does not confirm the cached response.
 */
import { matchesWeakly, parseEntityTag, parseHttpDate, trimmed } from './conditional.js'
import { combined } from './fields.js'
import { travelling, type HeaderDelta, type Headers } from './headers.js'

export type HeaderPairs = HeaderDelta['set']

/**
 * Fields of a cached response that those of another answer do not replace: they describe the bytes, which stay (RFC 9110
 * section 8, RFC 9530).
 */
export const OF_THE_BYTES: ReadonlySet<string> = new Set([
  'content-length', 'content-encoding', 'content-type', 'content-range', 'content-digest', 'content-md5', 'digest', 'repr-digest', 'etag'
])
/** Fields for one client. Cached, they would be given to all. */
const OF_ONE_CLIENT = new Set(['set-cookie', 'set-cookie2', 'proxy-authentication-info', 'authentication-info'])

/** Fields that say when an answer was made. A newer answer without them makes the old ones wrong (section 4.2.3). */
const OF_ONE_ANSWER = new Set(['age', 'date'])

/** The fields of a cached response after an answer that `validates` it or `headAgrees` with it (RFC 9111 section 3.2). */
export function freshen (stored: HeaderPairs, answer: HeaderPairs): HeaderPairs {
  const travels = travelling(answer.find(([name]) => name === 'connection')?.[1])
  const fields = new Map(stored.filter(([name]) => !OF_ONE_ANSWER.has(name)))
  for (const [name, value] of answer) {
    if (travels(name) && !OF_THE_BYTES.has(name) && !OF_ONE_CLIENT.has(name)) fields.set(name, value)
  }
  return [...fields]
}

/** The conditions that let the handler answer 304 about a cached response (RFC 9111 section 4.3.1). None if it has no validator. */
export function conditionsFor (stored: HeaderPairs, now: number): Readonly<Record<string, string>> {
  const { etag, 'last-modified': modified } = fieldsOf(stored)
  return {
    ...(parseEntityTag(etag) !== undefined && { 'if-none-match': trimmed(combined(etag)) }),
    ...(parseHttpDate(trimmed(combined(modified)), now) !== undefined && { 'if-modified-since': trimmed(combined(modified)) })
  }
}

/**
 * Whether a 304 to `conditionsFor` confirms the cached response (RFC 9111 section 4.3.4): its strongest validator is that of the
 * cached response. A 304 without a validator can only mean the response that was asked about. Tags are compared weakly, as the
 * condition compares them (RFC 9110 section 13.1.2): servers that weaken a tag when they compress send the strong one with 304.
 */
export function validates (stored: HeaderPairs, notModified: HeaderPairs): boolean {
  const kept = fieldsOf(stored)
  const { etag, 'last-modified': modified } = fieldsOf(notModified)
  if (etag === undefined) return modified === undefined || sameText(modified, kept['last-modified'])
  const [theirs, ours] = [parseEntityTag(etag), parseEntityTag(kept.etag)]
  if (theirs === undefined || ours === undefined) return sameText(etag, kept.etag)
  return matchesWeakly(theirs, ours)
}

/**
 * Whether a 200 for HEAD agrees with the cached response for GET (RFC 9111 section 4.3.5). If so, it freshens that; else it makes
 * it stale.
 *
 * @param bytes the size of the cached body, if known
 */
export function headAgrees (stored: HeaderPairs, head: HeaderPairs, bytes: number | undefined): boolean {
  const kept = fieldsOf(stored)
  const { etag, 'last-modified': modified, 'content-length': length } = fieldsOf(head)
  return (etag === undefined || sameText(etag, kept.etag)) &&
    (modified === undefined || sameText(modified, kept['last-modified'])) &&
    (length === undefined || sameText(length, bytes ?? kept['content-length']))
}

function fieldsOf (pairs: HeaderPairs): Headers {
  return Object.fromEntries(pairs)
}

function sameText (a: Headers[string], b: Headers[string]): boolean {
  return b !== undefined && trimmed(combined(a)) === trimmed(combined(b))
}
