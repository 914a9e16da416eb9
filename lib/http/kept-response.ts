/**
 * A cached response, and strict readers of values from stores that other programs can write to.
 *
 * Invariant: the readers never throw, and run no code of the value, such as getters. Their result is a new object, deeply frozen except
 * for the bytes of a body. It can be sent: it has no header that Node would refuse, or that belongs to one client, connection or message.
 */
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { isMeaning } from './dimensions.js'
import { HOP_BY_HOP, type HeaderDelta } from './headers.js'
import { answersOneOnly } from './policy.js'
import type { Variant } from '../variant.js'
import { byteLength, type Body } from './recording.js'

export interface KeptResponse {
  readonly status: number
  /** The headers that the handler set, with names in lower case. */
  readonly headers: HeaderDelta['set']
  /** The headers that the handler removed. */
  readonly removed: readonly string[]
  readonly body: Body
  /** The age of the response when it came, in milliseconds. */
  readonly age: number
  /** When the response was made, in milliseconds since 1970. */
  readonly date: number
  /** The request headers, besides the key, that the response depends on, with their values. */
  readonly variant: Variant
}

/** The value that is cached under a key with variants: the names of the request headers that the variants depend on. */
export interface VaryMarker {
  readonly vary: readonly string[]
}

/** Headers that Node's HTTP/2 refuses if they have more than one value. */
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

/** Thrown and caught in this module only. */
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

/** The value of an own property; undefined if the property is a getter. */
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

/** The true value of a property of a byte array, even if an own property of the same name hides it. */
function inner<T> (bytes: object, name: 'buffer' | 'byteOffset' | 'byteLength'): T {
  return (Object.getOwnPropertyDescriptor(BYTES, name) as { get: () => T }).get.call(bytes)
}

/** The body, with its bytes in a plain Buffer that has no added properties. */
function bodyFrom (value: unknown): Body {
  if (value === null || typeof value === 'string') return value
  if (!Buffer.isBuffer(value)) throw REFUSED
  return Buffer.from(inner<ArrayBuffer>(value, 'buffer'), inner(value, 'byteOffset'), inner(value, 'byteLength'))
}

function isAmount (value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Infinity
}

/** Whether a value is a time that a Date can hold. */
function isMoment (value: unknown): value is number {
  return isAmount(value) && value <= 8.64e15
}

function isTextOrNull (value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}

/** Whether a value is a header name in lower case that is safe as a property of a plain object. Node throws if it is not a token. */
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

/** Whether a value names something that a response can depend on: a request header, or a name for something else. `*` would mean any header. */
function isDimension (value: unknown): value is string {
  return isMeaning(value) || (isFieldName(value) && value !== '*')
}
