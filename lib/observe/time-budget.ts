/**
 * A part of one core, as a bucket of time: it fills by that part of the time that passes, and is emptied by what work takes.
 *
 * Invariant: over a time, work takes no more than that part of it, besides what the bucket holds, and the last piece of work that was begun.
 */

/** How long the bucket takes to fill, in milliseconds. */
const FULL = 5000

export class TimeBudget {
  readonly #part: number
  readonly #now: () => number
  readonly #stopwatch: () => number
  #left: number
  #at: number
  #began = 0
  #spent = 0

  /**
   * @param part from 0 to 1
   * @param now the time that fills it, in milliseconds
   * @param stopwatch the time that work takes, in milliseconds
   */
  constructor (part: number, now: () => number, stopwatch: () => number) {
    this.#part = part
    this.#now = now
    this.#stopwatch = stopwatch
    this.#left = part * FULL
    this.#at = now()
  }

  /** What work took, in seconds. */
  get seconds (): number {
    return this.#spent / 1000
  }

  /** Whether there is time for a piece of work. `end` has to follow if there is. */
  begin (): boolean {
    const now = this.#now()
    this.#left = Math.min(this.#left + (now - this.#at) * this.#part, this.#part * FULL)
    this.#at = now
    if (this.#left <= 0) return false
    this.#began = this.#stopwatch()
    return true
  }

  end (): void {
    const took = this.#stopwatch() - this.#began
    this.#left -= took
    this.#spent += took
  }
}
