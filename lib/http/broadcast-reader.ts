/**
 * One reader of a broadcast, as a stream.
 *
 * Invariant: it knows its position and asks for more; its broadcast decides what it gets.
 */
import { AsyncResource } from 'node:async_hooks'
import { Readable } from 'node:stream'
import type { Span } from './range.js'

/** Why a reader is destroyed before its end: it was too slow, the source failed, or the bytes are not for its client. */
export type Cut = 'fell-behind' | 'cut-off' | 'vary'

/** The request that a reader reads for. */
export interface Listener {
  /** Its reader is cut off. Returns the error that the reader is destroyed with. */
  cutOff (reason: Cut, cause: Error | undefined): Error
}

/** What it reads from. */
interface Source {
  /** The reader wants more. */
  feed (reader: Reader): void
  /** The reader reads no more. */
  leave (reader: Reader): void
}

export class Reader extends Readable {
  /** Of the next byte that it is given. Before the source has come to its span, that is ahead of the source. */
  position: number
  /** Where its span ends. */
  readonly end: number
  /** The block to look for the position in first, counted from the first block ever. */
  block = 0
  /** It waits for bytes. */
  hungry = false
  /** It is being given bytes just now. */
  feeding = false
  /** It asked for more while it was being fed. */
  again = false
  readonly listener: Listener
  /** The asynchronous context of the reader's own request, in which it is fed. */
  readonly scope = new AsyncResource('CoalescedStream')
  readonly #source: Source

  constructor (source: Source, listener: Listener, { start, end }: Span) {
    super({ highWaterMark: 65_536 })
    this.#source = source
    this.position = start
    this.end = end
    this.listener = listener
    // A client that leaves must not end the process.
    this.on('error', () => {})
  }

  /** Destroys it, with the error that its listener gives for the reason. */
  cut (reason: Cut, cause: Error | undefined): void {
    const error = this.listener.cutOff(reason, cause)
    this.scope.runInAsyncScope(() => { this.destroy(error) })
  }

  override _read (): void {
    this.#source.feed(this)
  }

  override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
    this.#source.leave(this)
    callback(error)
  }
}
