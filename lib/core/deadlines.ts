/**
 * Calls those who take too long, with one timer for all that have the same limit.
 *
 * Invariant: those with one limit come due in the order in which they started, so that only the oldest needs a timer. It is
 * moved on when it fires, not whenever one of them ends: while there are others, starting and ending cost no timer.
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

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** Watches `timed`, which has just started. */
  start (timed: Timed): void {
    let queue = this.#queues.get(timed.limit)
    if (queue === undefined) this.#queues.set(timed.limit, queue = { members: new Set(), timer: undefined })
    queue.members.add(timed)
    // Whoever is alone is the oldest; otherwise the timer is, or will be, set for one who is older.
    if (queue.members.size === 1) this.#arm(queue, timed)
  }

  /** Watches one that was started no longer. */
  end (timed: Timed): void {
    const queue = this.#queues.get(timed.limit) as Queue
    queue.members.delete(timed)
    if (queue.members.size > 0) return
    this.#clock.clearTimeout(queue.timer)
    queue.timer = undefined
  }

  #arm (queue: Queue, oldest: Timed): void {
    const delay = Math.max(oldest.since + oldest.limit - this.#clock.now(), 1)
    queue.timer = this.#clock.setTimeout(() => { this.#fire(queue) }, delay)
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
