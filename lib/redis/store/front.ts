/**
 * Entries that were read from Redis, or set, a moment ago, in this process's memory.
 *
 * Invariant: bounded in bytes. What it gives is at most `ttl` old, and nothing of it was purged since Redis was asked, as far as that was
 * told. Where something may not have been told, nothing is left.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../../types/index.js'
import { PurgeTimes } from '../../engine/cache/purge-times.js'
import type { Kept } from './kept.js'

export interface Front {
  /** The number of purges that were told so far. */
  readonly moment: number
  readonly size: { readonly entries: number, readonly bytes: number, readonly evictions: number }
  get (key: string): Kept | undefined
  /** @param moment when Redis was asked for it */
  put (key: string, kept: Kept, moment: number): void
  delete (key: string): void
  purged (labels: readonly string[]): void
  clear (): void
}

/** Where nothing is held. */
export const NO_FRONT: Front = Object.freeze<Front>({
  moment: 0,
  size: Object.freeze({ entries: 0, bytes: 0, evictions: 0 }),
  get: () => undefined,
  put () {},
  delete () {},
  purged () {},
  clear () {}
})

export interface FrontSettings {
  readonly maxBytes: number
  /** In milliseconds. */
  readonly ttl: number
}

/** The bytes of an entry besides its value, key and labels. */
const OVERHEAD = 512

interface Item {
  readonly kept: Kept
  readonly moment: number
  readonly until: number
}

export class MemoryFront implements Front {
  moment = 0
  readonly #ttl: number
  readonly #clock: Clock
  readonly #items: LRUCache<string, Item>
  readonly #purges = new PurgeTimes()
  #evictions = 0

  constructor ({ maxBytes, ttl }: FrontSettings, clock: Clock) {
    this.#ttl = ttl
    this.#clock = clock
    this.#items = new LRUCache<string, Item>({
      maxSize: maxBytes,
      sizeCalculation: ({ kept }, key) => sizeOf(kept, key),
      dispose: (_item, _key, reason) => { if (reason === 'evict') this.#evictions++ }
    })
  }

  get size (): Front['size'] {
    return { entries: this.#items.size, bytes: this.#items.calculatedSize, evictions: this.#evictions }
  }

  get (key: string): Kept | undefined {
    const item = this.#items.get(key)
    if (item === undefined) return undefined
    if (this.#clock.now() < item.until && !this.#isPurged(item.kept, item.moment)) return item.kept
    this.#items.delete(key)
    return undefined
  }

  put (key: string, kept: Kept, moment: number): void {
    if (this.#isPurged(kept, moment)) return
    this.#items.set(key, { kept, moment, until: Math.min(this.#clock.now() + this.#ttl, kept.until) })
  }

  delete (key: string): void {
    this.#items.delete(key)
  }

  purged (labels: readonly string[]): void {
    this.moment++
    for (const label of labels) this.#purges.mark(label, this.moment)
  }

  clear (): void {
    this.#purges.markAll(++this.moment)
    this.#items.clear()
  }

  #isPurged ({ stored: { members: { key, labels } } }: Kept, moment: number): boolean {
    return this.#purges.isMarkedSince(moment + 1, labels, key)
  }
}

function sizeOf ({ size, stored: { members: { labels, bytes } } }: Kept, key: string): number {
  return labels.reduce((sum, label) => sum + 2 * label.length + 16, Math.ceil(Math.max(size, bytes)) + 2 * key.length + OVERHEAD)
}
