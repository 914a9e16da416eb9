/**
 * Calls those who take too long, with one timer for all that have the same limit.
 *
 * Invariant: those with one limit come due in the order in which they started, so that only the oldest needs a timer. It is
 * moved on when it fires, not whenever one of them ends: starting and ending cost no timer.
 */
import type { Clock } from '../../types/index.js'

export interface Timed {
  /** When it started, by the clock. */
  readonly since: number
  /** How long it may take, in milliseconds. */
  readonly limit: number
  /** It has taken longer than that. Must not throw. */
  expire (): void
}

interface Queue {
  readonly members: Set<Timed>
  timer: unknown
}

export class Deadlines {
  readonly #clock: Clock
  readonly #queues = new Map<number, Queue>()
  #closed = false

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** Watches `timed`, which has just started. */
  start (timed: Timed): void {
    let queue = this.#queues.get(timed.limit)
    if (queue === undefined) this.#queues.set(timed.limit, queue = { members: new Set(), timer: undefined })
    queue.members.add(timed)
    if (queue.timer === undefined) this.#arm(queue, timed)
  }

  /** Watches it no longer. */
  end (timed: Timed): void {
    const queue = this.#queues.get(timed.limit)
    if (queue === undefined) return
    queue.members.delete(timed)
    if (this.#closed && queue.members.size === 0) this.#disarm(queue)
  }

  /** Leaves no timer behind once all that are watched have ended. */
  close (): void {
    this.#closed = true
    for (const queue of this.#queues.values()) {
      if (queue.members.size === 0) this.#disarm(queue)
    }
  }

  #arm (queue: Queue, oldest: Timed): void {
    const delay = Math.max(oldest.since + oldest.limit - this.#clock.now(), 1)
    queue.timer = this.#clock.setTimeout(() => { this.#fire(queue) }, delay)
  }

  #disarm (queue: Queue): void {
    this.#clock.clearTimeout(queue.timer)
    queue.timer = undefined
  }

  #fire (queue: Queue): void {
    queue.timer = undefined
    const now = this.#clock.now()
    for (const timed of queue.members) {
      // Node's timers may fire up to a millisecond early.
      if (timed.since + timed.limit - now >= 1) {
        if (queue.timer === undefined) this.#arm(queue, timed)
        return
      }
      queue.members.delete(timed)
      timed.expire()
    }
  }
}
