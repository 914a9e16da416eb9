/**
 * Entries as text, for stores that hold text.
 *
 * Invariant: neither direction ever throws. What is decoded is exactly what was encoded, or nothing: a value that JSON would
 * change is not encoded, and text that was cut or altered is not decoded. The digest is no signature: who can write to the
 * store can write any entry, so the reader of a value checks it.
 */
import { createHash } from 'node:crypto'
import type { Entry } from '../../types/index.js'
import { readEntry } from './entry.js'

/** The members of an encoded entry, in order; its value comes last. */
const FIELDS = ['version', 'key', 'since', 'storedAt', 'freshFor', 'staleWhileRevalidate', 'staleIfError', 'labels', 'bytes'] as const
/** How long a digest is in base64url. */
const DIGEST = 43
const MAX_DEPTH = 100
/** The most room of a value: its characters and bytes, and `PART` for each of its parts. Bounds the walk as well. */
const MAX_ROOM = 2 ** 26
const PART = 64
/** Put before a text, and before the base64 of bytes, so that neither is taken for the other. */
const TEXT = "'"
const BYTES = '#'
/** Thrown and caught in this module only. */
const REFUSED = new TypeError('not as JSON has it')

/** An entry as text; undefined if JSON would change its value. Buffers may be anywhere in it. */
export function encodeEntry (entry: Entry): string | undefined {
  try {
    const checked = readEntry(entry, entry.key)
    if (checked === undefined) return undefined
    const json = JSON.stringify([...FIELDS.map(name => checked[name]), marked(checked.value, 0, { left: MAX_ROOM })])
    return digestOf(json) + json
  } catch {
    return undefined
  }
}

/** The entry that a text is, if it is one of `key`; undefined for anything else. */
export function decodeEntry (text: unknown, key: string): Entry | undefined {
  try {
    // All lone surrogates have the same bytes in UTF-8, so that a text with one would have the digest of another text.
    if (typeof text !== 'string' || !(text as WellFormed).isWellFormed()) return undefined
    const json = text.slice(DIGEST)
    if (digestOf(json) !== text.slice(0, DIGEST)) return undefined
    const members: unknown = JSON.parse(json)
    if (!Array.isArray(members) || members.length !== FIELDS.length + 1) return undefined
    const value = unmarked(members[FIELDS.length], 0)
    return readEntry({ ...Object.fromEntries(FIELDS.map((name, index) => [name, members[index]])), value }, key)
  } catch {
    return undefined
  }
}

/** In Node since version 20, in TypeScript's library since ES2024. */
type WellFormed = string & { isWellFormed: () => boolean }

function digestOf (json: string): string {
  return createHash('sha256').update(json).digest('base64url')
}

function marked (value: unknown, depth: number, room: { left: number }): unknown {
  take(room, PART)
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0)) return value
  if (typeof value === 'string') {
    take(room, value.length)
    return TEXT + value
  }
  if (typeof value !== 'object' || depth === MAX_DEPTH) throw REFUSED
  const kind: unknown = Object.getPrototypeOf(value)
  if (kind === Buffer.prototype) {
    take(room, (value as Buffer).length)
    return BYTES + (value as Buffer).toString('base64')
  }
  if (kind === Array.prototype && Array.isArray(value)) {
    // Own names are the members and `length`. Fewer: there are holes. More: it has other properties.
    if (Reflect.ownKeys(value).length !== value.length + 1) throw REFUSED
    return Array.from({ length: value.length }, (_, index) => marked(member(value, String(index)), depth + 1, room))
  }
  if (kind !== Object.prototype) throw REFUSED
  return Object.fromEntries(Reflect.ownKeys(value).map(name => {
    take(room, name.toString().length)
    return [name, marked(member(value, name), depth + 1, room)]
  }))
}

/** An enumerable own property; undefined, which JSON refuses, if a getter makes it. */
function member (value: object, name: string | symbol): unknown {
  const property = Object.getOwnPropertyDescriptor(value, name)
  if (typeof name === 'symbol' || property?.enumerable !== true) throw REFUSED
  return property.value
}

function take (room: { left: number }, amount: number): void {
  room.left -= amount
  if (room.left < 0) throw REFUSED
}

function unmarked (value: unknown, depth: number): unknown {
  if (typeof value === 'string') {
    if (value.startsWith(TEXT)) return value.slice(TEXT.length)
    if (value.startsWith(BYTES)) return Buffer.from(value.slice(BYTES.length), 'base64')
    throw REFUSED
  }
  if (typeof value !== 'object' || value === null) return value
  if (depth === MAX_DEPTH) throw REFUSED
  if (Array.isArray(value)) return value.map(each => unmarked(each, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, unmarked(each, depth + 1)]))
}
