/**
 * What functions of the app answer that are asked for a key, or who is asking.
 *
 * Invariant: pure. Of no two different answers the text is the same, and what says nothing has none.
 */

/** A text for one part of a key, in JSON; undefined if it is none. */
export function partText (part: unknown, quote: (text: string) => string = JSON.stringify): string | undefined {
  switch (typeof part) {
    case 'string':
      return quote(part)
    case 'number':
      // That of which nobody knows the number would be one key.
      return Number.isFinite(part) ? Object.is(part, -0) ? '-0' : String(part) : undefined
    case 'boolean':
      return String(part)
    case 'bigint':
      return `{"bigint":"${part}"}`
    default:
      return undefined
  }
}

/** What an answer is that is no key, for a warning; undefined if it is nothing, as of those who mean to have none. */
export function notAKey (answer: unknown): string | undefined {
  if (answer === undefined || answer === null || answer === '') return undefined
  if (Array.isArray(answer)) return answer.length === 0 ? undefined : 'an array of other things'
  if (answer instanceof Promise) return 'a promise'
  return typeof answer === 'object' ? 'an object' : typeof answer === 'number' ? String(answer) : `a ${typeof answer}`
}
