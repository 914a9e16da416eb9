/**
 * Waiters that a test holds: each knows what it was told.
 */
import { Queue, type QueueSettings, type Turn, type Waiter } from '../../lib/protection/queue.js'
import type { Refusal, Slot } from '../../lib/protection/permits.js'
import { TestClock } from '../fixtures/gate.js'

export const SETTINGS: QueueSettings = Object.freeze({
  maxRuns: 1, maxQueued: 1000, queueTimeout: 5000, levels: ['high', 'normal', 'low'], aging: 1000, name: 'database'
})
export const [HIGH, NORMAL, LOW] = [0, 1, 2] as const

export class TestWaiter implements Waiter {
  readonly name: string
  readonly level: number
  readonly isRefresh: boolean
  slot: Slot | undefined
  turn: Turn | undefined
  refusal: Refusal | undefined
  /** What it does when it is told; false: it does not run. */
  onTake = (): boolean => true
  onRefused = (): void => {}
  readonly #told: string[]

  constructor (name: string, level: number, isRefresh: boolean, told: string[]) {
    this.name = name
    this.level = level
    this.isRefresh = isRefresh
    this.#told = told
  }

  take (slot: Slot): boolean {
    this.#told.push(this.name)
    this.slot = slot
    return this.onTake()
  }

  refused (refusal: Refusal): void {
    this.#told.push(`${this.name} ${refusal.reason}`)
    this.refusal = refusal
    this.onRefused()
  }
}

export class Backend {
  readonly clock = new TestClock()
  readonly queue: Queue
  #told: string[] = []

  constructor (settings: Partial<QueueSettings> = {}) {
    this.queue = new Queue({ ...SETTINGS, ...settings }, this.clock)
  }

  waiter (name: string, level: number = NORMAL, isRefresh = false): TestWaiter {
    return new TestWaiter(name, level, isRefresh, this.#told)
  }

  /** One comes, and keeps what it is given. */
  enter (waiter: TestWaiter): TestWaiter
  enter (name: string, level?: number, isRefresh?: boolean): TestWaiter
  enter (who: TestWaiter | string, level?: number, isRefresh?: boolean): TestWaiter {
    const waiter = typeof who === 'string' ? this.waiter(who, level, isRefresh) : who
    const given = this.queue.enter(waiter)
    if (given.type === 'slot') waiter.slot = given
    else if (given.type === 'waits') waiter.turn = given
    else waiter.refusal = given
    return waiter
  }

  /** Who was told what since it was last asked for. */
  told (): string {
    return this.#told.splice(0).join(', ')
  }

  /** Lets one after the other run, until nobody waits. */
  drain (running: TestWaiter, all: readonly TestWaiter[]): string {
    running.slot?.free()
    for (let more = true; more;) {
      more = false
      for (const { slot } of all) {
        if (slot === undefined) continue
        const before = this.queue.waiting
        slot.free()
        more ||= this.queue.waiting < before
      }
    }
    return this.told()
  }
}
