/**
 * Calls those who take too long, with one timer for all that have the same limit.
 *
 * Invariant: those with one limit come due in the order in which they started, so that only the oldest needs a timer. It is
 * moved on when it fires, not whenever one of them ends, and it fires at least once a second: so long it may outlive the last
 * of them. In a busy process starting and ending cost no timer and no allocation.
 */
import type { Clock } from '../../../types/index.js'

/** The longest that a timer is set for, in milliseconds. */
const MOST = 1000

export abstract class Timed {
  /** When it started, by the clock. */
  abstract readonly since: number
  /** How long it may take, in milliseconds. */
  abstract readonly limit: number
  /** Its place among those that are watched. Written by the queue alone. */
  queue: Queue | undefined
  earlier: Timed | undefined
  later: Timed | undefined

  /** It has taken longer than that. Must not throw. */
  abstract expire (): void
}

/** Those with one limit, the oldest first. */
interface Queue {
  oldest: Timed | undefined
  newest: Timed | undefined
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
    if (queue === undefined) this.#queues.set(timed.limit, queue = { oldest: undefined, newest: undefined, timer: undefined })
    timed.queue = queue
    timed.earlier = queue.newest
    if (queue.newest === undefined) queue.oldest = timed
    else queue.newest.later = timed
    queue.newest = timed
    // Whoever is alone is the oldest; otherwise the timer is, or will be, set for one who is older.
    if (queue.oldest === timed && queue.timer === undefined) this.#arm(queue, timed.limit)
  }

  /** Watches one that was started no longer. */
  end (timed: Timed): void {
    const { queue, earlier, later } = timed
    if (queue === undefined) return
    if (earlier === undefined) queue.oldest = later
    else earlier.later = later
    if (later === undefined) queue.newest = earlier
    else later.earlier = earlier
    timed.queue = timed.earlier = timed.later = undefined
  }

  /** Takes away the timers that nobody needs any more, at once. */
  sweep (): void {
    for (const queue of this.#queues.values()) {
      if (queue.oldest !== undefined || queue.timer === undefined) continue
      this.#clock.clearTimeout(queue.timer)
      queue.timer = undefined
    }
  }

  #arm (queue: Queue, delay: number): void {
    queue.timer = this.#clock.setTimeout(() => { this.#fire(queue) }, Math.min(delay, MOST))
  }

  #fire (queue: Queue): void {
    queue.timer = undefined
    const now = this.#clock.now()
    for (let timed = queue.oldest; timed !== undefined; timed = queue.oldest) {
      // Node's timers may fire up to a millisecond early.
      if (timed.since + timed.limit - now >= 1) {
        if (queue.timer === undefined) this.#arm(queue, timed.since + timed.limit - now)
        return
      }
      this.end(timed)
      timed.expire()
    }
  }
}
