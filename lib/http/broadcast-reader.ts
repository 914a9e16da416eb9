/**
 * One who reads a broadcast, as a stream.
 *
 * Invariant: it knows how far it is and asks for more; what it is given is its broadcast's to say.
 */
import { AsyncResource } from 'node:async_hooks'
import { Readable } from 'node:stream'
import type { Listener } from './broadcast.js'
import type { Span } from './range.js'

/** What it reads of. */
interface Source {
  /** A reader wants more. */
  feed (reader: Reader): void
  /** A reader reads no more. */
  leave (reader: Reader): void
}

export class Reader extends Readable {
  /** Of the next byte that it is given; before its span has come, that is ahead of the source. */
  position: number
  /** Where its span ends. */
  readonly end: number
  /** Where to look for the position first; counts from the first block ever. */
  block = 0
  /** It waits for bytes. */
  hungry = false
  feeding = false
  again = false
  readonly listener: Listener
  /** What flows to a client flows in the asynchronous context of its own request. */
  readonly scope = new AsyncResource('CoalescedStream')
  readonly #source: Source

  constructor (source: Source, listener: Listener, { start, end }: Span) {
    super({ highWaterMark: 65_536 })
    this.#source = source
    this.position = start
    this.end = end
    this.listener = listener
    // A client's going away is no failure of the process.
    this.on('error', () => {})
  }

  override _read (): void {
    this.#source.feed(this)
  }

  override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
    this.#source.leave(this)
    callback(error)
  }
}
