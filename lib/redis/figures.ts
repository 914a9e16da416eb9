/**
 * What is counted of a link: numbers only, of fixed size.
 */
import type { CoordinationFigures, Durations } from '../../types/index.js'

/** Upper bounds in milliseconds; the last place of `counts` is for longer ones. */
const BOUNDS: readonly number[] = Object.freeze([0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000])

/** How long something took, in milliseconds. */
export class Times implements Durations {
  readonly bounds = BOUNDS
  /** How many took at most as long as the bound of the same place, and longer than the one before. */
  readonly counts: number[] = new Array<number>(BOUNDS.length + 1).fill(0)
  sum = 0

  add (milliseconds: number): void {
    let place = 0
    while (place < BOUNDS.length && milliseconds > (BOUNDS[place] as number)) place++
    this.counts[place] = this.counts[place] as number + 1
    this.sum += milliseconds
  }
}

/** Why a circuit opens. */
export const CAUSES = Object.freeze([
  'timeout', 'closed', 'READONLY', 'LOADING', 'MASTERDOWN', 'CLUSTERDOWN', 'OOM', 'MISCONF', 'NOREPLICAS', 'NOPERM', 'NOAUTH', 'BUSY', 'NOSCRIPT'
] as const)
export type Cause = typeof CAUSES[number]

export class Figures implements CoordinationFigures {
  isOpen = false
  readonly openings = Object.fromEntries(CAUSES.map(cause => [cause, 0])) as Record<Cause, number>
  timeouts = 0
  /** Of the joins that were sent; `skipped` ones were not. */
  readonly joins = { leads: 0, follows: 0, noted: 0, nothing: 0, unknown: 0, skipped: 0 }
  readonly joinTimes = new Times()
  /** How long this process led. */
  readonly leaseTimes = new Times()
  renewals = 0
  /** From the end of a run that others waited for until Redis has its result. */
  readonly handOffTimes = new Times()
  /** Results, and ends of leases, that were not known to have arrived in time. */
  failedHandOffs = 0
  /** Results that were sent to others, and that were received from others. */
  readonly sent = { messages: 0, bytes: 0 }
  readonly received = { messages: 0, bytes: 0 }
  /** Results that were too large for a message. */
  readonly uploads = { count: 0, bytes: 0 }
  /** Results that were not sent, since they have more bytes than a message may have. */
  tooLarge = 0
  /** Leaders that were found to be gone. */
  takeovers = 0
  lostLeases = 0
  /** Messages that were not ours, or were cut or changed. */
  rejected = 0
  readonly purges = { sent: 0, received: 0, resets: 0, missed: 0 }
}
