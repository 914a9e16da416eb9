/**
 * Records a stream while its own client reads it.
 *
 * Invariant: a stream is either recorded to its very end or not at all; what was cut off, or grew past the limit, is never
 * handed out. While it is recorded the source is read at its own pace, so that a slow client delays nobody who waits for the
 * recording; past the limit, the client's pace rules, as it would without a tape.
 */
import { finished, Readable } from 'node:stream'

/** How a recording ended. */
export type TapeEnd =
  | { readonly type: 'complete', readonly body: Buffer }
  | { readonly type: 'too-large' }
  | { readonly type: 'cut-off', readonly error: Error | undefined }

export interface TapeLimits {
  /** Bytes of this body. */
  readonly maxBytes: number
  /** Asked before bytes are held; false: there is no room for them. Told, with a negative number, when they are let go. */
  hold (bytes: number): boolean
}

export class Tape {
  /** What the source's own client reads instead of the source. */
  readonly reader: Readable
  readonly #source: Readable
  readonly #limits: TapeLimits
  readonly #onEnd: (end: TapeEnd) => void
  #chunks: Buffer[] = []
  #bytes = 0
  #started = false
  #over = false

  /**
   * @param source not read before `start`
   * @param onEnd called once, unless the tape is stopped before
   */
  constructor (source: Readable, limits: TapeLimits, onEnd: (end: TapeEnd) => void) {
    this.#source = source
    this.#limits = limits
    this.#onEnd = onEnd
    this.reader = new Readable({
      read: () => { if (this.#over) source.resume() },
      destroy: (error, callback) => {
        // While it is recorded somebody may wait for it: whoever stops the tape then ends the source.
        if (this.#over) source.destroy()
        callback(error)
      }
    })
    // The client's going away is no failure of the process; Fastify's own listeners come later than a source's first error.
    this.reader.on('error', () => {})
    finished(source, { writable: false }, error => { this.#finish(error ?? undefined) })
  }

  /** Starts to read the source. */
  start (): void {
    if (this.#started) return
    this.#started = true
    this.#source.on('data', (chunk: string | Uint8Array) => { this.#write(chunk) })
  }

  /** Stops recording. The client goes on reading at its own pace; without one the source is destroyed. */
  stop (): void {
    this.#letGo()
    if (this.reader.destroyed) this.#source.destroy()
    else this.start()
  }

  #write (chunk: string | Uint8Array): void {
    // A chunk is copied: its owner may use the memory again.
    const bytes = Buffer.from(chunk as Uint8Array)
    if (!this.#over) {
      if (this.#bytes + bytes.length > this.#limits.maxBytes || !this.#limits.hold(bytes.length)) {
        this.#end({ type: 'too-large' })
        if (this.reader.destroyed) this.#source.destroy()
      } else {
        this.#chunks.push(bytes)
        this.#bytes += bytes.length
      }
    }
    const wantsMore = this.reader.destroyed || this.reader.push(bytes)
    if (this.#over && !wantsMore) this.#source.pause()
  }

  #finish (error: Error | undefined): void {
    if (error !== undefined) {
      this.#end({ type: 'cut-off', error })
      this.reader.destroy(error)
      return
    }
    if (!this.#over) this.#end({ type: 'complete', body: Buffer.concat(this.#chunks, this.#bytes) })
    if (!this.reader.destroyed) this.reader.push(null)
  }

  #end (end: TapeEnd): void {
    if (this.#over) return
    this.#letGo()
    this.#onEnd(end)
  }

  #letGo (): void {
    if (this.#over) return
    this.#over = true
    this.#limits.hold(-this.#bytes)
    this.#chunks = []
  }
}
