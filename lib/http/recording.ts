/**
 * What a run of the handler came to, as bytes that any number of clients can be given.
 *
 * Invariant: immutable. It shares no buffer with the handler and no header with any reply.
 */
import type { Variant } from '../variant.js'
import type { Broadcast } from './broadcast.js'
import type { HeaderDelta } from './headers.js'

export type Body = string | Buffer | null

export interface Recording {
  readonly status: number
  readonly headers: HeaderDelta
  /** The body; a broadcast while it is still being made. */
  readonly body: Body | Broadcast
  /** The size of the body in bytes; undefined while it is still being made. */
  readonly bytes: number | undefined
  /** The id of the request whose run this is; undefined for a kept one. */
  readonly leaderId: string | undefined
  /** The request headers that it depends on besides the key, and what the leader's were. */
  readonly variant: Variant
  /** If it was kept: since when. Moments in milliseconds since 1970, durations in milliseconds. */
  readonly kept?: {
    readonly storedAt: number
    readonly freshFor: number
    readonly age: number
    /** As HTTP writes it: each hit says it. */
    readonly date: string
    readonly labels: readonly string[]
  }
}

/** One that was kept. */
export type KeptRecording = Recording & Required<Pick<Recording, 'kept'>> & { readonly bytes: number }

/** Makes text or bytes a body that nobody else holds. */
export function snapshot (payload: string | Uint8Array | null | undefined): Body {
  if (payload === undefined || payload === null) return null
  return typeof payload === 'string' ? payload : Buffer.from(payload)
}

/** Whether a body has more bytes than `most`. No character has more than three in UTF-8 for each of its UTF-16 units. */
export function isLarger (body: string | Uint8Array | null, most: number): boolean {
  return body !== null && body.length * 3 > most && byteLength(body) > most
}

export function byteLength (body: string | Uint8Array | null): number {
  return body === null ? 0 : Buffer.byteLength(body)
}

const bytes = new WeakMap<Recording, Buffer>()

/** The bytes of a complete body, held once for all who are given ranges of it. */
export function bytesOf (recording: Recording): Buffer {
  const { body } = recording
  if (Buffer.isBuffer(body)) return body
  let made = bytes.get(recording)
  if (made === undefined) bytes.set(recording, made = Buffer.from(typeof body === 'string' ? body : ''))
  return made
}
