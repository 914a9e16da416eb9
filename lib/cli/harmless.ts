/**
 * Text from the wire, for a terminal.
 *
 * Invariant: nothing is left of what terminals obey, or what changes how the rest is read: control and format characters, line ends, lone
 * surrogates.
 */
const HARMFUL = /(?! )[\p{C}\p{Z}]/gu

/** One line, with a question mark for each harmful character. */
export function harmless (text: string): string {
  return text.replace(HARMFUL, '?')
}

/** As JSON, with escapes for them. */
export function harmlessJson (value: unknown): string {
  return JSON.stringify(value, null, 2).replace(/(?![ \n])[\p{C}\p{Z}]/gu, found =>
    Array.from({ length: found.length }, (_, index) => `\\u${found.charCodeAt(index).toString(16).padStart(4, '0')}`).join(''))
}
