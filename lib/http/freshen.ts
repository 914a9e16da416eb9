/**
 * Asking anew for a kept response, and what an answer without a body makes of it (RFC 9111 sections 3.2, 4.3.1, 4.3.4 and 4.3.5).
 *
 * Invariant: pure, never throws; names are in lower case. A kept body keeps the fields that say how to read it. When in doubt,
 * the answer is not about what is kept.
 */
import { matchesWeakly, parseEntityTag, parseHttpDate, trimmed } from './conditional.js'
import { combined } from './fields.js'
import { travelling, type HeaderDelta, type Headers } from './headers.js'

export type HeaderPairs = HeaderDelta['set']

/**
 * Fields of a kept response that another answer's do not replace. They are of the bytes, which stay (RFC 9110 section 8,
 * RFC 9530); and a cookie would be given to everybody.
 */
export const OF_THE_BYTES: ReadonlySet<string> = new Set([
  'content-length', 'content-encoding', 'content-type', 'content-range', 'content-digest', 'content-md5', 'digest', 'repr-digest', 'etag'
])
const OF_ONE_CLIENT = new Set(['set-cookie', 'set-cookie2', 'proxy-authentication-info', 'authentication-info'])

/** Fields that say when an answer was made: after a newer one without them, the old ones are no longer true (section 4.2.3). */
const OF_ONE_ANSWER = new Set(['age', 'date'])

/** The fields of a kept response after an answer that `validates` it or `headAgrees` with it (RFC 9111 section 3.2). */
export function freshen (stored: HeaderPairs, answer: HeaderPairs): HeaderPairs {
  const travels = travelling(answer.find(([name]) => name === 'connection')?.[1])
  const fields = new Map(stored.filter(([name]) => !OF_ONE_ANSWER.has(name)))
  for (const [name, value] of answer) {
    if (travels(name) && !OF_THE_BYTES.has(name) && !OF_ONE_CLIENT.has(name)) fields.set(name, value)
  }
  return [...fields]
}

/** What to ask a kept response's origin with, so that it can answer 304 (RFC 9111 section 4.3.1). Empty if it has no validator. */
export function conditionsFor (stored: HeaderPairs, now: number): Readonly<Record<string, string>> {
  const { etag, 'last-modified': modified } = fieldsOf(stored)
  return {
    ...(parseEntityTag(etag) !== undefined && { 'if-none-match': trimmed(combined(etag)) }),
    ...(parseHttpDate(trimmed(combined(modified)), now) !== undefined && { 'if-modified-since': trimmed(combined(modified)) })
  }
}

/**
 * Whether a 304 is about the kept response that was asked for with `conditionsFor` (RFC 9111 section 4.3.4): its strongest
 * validator is the kept one's. A 304 that has none can only mean the one that it was asked about. Tags are compared as the
 * question has them compared (RFC 9110 section 13.1.2): servers that make one weak when they compress send it as it was with 304.
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
 * Whether a 200 for HEAD agrees with a response kept for GET (RFC 9111 section 4.3.5): then it freshens it, and else makes it
 * stale. `bytes`: the size of the kept body, if that is known.
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
