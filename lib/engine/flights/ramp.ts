/**
 * Starts runs a few at a time: followers that now run for themselves must not come as one burst.
 *
 * Invariant: at most `limit` admitted runs are under way. Each admitted run starts exactly once, in order. A run that does not call
 * `finished` loses its place after `patience`.
 */
import type { Clock } from '../../../types/index.js'
import { pace } from './pace.js'

/** Calls what it is given once it has finished. */
export type Run = (finished: () => void) => void

export class Ramp {
  readonly #limit: number
  readonly #patience: number
  readonly #clock: Clock
  readonly #queue: Run[] = []
  #head = 0
  #running = 0
  #starting = false

  /**
   * @param limit the most runs at a time
   * @param patience how long a run may hold its place, in milliseconds
   */
  constructor (limit: number, patience: number, clock: Clock) {
    this.#limit = limit
    this.#patience = patience
    this.#clock = clock
  }

  /** Starts `run` now, or when it is its turn. */
  admit (run: Run): void {
    this.#queue.push(run)
    this.#next()
  }

  #next (): void {
    // A run may finish inside the loop, which then goes on by itself.
    if (this.#starting) return
    this.#starting = true
    pace(this.#clock, this.#start)
  }

  /** Starts the next run; false if none may start. */
  readonly #start = (): boolean => {
    this.#starting = this.#running < this.#limit && this.#head < this.#queue.length
    if (!this.#starting) return false
    const run = this.#queue[this.#head++] as Run
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0
      this.#head = 0
    }
    this.#running++
    let over = false
    const finished = (): void => {
      if (over) return
      over = true
      this.#clock.clearTimeout(timer)
      this.#running--
      this.#next()
    }
    const timer = this.#clock.setTimeout(finished, this.#patience)
    run(finished)
    return true
  }
}
