/**
 * Texts in a body that belong to one reply: a nonce of its Content-Security-Policy, the id of its request.
 *
 * Invariant: pure, and linear in what is searched. A text counts as held where it stands as a word of its own.
 */
import { combined } from './fields.js'
import type { HeaderValue } from './headers.js'
import type { Body } from './recording.js'

/** Ids that are shorter than Fastify's first one stand in texts by chance. */
const SHORTEST_ID = 5

const NONCE = /'nonce-([A-Za-z0-9+/_-]+={0,2})'/g

/** The nonces that a Content-Security-Policy names. */
export function noncesOf (policy: HeaderValue | undefined): readonly string[] {
  return policy === undefined ? [] : Array.from(combined(policy).matchAll(NONCE), ([, nonce]) => nonce as string)
}

/** Whether a body holds the id of its request. */
export function holdsId (body: Body, id: string): boolean {
  return id.length >= SHORTEST_ID && holds(body, id)
}

/** Whether a text stands in a body as a word of its own. */
export function holds (body: Body, text: string): boolean {
  if (body === null || text === '') return false
  const size = typeof body === 'string' ? text.length : Buffer.byteLength(text)
  for (let place = body.indexOf(text); place >= 0; place = body.indexOf(text, place + size)) {
    if (!isOfWord(codeAt(body, place - 1)) && !isOfWord(codeAt(body, place + size))) return true
  }
  return false
}

function codeAt (body: string | Buffer, place: number): number | undefined {
  return typeof body === 'string' ? body.charCodeAt(place) : body[place]
}

/** Whether ids may have this character: letters, digits, `-` and `_`. */
function isOfWord (code: number | undefined): boolean {
  return code !== undefined && ((code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122) ||
    code === 45 || code === 95)
}
