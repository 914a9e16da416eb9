/**
 * The followers that wait on one flight, and until when each of them waits.
 *
 * Invariant: in order of boarding. One timer serves all of them: it is set for the follower whose wait ends first, and is not set
 * while nobody waits.
 */
import type { Clock } from '../../../types/index.js'

/** A follower, as far as its wait goes. */
export interface Waiter {
  /** When its wait began, by the clock. It stays so while it waits. */
  readonly waitingSince: number
  /** How long it waits from then on, in milliseconds. The same for all followers of a key. */
  readonly waitTimeout: number
}

/** Is told whose wait is over. */
export interface WaitListener<F> {
  /** The followers are being told how their flight ends, so nobody's wait times out. */
  readonly isTelling: boolean
  /** The wait of a follower is over. False: there is no time for it in this turn of the event loop, which began at `since`. */
  timedOut (follower: F, since: number): boolean
  /** All whose wait was over have been told. */
  waitsChecked (): void
}

export class Followers<F extends Waiter> {
  readonly #clock: Clock
  readonly #listener: WaitListener<F>
  readonly #all = new Set<F>()
  /** The order of boarding is the order of the deadlines as well: nobody has waited elsewhere before. */
  #ordered = true
  #lastDeadline = 0
  #timer: unknown
  /** What the timer is set for. */
  #timerAt = 0

  constructor (clock: Clock, listener: WaitListener<F>) {
    this.#clock = clock
    this.#listener = listener
  }

  get size (): number {
    return this.#all.size
  }

  has (follower: F): boolean {
    return this.#all.has(follower)
  }

  /** In order of boarding. Those who leave or come meanwhile are left out or added. */
  all (): SetIterator<F> {
    return this.#all.values()
  }

  /** The first of those who may, or the last. */
  pick (may: (follower: F) => boolean, last: boolean): F | undefined {
    let picked: F | undefined
    for (const follower of this.all()) {
      if (!may(follower)) continue
      picked = follower
      if (!last) break
    }
    return picked
  }

  add (follower: F): void {
    const deadline = deadlineOf(follower)
    if (deadline < this.#lastDeadline) this.#ordered = false
    if (deadline < this.#timerAt) this.#disarm()
    this.#lastDeadline = deadline
    this.#all.add(follower)
    if (this.#timer === undefined) this.#arm(deadline)
  }

  remove (follower: F): void {
    this.#all.delete(follower)
    if (this.size === 0) this.#disarm()
  }

  /** Checks the waits once more, as soon as it is another timer's turn. */
  checkSoon (): void {
    this.#disarm()
    if (this.size > 0) this.#arm(this.#clock.now())
  }

  #arm (at: number): void {
    this.#timerAt = at
    this.#timer = this.#clock.setTimeout(() => { this.#check() }, Math.max(at - this.#clock.now(), 1))
  }

  #disarm (): void {
    if (this.#timer === undefined) return
    this.#clock.clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #check (): void {
    this.#timer = undefined
    const now = this.#clock.now()
    let next = Infinity
    for (const follower of this.#all) {
      if (this.#listener.isTelling) return
      const deadline = deadlineOf(follower)
      // Node's timers may fire up to a millisecond early.
      if (deadline - now >= 1) {
        next = Math.min(next, deadline)
        if (this.#ordered) break
      } else if (!this.#listener.timedOut(follower, now)) {
        next = deadline
      }
    }
    // Somebody who boarded meanwhile may have set it.
    this.#disarm()
    if (next < Infinity && this.size > 0) this.#arm(next)
    this.#listener.waitsChecked()
  }
}

function deadlineOf ({ waitTimeout, waitingSince }: Waiter): number {
  return waitingSince + waitTimeout
}
