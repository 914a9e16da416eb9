/**
 * Strict readers of the parts of responses that come from elsewhere: a store, another process.
 *
 * Invariant: a reader throws, or returns something new that is deeply frozen but for the bytes of a body. It runs no code of the value. A
 * response that was read can be sent: it has no header that Node would refuse, or that belongs to one client, connection or message.
 */
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { isTextOrNull, listOf, member, unfit, wanted } from '../codec/strict.js'
import type { Variant } from '../variant.js'
import { isMeaning } from './dimensions.js'
import { HOP_BY_HOP, type HeaderDelta } from './headers.js'
import { answersOneOnly } from './policy.js'
import { byteLength, type Body } from './recording.js'

export interface ResponseParts {
  readonly status: number
  /** The headers that the handler set, with names in lower case. */
  readonly headers: HeaderDelta['set']
  /** The headers that the handler removed. */
  readonly removed: readonly string[]
  readonly body: Body
  /** The request headers, besides the key, that the response depends on, with their values. */
  readonly variant: Variant
}

/** Headers that Node's HTTP/2 refuses if they have more than one value. */
const SINGLE = new Set([
  'access-control-allow-credentials', 'access-control-max-age', 'access-control-request-method', 'age', 'authorization',
  'content-encoding', 'content-language', 'content-length', 'content-location', 'content-md5', 'content-range', 'content-type',
  'date', 'dnt', 'etag', 'expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match', 'if-range',
  'if-unmodified-since', 'last-modified', 'location', 'max-forwards', 'range', 'referer', 'retry-after', 'tk',
  'upgrade-insecure-requests', 'user-agent', 'x-content-type-options'
])

export function responseFrom (value: unknown): ResponseParts {
  const status = wanted(isStatus, member(value, 'status'))
  const body = bodyFrom(member(value, 'body'))
  const headers = listOf(member(value, 'headers'), line => header(line, body))
  if (new Set(headers.map(([name]) => name)).size !== headers.length) return unfit()
  const removed = listOf(member(value, 'removed'), name => wanted(isResponseField, name))
  return { status, headers, removed, body, variant: variantFrom(member(value, 'variant')) }
}

export function variantFrom (value: unknown): Variant {
  const names = namesFrom(member(value, 'names'))
  const values = listOf(member(value, 'values'), each => wanted(isTextOrNull, each))
  return names.length === values.length ? Object.freeze({ names, values }) : unfit()
}

/** Names of what responses can depend on. */
export function namesFrom (value: unknown): readonly string[] {
  return listOf(value, name => wanted(isDimension, name))
}

function header (line: unknown, body: Body): readonly [string, string | readonly string[]] {
  if (!Array.isArray(line) || line.length !== 2) return unfit()
  const name = wanted(isSharedField, member(line, '0'))
  const given = member(line, '1')
  const value = typeof given === 'string' ? text(name, given) : listOf(given, each => text(name, each))
  if (typeof value !== 'string' && value.length > 1 && SINGLE.has(name)) return unfit()
  if (name === 'content-length' && body !== null && value !== String(byteLength(body))) return unfit()
  return Object.freeze([name, value] as const)
}

function text (name: string, value: unknown): string {
  if (typeof value !== 'string') return unfit()
  validateHeaderValue(name, value)
  return value
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
  if (!Buffer.isBuffer(value)) return unfit()
  return Buffer.from(inner<ArrayBuffer>(value, 'buffer'), inner(value, 'byteOffset'), inner(value, 'byteLength'))
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
