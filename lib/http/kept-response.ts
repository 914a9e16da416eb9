/**
 * A response that was kept, and the strict reading of what a store that others can write to says is one.
 *
 * Invariant: the readers never throw, run no code of what they read, and what they return is fresh, deeply frozen (but for the
 * bytes of a body) and can be sent: no field that Node would refuse or that belongs to one client, connection or message.
 */
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { isMeaning } from './dimensions.js'
import { HOP_BY_HOP, type HeaderDelta } from './headers.js'
import { answersOneOnly } from './policy.js'
import type { Variant } from '../variant.js'
import { byteLength, type Body } from './recording.js'

export interface KeptResponse {
  readonly status: number
  /** The headers that its handler set, names in lower case. */
  readonly headers: HeaderDelta['set']
  /** The headers that its handler removed. */
  readonly removed: readonly string[]
  readonly body: Body
  /** How old it was when it came, in milliseconds. */
  readonly age: number
  /** When it was made, in milliseconds since 1970. */
  readonly date: number
  /** The request headers that it depends on besides the key, and what they were. */
  readonly variant: Variant
}

/** What is kept under the key of a response that has variants: which request headers tell them apart. */
export interface VaryMarker {
  readonly vary: readonly string[]
}

/** Fields that Node's HTTP/2 sends in one line or not at all. */
const SINGLE = new Set([
  'access-control-allow-credentials', 'access-control-max-age', 'access-control-request-method', 'age', 'authorization',
  'content-encoding', 'content-language', 'content-length', 'content-location', 'content-md5', 'content-range', 'content-type',
  'date', 'dnt', 'etag', 'expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match', 'if-range',
  'if-unmodified-since', 'last-modified', 'location', 'max-forwards', 'range', 'referer', 'retry-after', 'tk',
  'upgrade-insecure-requests', 'user-agent', 'x-content-type-options'
])

export function readKeptResponse (value: unknown): KeptResponse | undefined {
  return attempt(() => {
    const status = wanted(isStatus, member(value, 'status'))
    const body = bodyFrom(member(value, 'body'))
    const headers = listOf(member(value, 'headers'), line => header(line, body))
    if (new Set(headers.map(([name]) => name)).size !== headers.length) throw REFUSED
    const removed = listOf(member(value, 'removed'), name => wanted(isResponseField, name))
    const age = wanted(isAmount, member(value, 'age'))
    const date = wanted(isMoment, member(value, 'date'))
    return Object.freeze({ status, headers, removed, body, age, date, variant: variantOf(member(value, 'variant')) })
  })
}

export function readVaryMarker (value: unknown): VaryMarker | undefined {
  return attempt(() => {
    const vary = listOf(member(value, 'vary'), name => wanted(isDimension, name))
    if (vary.length === 0) throw REFUSED
    return Object.freeze({ vary })
  })
}

/** Never seen outside. */
const REFUSED = new TypeError('not a kept response')

function attempt<T> (reading: () => T): T | undefined {
  try {
    return reading()
  } catch {
    return undefined
  }
}

function wanted<T> (is: (value: unknown) => value is T, value: unknown): T {
  if (is(value)) return value
  throw REFUSED
}

/** Its own, and not made by a getter. */
function member (value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) throw REFUSED
  return Object.getOwnPropertyDescriptor(value, name)?.value
}

function listOf<T> (value: unknown, read: (each: unknown) => T): readonly T[] {
  if (!Array.isArray(value)) throw REFUSED
  return Object.freeze(Array.from({ length: value.length }, (_, index) => read(member(value, String(index)))))
}

function header (line: unknown, body: Body): readonly [string, string | readonly string[]] {
  if (!Array.isArray(line) || line.length !== 2) throw REFUSED
  const name = wanted(isSharedField, member(line, '0'))
  const given = member(line, '1')
  const value = typeof given === 'string' ? text(name, given) : listOf(given, each => text(name, each))
  if (typeof value !== 'string' && value.length > 1 && SINGLE.has(name)) throw REFUSED
  if (name === 'content-length' && body !== null && value !== String(byteLength(body))) throw REFUSED
  return Object.freeze([name, value] as const)
}

function text (name: string, value: unknown): string {
  if (typeof value !== 'string') throw REFUSED
  validateHeaderValue(name, value)
  return value
}

function variantOf (value: unknown): Variant {
  const names = listOf(member(value, 'names'), name => wanted(isDimension, name))
  const values = listOf(member(value, 'values'), each => wanted(isTextOrNull, each))
  if (names.length !== values.length) throw REFUSED
  return Object.freeze({ names, values })
}

function isStatus (value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 200 && (value as number) <= 599 && !answersOneOnly(value as number)
}

const BYTES = Object.getPrototypeOf(Uint8Array.prototype) as object

/** What an array of bytes is, whatever it says of itself. */
function inner<T> (bytes: object, name: 'buffer' | 'byteOffset' | 'byteLength'): T {
  return (Object.getOwnPropertyDescriptor(BYTES, name) as { get: () => T }).get.call(bytes)
}

/** The same bytes, in a Buffer that is nothing else. */
function bodyFrom (value: unknown): Body {
  if (value === null || typeof value === 'string') return value
  if (!Buffer.isBuffer(value)) throw REFUSED
  return Buffer.from(inner<ArrayBuffer>(value, 'buffer'), inner(value, 'byteOffset'), inner(value, 'byteLength'))
}

function isAmount (value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Infinity
}

/** What a Date can hold. */
function isMoment (value: unknown): value is number {
  return isAmount(value) && value <= 8.64e15
}

function isTextOrNull (value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}

/** A name in lower case that can stand in a plain object, as those of a reply do. Node throws if it is no token. */
function isFieldName (value: unknown): value is string {
  if (typeof value !== 'string' || value !== value.toLowerCase() || value === '__proto__') return false
  validateHeaderName(value)
  return true
}

function isResponseField (value: unknown): value is string {
  return isFieldName(value) && !HOP_BY_HOP.has(value)
}

function isSharedField (value: unknown): value is string {
  return isResponseField(value) && value !== 'set-cookie'
}

/** A request header, or what stands among their names for something else. A `*` would be any of them. */
function isDimension (value: unknown): value is string {
  return isMeaning(value) || (isFieldName(value) && value !== '*')
}
