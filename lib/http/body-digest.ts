/**
 * A request's body as part of a key.
 *
 * Invariant: two bodies have one digest only if a handler sees the same thing: the same text, the same bytes, or JSON values
 * that differ in nothing but the order of their members. What cannot be told is `undefined`, and the request bypasses.
 */
import { createHash } from 'node:crypto'
import { stringify } from 'safe-stable-stringify'

/** JSON that is nested deeper has no digest: neither reading it nor writing it may exhaust the stack. */
const MAX_DEPTH = 500

/** SHA-256 of the parsed body, or undefined if it has no form to compare or is larger than `maxBytes`. */
export function digestBody (body: unknown, maxBytes: number): string | undefined {
  if (body === undefined) return 'none'
  // As JSON, because lone surrogates have no UTF-8 and would all be one.
  if (typeof body === 'string') return Buffer.byteLength(body) > maxBytes ? undefined : digest('text', JSON.stringify(body), Infinity)
  if (body instanceof Uint8Array) return digest('bytes', body, maxBytes)
  const text = textOf(body)
  return text === undefined ? undefined : digest('json', text, maxBytes)
}

function digest (kind: string, content: string | Uint8Array, maxBytes: number): string | undefined {
  const bytes = typeof content === 'string' ? Buffer.byteLength(content) : content.byteLength
  return bytes > maxBytes ? undefined : `${kind}:${createHash('sha256').update(content).digest('base64')}`
}

/** Whether a prototype gives its objects nothing, as that of what the parser of forms makes. */
function isBare (prototype: unknown): boolean {
  return prototype === null || (Reflect.ownKeys(prototype as object).length === 0 && Object.getPrototypeOf(prototype) === null)
}

/** Whether a value is an object of no class. */
export function isPlainObject (value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || isBare(prototype)
}

/** A text that values have in common only if they differ in nothing but the order of members; undefined if there is none. */
export function textOf (value: unknown): string | undefined {
  return isPlainJson(value) ? stringify(value) : undefined
}

/** What JSON can say without loss. A stream, a file part, any other class, and numbers that it has no words for say nothing. */
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
