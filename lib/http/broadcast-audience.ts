/**
 * The readers of a broadcast: who is the fastest, who is the slowest, and who waits for bytes.
 *
 * Invariant: those that wait are fed in the order in which they began to wait, each in the context of its own request.
 */
import type { Reader } from './broadcast-reader.js'

/** Takes steps until one says that it was the last. Calls `yields` before the event loop turns between two of them. */
export type Pace = (step: () => boolean, yields: () => void) => void

export class Audience {
  readonly #pace: Pace
  readonly #feed: (reader: Reader) => void
  readonly #fed: () => void
  readonly #readers = new Set<Reader>()
  #hungry: Reader[] = []
  /** Those that are being fed, if that takes more than one turn of the event loop. */
  #fedSlowly: Reader[] | undefined
  /** How far the fastest reader is. */
  #front = 0
  /** A reader has left since; it may have been the fastest. */
  #frontLeft = false

  /**
   * @param feed gives a waiting reader what there is for it
   * @param fed called after all that waited were fed
   */
  constructor (pace: Pace, feed: (reader: Reader) => void, fed: () => void) {
    this.#pace = pace
    this.#feed = feed
    this.#fed = fed
  }

  get size (): number {
    return this.#readers.size
  }

  /** Whether some of them are still to be fed with what has come. */
  get isBeingFed (): boolean {
    return this.#fedSlowly !== undefined
  }

  has (reader: Reader): boolean {
    return this.#readers.has(reader)
  }

  /** All of them, in a list that stays as it is when one of them leaves. */
  list (): readonly Reader[] {
    return [...this.#readers]
  }

  add (reader: Reader): void {
    this.#readers.add(reader)
    // The source may run ahead to the start of a span: the reader of it takes nothing before that.
    this.moved(reader)
  }

  /** Takes a reader out; whether it was in. */
  delete (reader: Reader): boolean {
    if (!this.#readers.delete(reader)) return false
    this.#frontLeft = true
    return true
  }

  /** A reader has a new position. */
  moved ({ position }: Reader): void {
    if (position > this.#front) this.#front = position
  }

  /** The position of the fastest reader. */
  fastest (): number {
    if (this.#frontLeft) {
      this.#frontLeft = false
      this.#front = 0
      for (const reader of this.#readers) this.moved(reader)
    }
    return this.#front
  }

  /** The position of the slowest reader; at most `end`. */
  slowest (end: number): number {
    let slowest = end
    for (const { position } of this.#readers) slowest = Math.min(slowest, position)
    return slowest
  }

  /** A reader waits for bytes. */
  wait (reader: Reader): void {
    if (reader.hungry) return
    reader.hungry = true
    this.#hungry.push(reader)
  }

  /** Feeds all readers that wait for bytes. */
  serve (): void {
    const hungry = this.#hungry.splice(0)
    if (hungry.length === 0) return
    let next = 0
    this.#pace(() => {
      const reader = hungry[next++] as Reader
      reader.hungry = false
      reader.scope.runInAsyncScope(this.#feed, undefined, reader)
      if (next < hungry.length) return true
      if (this.#fedSlowly === hungry) this.#fedSlowly = undefined
      this.#fed()
      return false
    }, () => { this.#fedSlowly = hungry })
  }
}
