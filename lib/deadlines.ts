/**
 * Tells what takes too long, such as flights, that it does, with one timer for all that have the same limit.
 *
 * Invariant: those with the same limit come due in the order in which they started, so only the oldest needs a timer. The timer is set
 * anew when it fires, not whenever a flight ends. It fires at least once a second, so it may outlive the last flight by a second. In a
 * busy process starting and ending cost no timer and no allocation.
 */
import type { Clock } from '../types/index.js'

/** The longest that a timer is set for, in milliseconds. */
const MOST = 1000

export abstract class Timed {
  /** When it started, by the clock. */
  abstract readonly since: number
  /** How long it may take, in milliseconds. */
  abstract readonly limit: number
  /** Its place in the list of those with the same limit. Written by `Deadlines` alone. */
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
  /** The list of who started last, and its limit. */
  #latest: Queue | undefined
  #latestLimit = NaN

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** Watches `timed`, which has just started. */
  start (timed: Timed): void {
    const { limit } = timed
    const queue = limit === this.#latestLimit ? this.#latest as Queue : this.#queueOf(limit)
    timed.queue = queue
    timed.earlier = queue.newest
    if (queue.newest === undefined) queue.oldest = timed
    else queue.newest.later = timed
    queue.newest = timed
    // Otherwise the timer is, or will be, set for an older one.
    if (queue.oldest === timed && queue.timer === undefined) this.#arm(queue, limit)
  }

  #queueOf (limit: number): Queue {
    let queue = this.#queues.get(limit)
    if (queue === undefined) this.#queues.set(limit, queue = { oldest: undefined, newest: undefined, timer: undefined })
    this.#latest = queue
    this.#latestLimit = limit
    return queue
  }

  /** Stops watching `timed`. */
  end (timed: Timed): void {
    const { queue, earlier, later } = timed
    if (queue === undefined) return
    if (earlier === undefined) queue.oldest = later
    else earlier.later = later
    if (later === undefined) queue.newest = earlier
    else later.earlier = earlier
    timed.queue = timed.earlier = timed.later = undefined
  }

  /** Clears the timers of empty lists at once. */
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
