/**
 * Keys whose last response could not be shared (hit-for-miss): who comes meanwhile does not wait for nothing.
 *
 * Invariant: bounded, and each is forgotten after a while, or with the first response that can be shared.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../types/index.js'
import { MEMORY } from './core/memory.js'

export class Unshareable {
  readonly #keys: LRUCache<string, true>

  constructor (clock: Clock) {
    // To lru-cache a time of 0 is no time.
    const origin = clock.now() - 1
    this.#keys = new LRUCache<string, true>({ ...MEMORY, ttl: 1, ttlResolution: 0, perf: { now: () => clock.now() - origin } })
  }

  has (key: string): boolean {
    return this.#keys.size > 0 && this.#keys.has(key)
  }

  /** @param ttl for how many milliseconds */
  remember (key: string, ttl: number): void {
    this.#keys.set(key, true, { ttl })
  }

  forget (key: string): void {
    if (this.#keys.size > 0) this.#keys.delete(key)
  }
}
