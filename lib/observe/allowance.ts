/**
 * What comparing may cost: time and bytes. One for all routes of a registration.
 */
import type { Clock } from '../../types/index.js'

export interface AllowanceSettings {
  /** The part of one core, from 0 to 1. */
  readonly budget: number
  readonly maxBytes: number
  readonly clock: Clock
  /** Milliseconds, to measure what comparing takes. Default: `performance.now`. */
  readonly stopwatch?: () => number
}

export class Allowance {
  /** What comparing took, in seconds. */
  seconds = 0

  constructor (_settings: AllowanceSettings) { this.seconds = 0 }

  /** The app closes: nothing is held any more, no timer is left. */
  close (): void {}
}
