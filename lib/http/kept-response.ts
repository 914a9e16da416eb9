/**
 * A cached response, and the strict reader of values from stores that others can write to.
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
  /** Its age when it came, in milliseconds. */
  readonly age: number
  /** When it was made, in milliseconds since 1970. */
  readonly date: number
  /** The request headers that it depends on besides the key, with their values. */
  readonly variant: Variant
}

/** What is cached under a key that has variants: the names of the request headers that they depend on. */
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

/** An own property; undefined if a getter makes it. */
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

/** A property of an array of bytes as the engine has it, whatever its own properties say. */
function inner<T> (bytes: object, name: 'buffer' | 'byteOffset' | 'byteLength'): T {
  return (Object.getOwnPropertyDescriptor(BYTES, name) as { get: () => T }).get.call(bytes)
}

/** The same bytes in a plain Buffer, without properties that were added to it. */
function bodyFrom (value: unknown): Body {
  if (value === null || typeof value === 'string') return value
  if (!Buffer.isBuffer(value)) throw REFUSED
  return Buffer.from(inner<ArrayBuffer>(value, 'buffer'), inner(value, 'byteOffset'), inner(value, 'byteLength'))
}

function isAmount (value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Infinity
}

/** Whether a Date can hold it. */
function isMoment (value: unknown): value is number {
  return isAmount(value) && value <= 8.64e15
}

function isTextOrNull (value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}

/** Whether it is a field name in lower case that is safe as a property of a plain object. Node throws if it is no token. */
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

/** Whether it is the name of a request header, or one of the names that stand for something else. `*` would be any header. */
function isDimension (value: unknown): value is string {
  return isMeaning(value) || (isFieldName(value) && value !== '*')
}
