/**
 * The codec of what runs came to, for any kind of recording.
 *
 * Invariant: neither direction throws. Messages of another version or kind are nothing.
 */
import { attempt, isSwitch, isText, member, unfit, wanted } from '../../codec/strict.js'
import { decodeValue, encodeValue } from '../../codec/value.js'
import { isUnshareableReason } from '../../reasons.js'
import type { Variant } from '../../variant.js'
import type { LandingCodec, PeerResult } from './codec.js'

const VERSION = 1

/** How recordings of one kind look as plain values. Whatever does not fit is thrown out of. */
export interface RecordingFormat<R> {
  readonly kind: string
  write (recording: R): unknown
  /**
   * Reads what may come from anywhere.
   *
   * @param failed whether it is that of a run that failed
   */
  read (value: unknown, failed: boolean): R
  /** The names of what results can depend on besides the key. */
  names (value: unknown): readonly string[]
  variant (value: unknown): Variant
}

export class MessageCodec<R> implements LandingCodec<R> {
  readonly #format: RecordingFormat<R>
  readonly #refused: (error: unknown) => void

  /** @param refused told of what cannot travel, and of what the format threw, if it did */
  constructor (format: RecordingFormat<R>, refused: (error: unknown) => void = ignore) {
    this.#format = format
    this.#refused = refused
  }

  encode (result: PeerResult<R>): Uint8Array | undefined {
    let thrown: unknown
    try {
      const pieces = encodeValue(this.#write(result))
      if (pieces !== undefined) return Buffer.concat(pieces)
    } catch (error) {
      thrown = error
    }
    attempt(() => { this.#refused(thrown) })
    return undefined
  }

  decode (bytes: Uint8Array): PeerResult<R> | undefined {
    return attempt(() => this.#read(decodeValue(bytes)))
  }

  #write (result: PeerResult<R>): unknown {
    const head = { version: VERSION, kind: this.#format.kind, type: result.type }
    switch (result.type) {
      case 'shared':
      case 'failed':
        return { ...head, leaderId: textOf(result.leaderId), names: result.names, recording: this.#format.write(result.recording) }
      case 'unshareable': {
        const { leaderId, reason, remember, variant: { names, values } } = result
        return { ...head, leaderId: textOf(leaderId), reason, remember, variant: { names, values } }
      }
      case 'varies':
        return { ...head, names: result.names }
      case 'stays':
        return head
    }
  }

  #read (value: unknown): PeerResult<R> {
    if (member(value, 'version') !== VERSION || member(value, 'kind') !== this.#format.kind) return unfit()
    const type = member(value, 'type')
    switch (type) {
      case 'shared':
      case 'failed':
        return {
          type,
          leaderId: wanted(isText, member(value, 'leaderId')),
          names: this.#format.names(member(value, 'names')),
          recording: this.#format.read(member(value, 'recording'), type === 'failed')
        }
      case 'unshareable':
        return {
          type,
          leaderId: wanted(isText, member(value, 'leaderId')),
          reason: wanted(isUnshareableReason, member(value, 'reason')),
          remember: wanted(isSwitch, member(value, 'remember')),
          variant: this.#format.variant(member(value, 'variant'))
        }
      case 'varies':
        return { type, names: this.#format.names(member(value, 'names')) }
      case 'stays':
        return { type }
      default:
        return unfit()
    }
  }
}

function ignore (): void {}

/** An app may make ids of requests that are numbers. */
function textOf (id: string): string {
  return String(id)
}
