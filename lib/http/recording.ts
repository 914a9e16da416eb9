/**
 * The recorded response of a handler's run, as bytes that any number of clients can be given.
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
  /** The id of the request whose run this is; undefined for a cached response. */
  readonly leaderId: string | undefined
  /** The request headers that it depends on besides the key, with the leader's values. */
  readonly variant: Variant
  /** If it comes from the cache: its age and freshness. Moments in milliseconds since 1970, durations in milliseconds. */
  readonly kept?: {
    readonly storedAt: number
    readonly freshFor: number
    readonly age: number
    /** The Date of each hit, as HTTP writes it. */
    readonly date: string
    readonly labels: readonly string[]
  }
}

/** A recording from the cache. */
export type KeptRecording = Recording & Required<Pick<Recording, 'kept'>> & { readonly bytes: number }

/** Copies a payload to a body that shares no memory with it. */
export function snapshot (payload: string | Uint8Array | null | undefined): Body {
  if (payload === undefined || payload === null) return null
  return typeof payload === 'string' ? payload : Buffer.from(payload)
}

/** Whether a body has more than `most` bytes. A UTF-16 unit takes at most three bytes in UTF-8, so most texts need no count. */
export function isLarger (body: string | Uint8Array | null, most: number): boolean {
  return body !== null && body.length * 3 > most && byteLength(body) > most
}

export function byteLength (body: string | Uint8Array | null): number {
  return body === null ? 0 : Buffer.byteLength(body)
}

const bytes = new WeakMap<Recording, Buffer>()

/** The bytes of a complete body, made once for all clients that get ranges of it. */
export function bytesOf (recording: Recording): Buffer {
  const { body } = recording
  if (Buffer.isBuffer(body)) return body
  let made = bytes.get(recording)
  if (made === undefined) bytes.set(recording, made = Buffer.from(typeof body === 'string' ? body : ''))
  return made
}
