/**
 * A request's body as part of a key.
 *
 * Invariant: two bodies have one digest only if a handler sees the same thing: the same text, the same bytes, or JSON values
 * that differ in nothing but the order of their members. What cannot be told is `undefined`, and the request bypasses.
 */
import { createHash } from 'node:crypto'
import { stringify } from 'safe-stable-stringify'

/** SHA-256 of the parsed body, or undefined if it has no form to compare or is larger than `maxBytes`. */
export function digestBody (body: unknown, maxBytes: number): string | undefined {
  if (body === undefined || body === null) return 'none'
  if (typeof body === 'string') return digest('text', body, maxBytes)
  if (body instanceof Uint8Array) return digest('bytes', body, maxBytes)
  if (!isPlainJson(body)) return undefined
  return digest('json', stringify(body), maxBytes)
}

function digest (kind: string, content: string | Uint8Array | undefined, maxBytes: number): string | undefined {
  if (content === undefined) return undefined
  const bytes = typeof content === 'string' ? Buffer.byteLength(content) : content.byteLength
  return bytes > maxBytes ? undefined : `${kind}:${createHash('sha256').update(content).digest('base64')}`
}

/** JSON values as parsers make them. A stream, a file part or any other class says nothing about its content. */
function isPlainJson (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value !== 'function' && typeof value !== 'symbol'
  if (Array.isArray(value)) return value.every(isPlainJson)
  const prototype: unknown = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === null) && Object.values(value).every(isPlainJson)
}
