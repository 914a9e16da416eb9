/**
 * What the responses of a key can depend on: request headers, and under names that no header can have, the client's address, parts of
 * the query, and normalized headers.
 *
 * Invariant: these names are listed here only. Each stands for a header in normalized form, for the address, or for a part of the query.
 */
import type { Detail } from '../reasons.js'
import { ENCODINGS, normalizeAcceptEncoding } from './accept-encoding.js'
import { besidesAddresses, FORWARDED } from './forwarded.js'
import { isOfQuery } from './query.js'
import { CLIENT_ADDRESS } from './reads.js'

interface Meaning {
  readonly header: string
  readonly of: (value: string | null) => string | null
}

const MEANINGS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  [ENCODINGS, { header: 'accept-encoding', of: normalizeAcceptEncoding }],
  [FORWARDED, { header: 'forwarded', of: besidesAddresses }]
])

/** Whether a name stands for something other than the header of that name. */
export function isMeaning (name: unknown): boolean {
  return name === CLIENT_ADDRESS || (typeof name === 'string' && (isOfQuery(name) || MEANINGS.has(name)))
}

/** What runs split by that depend on these names: the first kind of this order that is among them. */
export function splitBy (names: readonly string[]): Detail {
  const plain = [...new Set(names.map(plainName))]
  if (names.includes(CLIENT_ADDRESS) || names.includes(FORWARDED)) return { cause: 'address', names: plain }
  if (names.includes('cookie')) return { cause: 'cookie', names: plain }
  return { cause: names.every(isOfQuery) ? 'query' : 'header', names: plain }
}

/** A name as people write it: a header, `ip`, or a part of the query after `?`. */
export function plainName (name: string): string {
  return name === CLIENT_ADDRESS ? 'ip' : headerOfName(name)
}

/** The header that a name stands for. Not for names of the address and the query. */
export function headerOfName (name: string): string {
  return MEANINGS.get(name)?.header ?? name
}

/** The value of a name in a request whose headers `get` returns. Not for names of the address and the query. */
export function meaningOf (name: string, get: (header: string) => string | null): string | null {
  const meaning = MEANINGS.get(name)
  return meaning === undefined ? get(name) : meaning.of(get(meaning.header))
}
