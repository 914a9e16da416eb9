/**
 * What comparing may cost: time and bytes. One for all routes of a registration.
 *
 * Invariant: one half of the bytes is for responses, the other for what was learned of them, so that neither crowds the other out. Responses that
 * are still on their way to their clients have half as many besides.
 */
import type { Clock } from '../../types/index.js'
import { Room } from './room.js'
import { Shelf } from './shelf.js'
import { TimeBudget } from './time-budget.js'

/** How many of the largest responses there is room for, with what their requests say, which is less than a fifth of the half. */
const LARGEST = 4

export interface AllowanceSettings {
  /** The part of one core, from 0 to 1. */
  readonly budget: number
  readonly maxBytes: number
  readonly clock: Clock
  /** Milliseconds, to measure what comparing takes. Default: `performance.now`. */
  readonly stopwatch?: () => number
}

export class Allowance {
  readonly time: TimeBudget
  /** For what was learned. */
  readonly room: Room
  readonly shelf: Shelf
  /** For responses that are compared as soon as their clients have read them. */
  readonly waiting: Room
  /** The most bytes of one response. */
  readonly largest: number
  readonly #clock: Clock
  readonly #start: number

  constructor ({ budget, maxBytes, clock, stopwatch = () => performance.now() }: AllowanceSettings) {
    this.time = new TimeBudget(budget, clock.now, stopwatch)
    this.room = new Room(maxBytes / 2)
    this.shelf = new Shelf(clock, new Room(maxBytes / 2))
    this.waiting = new Room(maxBytes / 2)
    this.largest = maxBytes / 2 / LARGEST
    this.#clock = clock
    this.#start = Date.now() - clock.now()
  }

  /** What comparing took, in seconds. */
  get seconds (): number {
    return this.time.seconds
  }

  /** Milliseconds since 1970. */
  get wall (): number {
    return this.#clock.wall?.() ?? this.#start + this.#clock.now()
  }

  /** The app closes: nothing is held any more, no timer is left. */
  close (): void {
    this.shelf.clear()
  }
}
