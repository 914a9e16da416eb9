/**
 * The stream that a broadcast reads: its chunks as bytes, and how it ended.
 *
 * Invariant: it is read once and by nobody else, and it ended cleanly only if it came to its declared length. After it has ended or was
 * destroyed, nothing more is told of it.
 */
import { finished, type Readable } from 'node:stream'

export interface SourceLimits {
  /** What Content-Length says; undefined if there is none. */
  readonly length: number | undefined
  /** The error of a body of another length than was declared. */
  wrongLength (declared: number, got: number): Error
}

export class Source {
  readonly #stream: Readable
  readonly #limits: SourceLimits
  readonly #write: (bytes: Uint8Array) => void
  readonly #ended: (failure: Error | undefined) => void
  /** Whether bytes had been read from the stream before it was given here. */
  readonly #wasRead: boolean
  #total = 0
  #isStarted = false
  /** It ended without a byte before it was started. */
  #endedEarly = false
  #isOver = false

  /**
   * @param stream not read before `start`
   * @param write is given some bytes, whose memory may be used again afterwards
   * @param ended called once, with the reason if the stream failed; before `start` only if it failed
   */
  constructor (stream: Readable, limits: SourceLimits, write: (bytes: Uint8Array) => void, ended: (failure: Error | undefined) => void) {
    this.#stream = stream
    this.#limits = limits
    this.#write = write
    this.#ended = ended
    this.#wasRead = stream.readableDidRead
    finished(stream, { writable: false }, error => { this.#end(error ?? undefined) })
  }

  /** Whether it is being read, or has ended. */
  get isStarted (): boolean {
    return this.#isStarted
  }

  /** Starts to read; whether there is anything to read. */
  start (): boolean {
    this.#isStarted = true
    const isReadElsewhere = this.#stream.readableDidRead !== this.#wasRead
    if (isReadElsewhere || this.#endedEarly) {
      this.#end(isReadElsewhere ? new Error('somebody else has read of a stream that was sent') : undefined)
      return false
    }
    this.#stream.on('data', (chunk: unknown) => { this.#take(chunk) })
    return true
  }

  resume (): void {
    this.#stream.resume()
  }

  pause (): void {
    this.#stream.pause()
  }

  destroy (): void {
    this.#isOver = true
    this.#stream.destroy()
  }

  #take (chunk: unknown): void {
    if (this.#isOver) return
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) {
      this.#end(new TypeError('a stream that is sent must give strings or bytes'))
      return
    }
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    if (bytes.length === 0) return
    const { length } = this.#limits
    this.#total += bytes.length
    if (length !== undefined && this.#total > length) this.#end(this.#limits.wrongLength(length, this.#total))
    else this.#write(bytes)
  }

  #end (error: Error | undefined): void {
    if (this.#isOver) return
    if (!this.#isStarted && error === undefined) {
      this.#endedEarly = true
      return
    }
    this.#isStarted = true
    this.#isOver = true
    const { length } = this.#limits
    this.#ended(error ?? (length !== undefined && length !== this.#total ? this.#limits.wrongLength(length, this.#total) : undefined))
  }
}
