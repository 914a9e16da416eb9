/**
 * What a response's Vary names (RFC 9110 section 12.5.5).
 *
 * Invariant: a `*` as any member, and a field that is not well formed, mean that no other request may match.
 */
import { lines, tokenList, type FieldValue } from './fields.js'

const NO_NAMES: readonly string[] = Object.freeze([])

/** The names, in lower case; or the reason why no other request may match. */
export function parseVary (value: FieldValue): readonly string[] | 'vary-any' | 'vary-malformed' {
  if (value === undefined) return NO_NAMES
  const names: string[] = []
  for (const line of lines(value)) {
    const members = tokenList(line)
    if (members === undefined) return 'vary-malformed'
    // Not by `push(...members)`: there may be more members than a call takes arguments.
    for (const name of members) names.push(name)
  }
  return names.includes('*') ? 'vary-any' : names
}
