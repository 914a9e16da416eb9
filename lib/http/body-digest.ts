/**
 * A request's body as part of a key.
 *
 * Invariant: two bodies have one digest only if a handler sees the same thing: the same text, the same bytes, or JSON values
 * that differ in nothing but the order of their members. A body without a digest is `undefined`, and its request bypasses.
 */
import { createHash } from 'node:crypto'
import { stringify } from 'safe-stable-stringify'

/** JSON that is nested deeper has no digest, so that it cannot exhaust the stack. */
const MAX_DEPTH = 500

/** SHA-256 of the parsed body, or undefined if it has no form to compare or is larger than `maxBytes`. */
export function digestBody (body: unknown, maxBytes: number): string | undefined {
  if (body === undefined) return 'none'
  // As JSON, because all lone surrogates have the same bytes in UTF-8.
  if (typeof body === 'string') return Buffer.byteLength(body) > maxBytes ? undefined : digest('text', JSON.stringify(body), Infinity)
  if (body instanceof Uint8Array) return digest('bytes', body, maxBytes)
  const text = textOf(body)
  return text === undefined ? undefined : digest('json', text, maxBytes)
}

function digest (kind: string, content: string | Uint8Array, maxBytes: number): string | undefined {
  const bytes = typeof content === 'string' ? Buffer.byteLength(content) : content.byteLength
  return bytes > maxBytes ? undefined : `${kind}:${createHash('sha256').update(content).digest('base64')}`
}

/** Whether a prototype has no properties, as in the objects of the form parser. */
function isBare (prototype: unknown): boolean {
  return prototype === null || (Reflect.ownKeys(prototype as object).length === 0 && Object.getPrototypeOf(prototype) === null)
}

/** Whether a value is an object of no class. */
export function isPlainObject (value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || isBare(prototype)
}

/** Canonical JSON: values have the same text only if they differ in nothing but the order of members. Undefined if there is none. */
export function textOf (value: unknown): string | undefined {
  return isPlainJson(value) ? stringify(value) : undefined
}

/** Whether JSON can write a value without loss. It cannot for streams, file parts, other classes, NaN, -0 and infinite numbers. */
export function isPlainJson (value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
    case 'object': {
      if (value === null) return true
      if (depth === MAX_DEPTH) return false
      const isMember = (member: unknown): boolean => isPlainJson(member, depth + 1)
      if (Array.isArray(value)) return value.every(isMember)
      return isPlainObject(value) && Object.values(value).every(isMember)
    }
    default:
      return false
  }
}
