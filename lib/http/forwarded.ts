/**
 * Forwarded (RFC 7239) without its addresses: what it says of host and protocol.
 *
 * Invariant: linear. Only what is certainly an address is left out. Anything that a hook could take for a host or a protocol counts.
 */

/** The field without its addresses, among header names. No header can have this name. */
export const FORWARDED = '(forwarded)'

/** A node with its port: an address, `unknown`, or an obfuscated one. */
const ADDRESS = /^[ \t]*(?:for|by)="?(?:[\da-f:.]{1,64}|\[[\da-f:.]{1,64}\]|unknown|_[\w.-]{1,64})(?::[\w.-]{1,64})?"?[ \t]*$/i
/** No node is longer. */
const LONGEST = 256

/** The field without its addresses, hop by hop; null if nothing is left, or there is no such field. */
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
