/**
 * Plain values as bytes: JSON, and behind it the bytes of Buffers and of long texts as they are.
 *
 * Invariant: neither direction ever throws. What is decoded is what was encoded, or nothing. There is no digest in it: bytes that were
 * altered may be other values, so who reads them from elsewhere seals them, and checks the value.
 */
import { isUtf8 } from 'node:buffer'
import { marked, REFUSED, unmarked } from './plain.js'
import { isWellFormed } from './well-formed.js'

/** The version, and the length of the JSON. */
const HEAD = 5
const VERSION = 1
/** Escaping a long text costs more than it does to carry it. */
const SHORT = 128
/** How the length of what is carried is written: so that it has one spelling only. */
const LENGTH = /^(?:0|[1-9][0-9]{0,9})$/

/** The bytes of a value, in pieces to be sent one after the other; undefined if JSON would change it. Buffers are not copied. */
export function encodeValue (value: unknown): Uint8Array[] | undefined {
  try {
    const pieces: Uint8Array[] = []
    const carry = (bytes: Buffer): string => {
      if (bytes.length > 0) pieces.push(bytes)
      return String(bytes.length)
    }
    const json = JSON.stringify(marked(value, {
      bytes: carry,
      // UTF-8 has no lone surrogates, and JSON escapes them.
      text: text => text.length <= SHORT || !isWellFormed(text) ? undefined : carry(Buffer.from(text))
    }))
    const length = Buffer.byteLength(json)
    const head = Buffer.allocUnsafe(HEAD + length)
    head[0] = VERSION
    head.writeUInt32BE(length, 1)
    head.write(json, HEAD)
    return [head, ...pieces]
  } catch {
    return undefined
  }
}

/** The value that bytes are; undefined if they are none. Its Buffers are slices of the bytes. */
export function decodeValue (bytes: Uint8Array): unknown {
  try {
    const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (all[0] !== VERSION) return undefined
    let place = HEAD + all.readUInt32BE(1)
    const next = (mark: string): Buffer => {
      if (!LENGTH.test(mark)) throw REFUSED
      const start = place
      place += Number(mark)
      return all.subarray(start, place)
    }
    const value = unmarked(JSON.parse(textOf(all.subarray(HEAD, place))), { bytes: next, text: mark => textOf(next(mark)) })
    return place === all.length ? value : undefined
  } catch {
    return undefined
  }
}

function textOf (bytes: Buffer): string {
  if (!isUtf8(bytes)) throw REFUSED
  return bytes.toString()
}
