/**
 * What of a function's arguments matters to coalescing: the caller's signal, and the key that they come to.
 *
 * Invariant: pure. No two different keys have the same text.
 */
import { partText } from '../http/answers.js'

/** The caller's signal: the last argument, or the `signal` of the last argument, be that a controller or a plain object. */
export function signalIn (args: readonly unknown[]): AbortSignal | undefined {
  const last: unknown = args.at(-1)
  if (last instanceof AbortSignal) return last
  if (!isCopied(last) || !('signal' in last)) return undefined
  return last.signal instanceof AbortSignal ? last.signal : undefined
}

/** A copy of it with another signal is as good. A request has a signal as well, and is more than what can be copied of it. */
function isCopied (value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  if (value instanceof AbortController) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The arguments for a run that is not one caller's: its signal instead of the caller's. */
export function withSignal<A extends readonly unknown[]> (args: A, signal: AbortSignal): A {
  if (signalIn(args) === undefined) return args
  const last: unknown = args.at(-1)
  const own = last instanceof AbortSignal ? signal : { ...last as object, signal }
  return [...args.slice(0, -1), own] as unknown as A
}

/** An injective text for a key; undefined if it says nothing. */
export function encodeKey (key: unknown): string | undefined {
  if (!Array.isArray(key)) return key === '' ? undefined : partText(key)
  if (key.length === 0) return undefined
  const parts: string[] = []
  for (const part of key as unknown[]) {
    switch (typeof part) {
      case 'string':
        parts.push(JSON.stringify(part))
        break
      case 'number':
        parts.push(Object.is(part, -0) ? '-0' : String(part))
        break
      case 'bigint':
        parts.push(`${part}n`)
        break
      case 'boolean':
      case 'undefined':
        parts.push(String(part))
        break
      default:
        if (part !== null) return undefined
        parts.push('null')
    }
  }
  return `[${parts.join(',')}]`
}
