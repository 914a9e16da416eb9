/**
 * The permit of one run: the breaker's leave, and a slot.
 *
 * Invariant: the breaker is told once, and the slot is freed or passed on once. A run that has told nothing has failed when its time is
 * over, unless it is excused: its response has begun, say.
 */
import { Timed, type Deadlines } from '../deadlines.js'
import { FlightTimeoutError } from '../errors.js'
import type { BreakerRun } from './breaker.js'
import type { Permit, RunEnd, Slot } from './permits.js'

export class RunPermit extends Timed implements Permit {
  readonly type = 'granted'
  readonly since: number
  readonly limit: number
  readonly #run: BreakerRun
  readonly #deadlines: Deadlines
  #slot: Slot | undefined
  #isExcused = false

  constructor (run: BreakerRun, slot: Slot, limit: number, now: number, deadlines: Deadlines) {
    super()
    this.#run = run
    this.#slot = slot
    // A flight that has the same time ends first: who leads it next takes the slot.
    this.limit = limit + 1
    this.since = now
    this.#deadlines = deadlines
    deadlines.start(this)
  }

  tell (end: RunEnd): void {
    this.#run.end(end)
  }

  streams (): void {
    this.#run.answered()
    this.#isExcused = true
  }

  excuse (isExcused: boolean): void {
    this.#isExcused = isExcused
  }

  release (): void {
    this.#run.end(undefined)
    this.#deadlines.end(this)
    this.passOn()?.free()
  }

  passOn (): Slot | undefined {
    const slot = this.#slot
    this.#slot = undefined
    return slot
  }

  expire (): void {
    this.tell(this.#isExcused ? undefined : { status: undefined, error: new FlightTimeoutError(this.limit - 1) })
    this.release()
  }
}
