/**
 * The body of a run of another process, read from its log while that is written.
 *
 * Invariant: what is given is a beginning of the body, and it ends cleanly only if it is all of it. An entry comes open only in its own place.
 * It is read no faster than it is wanted, until the log is whole: then all of it is, since it is not kept for long.
 */
import { Readable } from 'node:stream'
import type { Link } from './link.js'
import { PLACE_OF, type LoggedRun } from './log-writer.js'
import { SEAL_BYTES } from './seal.js'

export interface LogListener {
  /** What comes before the body. */
  opened (head: Uint8Array): void
  /** Nothing comes of it, and nothing was given yet. */
  failed (): void
  /** Nothing more is read. `isComplete`: all was. */
  closed (isComplete: boolean): void
}

/** How many entries are read at once. */
const BATCH = 16
const BATCH_BYTES = 1_048_576

export class LogReader extends Readable {
  readonly #link: Link
  readonly #run: LoggedRun
  readonly #maxBytes: number
  readonly #listener: LogListener
  /** The entry that is read next. */
  #next = 0
  /** How many there are. */
  #entries = 0
  #isWhole = false
  /** Where in the body it is. */
  #offset = 0
  #isWanted = true
  #isReading = false
  #isClosed = false

  constructor (link: Link, run: LoggedRun, maxBytes: number, listener: LogListener) {
    super({ highWaterMark: 65_536 })
    this.#link = link
    this.#run = run
    this.#maxBytes = maxBytes
    this.#listener = listener
    // A stream that is lost must not end the process.
    this.on('error', () => {})
  }

  /** So many entries are there. None: there is no log any more. */
  more (entries: number, isWhole: boolean): void {
    if (entries === 0) {
      this.fail()
      return
    }
    this.#entries = Math.max(this.#entries, entries)
    this.#isWhole ||= isWhole
    this.#fetch()
  }

  /** Nothing more comes. */
  fail (): void {
    if (this.#isClosed) return
    if (this.#next > 0) {
      this.destroy(new Error('the process that makes this stream is gone, or cannot be heard'))
      return
    }
    this.#isClosed = true
    this.destroy()
    this.#listener.failed()
  }

  override _read (): void {
    this.#isWanted = true
    this.#fetch()
  }

  override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
    this.#close(false)
    callback(error)
  }

  #close (isComplete: boolean): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#listener.closed(isComplete)
  }

  async #fetch (): Promise<void> {
    if (this.#isClosed || this.#isReading || this.#next >= this.#entries || !(this.#isWanted || this.#isWhole)) return
    this.#isReading = true
    const { names: { lane }, token } = this.#run
    const first = this.#next
    const replies = await this.#link.send(lane, [['LRANGE', this.#link.names.log(lane, token), first, first + BATCH - 1]], BATCH_BYTES)
    this.#isReading = false
    const entries = replies?.[0]
    if (!Array.isArray(entries) || entries.length === 0) {
      this.fail()
      return
    }
    for (const entry of entries) {
      if (this.#isClosed) return
      this.#take(entry)
    }
    this.#fetch()
  }

  #take (sealed: unknown): void {
    const { figures, seal } = this.#link
    const { key, token } = this.#run
    const isEnd = this.#next > 0 && (sealed as Buffer).length === SEAL_BYTES
    const place = this.#next === 0 ? PLACE_OF.head(token) : isEnd ? PLACE_OF.end(token, this.#offset) : PLACE_OF.body(token, this.#offset)
    const bytes = seal.open(place, key, sealed as Buffer)
    if (bytes === undefined || this.#offset + bytes.length > this.#maxBytes) {
      figures.rejected++
      this.fail()
      return
    }
    figures.received.bytes += (sealed as Buffer).length
    if (this.#next++ === 0) {
      this.#listener.opened(bytes)
    } else if (isEnd) {
      figures.received.messages++
      this.#close(true)
      this.push(null)
    } else {
      this.#offset += bytes.length
      this.#isWanted = this.push(bytes)
    }
  }
}
