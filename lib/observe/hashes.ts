/**
 * Texts as numbers of 48 bits, in which they are compared and remembered.
 *
 * Invariant: salted anew in each process, so that nobody can look up what a number was made of, nor choose texts whose numbers are the same. Sums
 * do not depend on the order, and what was added can be taken away.
 */
import { createHash, hash, randomBytes } from 'node:crypto'

const SALT = randomBytes(16).toString('base64url')
const SEED = randomBytes(4).readInt32LE()
/** What is longer is hashed by what is faster per character. */
const LONG = 48

export const MODULUS = 2 ** 48

/** A cheap one, for values that nothing but a count hangs on. */
export function hashOf (text: string): number {
  if (text.length > LONG) return digestOf(text)
  let high = 0x811c9dc5 ^ SEED
  let low = 0x9747b28c ^ SEED
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    high = Math.imul(high ^ code, 0x01000193)
    low = Math.imul(low ^ code, 0x85ebca6b)
    low ^= low >>> 13
  }
  high ^= high >>> 15
  high = Math.imul(high, 0x2c1b3c6d)
  high ^= high >>> 12
  return (high >>> 0) * 65536 + ((low >>> 0) & 0xffff)
}

/** One that stands for the text. */
export function digestOf (text: string): number {
  return hash('sha256', SALT + text, 'buffer').readUIntBE(0, 6)
}

/** One that stands for both. */
export function digestOfBytes (head: string, bytes: Uint8Array): number {
  return createHash('sha256').update(SALT + head).update(bytes).digest().readUIntBE(0, 6)
}

/** One that stands for both, in this order: sums of them tell apart which belongs to which. */
export function mixed (one: number, other: number): number {
  let low = Math.imul((one >>> 0) ^ Math.imul((other / 65536) >>> 0, 0x9e3779b1), 0x297a2d39)
  low ^= low >>> 15
  let high = Math.imul(((one / 65536) >>> 0) ^ Math.imul(other >>> 0, 0x85ebca6b), 0x2c1b3c6d)
  high = Math.imul(high ^ (high >>> 15) ^ low, 0xc2b2ae35)
  high ^= high >>> 13
  return (high >>> 0) * 65536 + ((low >>> 0) & 0xffff)
}

export function plus (sum: number, value: number): number {
  return (sum + value) % MODULUS
}

export function minus (sum: number, value: number): number {
  return (sum - value + MODULUS) % MODULUS
}
