/**
 * Forwarded (RFC 7239), as far as it says more than by which addresses a request came.
 *
 * Invariant: linear, and only what is sure to be an address is left out: what a hook could take for a host or a protocol counts,
 * wherever it stands.
 */

/** The name of what the field says besides addresses, among header names; no header can be called so. */
export const FORWARDED = '(forwarded)'

/** A node, with its port: an address, or one that is not told. */
const ADDRESS = /^[ \t]*(?:for|by)="?(?:[\da-f:.]{1,64}|\[[\da-f:.]{1,64}\]|unknown|_[\w.-]{1,64})(?::[\w.-]{1,64})?"?[ \t]*$/i
/** There is no longer one. */
const LONGEST = 256

/** What is left of the field without its addresses, hop by hop; null if that is nothing, or there is no such field. */
export function besidesAddresses (value: string | null): string | null {
  if (value === null) return null
  let rest = ''
  let says = false
  let start = 0
  let isQuoted = false
  const take = (end: number): void => {
    const pair = value.slice(start, end)
    start = end + 1
    if (pair === '' || (pair.length <= LONGEST && ADDRESS.test(pair))) return
    says = true
    rest += `${pair};`
  }
  for (let at = 0; at < value.length; at++) {
    const character = value.charAt(at)
    if (isQuoted && character === '\\') {
      at++
    } else if (character === '"') {
      isQuoted = !isQuoted
    } else if (!isQuoted && (character === ';' || character === ',')) {
      take(at)
      if (character === ',') rest += ','
    }
  }
  if (isQuoted) return value
  take(value.length)
  return says ? rest : null
}
