/**
 * Entries as text, for stores that hold text.
 *
 * Invariant: neither direction ever throws. What is decoded is exactly what was encoded, or nothing: a value that JSON would
 * change is not encoded, and text that was cut or altered is not decoded. The digest is no signature: who can write to the
 * store can write any entry, so the reader of a value checks it.
 */
import { createHash } from 'node:crypto'
import type { Entry } from '../../types/index.js'
import { marked, REFUSED, unmarked, type Carriage, type Delivery } from '../codec/plain.js'
import { isWellFormed } from '../codec/well-formed.js'
import { readEntry } from './entry.js'

/** The members of an encoded entry, in order; its value comes last. */
const FIELDS = ['version', 'key', 'since', 'storedAt', 'freshFor', 'staleWhileRevalidate', 'staleIfError', 'labels', 'bytes'] as const
/** How long a digest is in base64url. */
const DIGEST = 43
/** The text that stands for bytes has them itself. */
const CARRIAGE: Carriage = { bytes: bytes => bytes.toString('base64'), text: () => undefined }
const DELIVERY: Delivery = { bytes: mark => Buffer.from(mark, 'base64'), text: () => { throw REFUSED } }

/** An entry as text; undefined if JSON would change its value. Buffers may be anywhere in it. */
export function encodeEntry (entry: Entry): string | undefined {
  try {
    const checked = readEntry(entry, entry.key)
    if (checked === undefined) return undefined
    const json = JSON.stringify([...FIELDS.map(name => checked[name]), marked(checked.value, CARRIAGE)])
    return digestOf(json) + json
  } catch {
    return undefined
  }
}

/** The entry that a text is, if it is one of `key`; undefined for anything else. */
export function decodeEntry (text: unknown, key: string): Entry | undefined {
  try {
    // All lone surrogates have the same bytes in UTF-8, so that a text with one would have the digest of another text.
    if (typeof text !== 'string' || !isWellFormed(text)) return undefined
    const json = text.slice(DIGEST)
    if (digestOf(json) !== text.slice(0, DIGEST)) return undefined
    const members: unknown = JSON.parse(json)
    if (!Array.isArray(members) || members.length !== FIELDS.length + 1) return undefined
    const value = unmarked(members[FIELDS.length], DELIVERY)
    return readEntry({ ...Object.fromEntries(FIELDS.map((name, index) => [name, members[index]])), value }, key)
  } catch {
    return undefined
  }
}

function digestOf (json: string): string {
  return createHash('sha256').update(json).digest('base64url')
}
