/**
 * Accept-Encoding, as far as it can tell responses apart (RFC 9110 section 12.5.3).
 *
 * Invariant: two fields have one normalized form only if they list the same codings with the same weights in the same order
 * (some servers take the first of equals). What is not well formed stays as it is.
 */
import { trimmed } from './conditional.js'

/** The normalized field, among header names. No header can have this name. */
export const ENCODINGS = '(accept-encoding)'

const MEMBER = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ \t]*;[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?$/i

/** The members without spaces, in lower case, weights in their shortest form; null if there is no such field. */
export function normalizeAcceptEncoding (value: string | null): string | null {
  if (value === null) return null
  const members: string[] = []
  for (const piece of value.split(',')) {
    const text = trimmed(piece)
    if (text === '') continue
    const match = MEMBER.exec(text)
    if (match === null) return value
    const weight = Number(match[2] ?? 1)
    members.push((match[1] as string).toLowerCase() + (weight === 1 ? '' : `;q=${weight}`))
  }
  return members.join(',')
}

/**
 * The names that a response depends on. Accept-Encoding is compared by its meaning if the response's own Vary names it (RFC 9111
 * section 4.1), and byte for byte if the handler only read it.
 */
export function byMeaning (names: readonly string[], vary: readonly string[]): readonly string[] {
  return vary.includes('accept-encoding') ? names.map(name => name === 'accept-encoding' ? ENCODINGS : name) : names
}
