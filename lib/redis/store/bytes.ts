/**
 * Entries as bytes: a short plain head that scripts in Redis can read, then all else, sealed.
 *
 * Invariant: neither direction throws. What is decoded was encoded by one of us for that very key, head and all, or it is nothing. Of times
 * it has durations only.
 *
 *     version 1 byte · write 12 · e 8 (double) · begun 8 (double) · length of the generation 1 · number of places 2
 *     generation · places, 2 bytes each · sealed: [key, ran, freshFor, staleWhileRevalidate, staleIfError, labels, bytes, value]
 *
 * `begun`: how long ago its run began when its time is over, in milliseconds.
 */
import { randomBytes } from 'node:crypto'
import type { Entry } from '../../../types/index.js'
import { decodeValue, encodeValue } from '../../codec/value.js'
import type { Seal } from '../seal.js'

const VERSION = 1
const WRITE_AT = 1
const WRITE_BYTES = 12
const E_AT = WRITE_AT + WRITE_BYTES
const BEGUN_AT = E_AT + 8
const LENGTH_AT = BEGUN_AT + 8
const COUNT_AT = LENGTH_AT + 1
const HEAD_BYTES = COUNT_AT + 2
const MOST_PLACES = 2_000
const KIND = 'entry'
const MEMBERS = 8

/** What the clock of purges said. */
export interface Ticket {
  readonly generation: string
  readonly e: number
}

/** An entry without the times that each process has its own clock for. */
export interface Stored {
  readonly members: Omit<Entry, 'version' | 'since' | 'storedAt' | 'outdated'>
  /** How long its run took, in milliseconds. */
  readonly ran: number
  /** How long it is kept from its end on. */
  readonly keepFor: number
}

/** The bytes of an entry; undefined if it cannot travel. */
export function encodeEntry ({ members, ran, keepFor }: Stored, ticket: Ticket, places: readonly number[], seal: Seal): Buffer | undefined {
  const { key, freshFor, staleWhileRevalidate, staleIfError, labels, bytes, value } = members
  const pieces = encodeValue([key, ran, freshFor, staleWhileRevalidate, staleIfError, labels, bytes, value])
  if (pieces === undefined || places.length > MOST_PLACES) return undefined
  const head = headOf(ticket, ran + keepFor, places)
  return Buffer.concat([head, seal.seal(KIND, bound(head, key), pieces)])
}

function headOf ({ generation, e }: Ticket, begun: number, places: readonly number[]): Buffer {
  const name = Buffer.from(generation, 'latin1')
  const head = Buffer.alloc(HEAD_BYTES + name.length + 2 * places.length)
  head[0] = VERSION
  randomBytes(WRITE_BYTES).copy(head, WRITE_AT)
  head.writeDoubleBE(e, E_AT)
  head.writeDoubleBE(begun, BEGUN_AT)
  head[LENGTH_AT] = name.length
  head.writeUInt16BE(places.length, COUNT_AT)
  name.copy(head, HEAD_BYTES)
  for (const [index, place] of places.entries()) head.writeUInt16BE(place, HEAD_BYTES + name.length + 2 * index)
  return head
}

/** Which write bytes are of; undefined if they begin with no head. */
export function writeOf (bytes: Buffer): string | undefined {
  return bytes.length > HEAD_BYTES && bytes[0] === VERSION ? bytes.toString('latin1', WRITE_AT, E_AT) : undefined
}

/** What was encoded for a key; undefined if that was not it, or it was changed. */
export function decodeEntry (bytes: Buffer, key: string, seal: Seal): Stored | undefined {
  if (writeOf(bytes) === undefined) return undefined
  const end = HEAD_BYTES + (bytes[LENGTH_AT] as number) + 2 * bytes.readUInt16BE(COUNT_AT)
  const head = bytes.subarray(0, end)
  const opened = seal.open(KIND, bound(head, key), bytes.subarray(end))
  const found: unknown = opened === undefined ? undefined : decodeValue(opened)
  if (!Array.isArray(found) || found.length !== MEMBERS) return undefined
  const [sealedKey, ran, freshFor, staleWhileRevalidate, staleIfError, labels, size, value] = found as
    [string, number, number, number, number, readonly string[], number, unknown]
  if (sealedKey !== key) return undefined
  const members = { key, freshFor, staleWhileRevalidate, staleIfError, labels, bytes: size, value }
  return { members, ran, keepFor: head.readDoubleBE(BEGUN_AT) - ran }
}

/** A head tells its own length, so that no other head and key are the same text. */
function bound (head: Buffer, key: string): string {
  return head.toString('latin1') + key
}
