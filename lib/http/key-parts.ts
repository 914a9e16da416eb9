/**
 * What the app's `key` and `identity` functions return, as text.
 *
 * Invariant: pure. Different keys have different texts, and a value that is no key has none.
 */

/** The text of one part of a key, as JSON; undefined if the value cannot be part of a key. */
export function partText (part: unknown, quote: (text: string) => string = JSON.stringify): string | undefined {
  switch (typeof part) {
    case 'string':
      return quote(part)
    case 'number':
      // NaN would be one key for all values that could not be computed.
      return Number.isFinite(part) ? Object.is(part, -0) ? '-0' : String(part) : undefined
    case 'boolean':
      return String(part)
    case 'bigint':
      return `{"bigint":"${part}"}`
    default:
      return undefined
  }
}

/** An injective text for what the key function of a deduplicated function returns; undefined if that is no key. */
export function functionKeyText (key: unknown): string | undefined {
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

/** Describes a returned value that is no key, for a warning; undefined if it is nothing, which is how a function says no key. */
export function notAKey (answer: unknown): string | undefined {
  if (answer === undefined || answer === null || answer === '') return undefined
  if (Array.isArray(answer)) return answer.length === 0 ? undefined : 'an array of other things'
  if (answer instanceof Promise) return 'a promise'
  return typeof answer === 'object' ? 'an object' : typeof answer === 'number' ? String(answer) : `a ${typeof answer}`
}
