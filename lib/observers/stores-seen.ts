/**
 * How much stores hold, and what had to go before its time.
 *
 * Invariant: a store that several keep in counts once. The number of evictions does not go back: not when a store is no longer
 * asked, nor when it begins again at 0. A store that cannot tell, or fails to, counts nothing.
 */
import type { Store } from '../../types/index.js'

export class StoresSeen {
  /** What each said the last time. */
  readonly #seen = new WeakMap<Store, number>()
  #evictions = 0

  /** What they hold now, all together. */
  held (stores: Iterable<Store>): { readonly entries: number, readonly bytes: number } {
    let entries = 0
    let bytes = 0
    for (const store of new Set(stores)) {
      const size = sizeOf(store)
      entries += amount(size?.entries)
      bytes += amount(size?.bytes)
    }
    return { entries, bytes }
  }

  /** How many evictions there were in these stores, and in those that were asked before. */
  evictions (stores: Iterable<Store>): number {
    for (const store of new Set(stores)) {
      const now = amount(sizeOf(store)?.evictions)
      const before = this.#seen.get(store) ?? 0
      this.#evictions += now < before ? now : now - before
      this.#seen.set(store, now)
    }
    return this.#evictions
  }
}

function sizeOf (store: Store): Store['size'] {
  try {
    return store.size
  } catch {
    return undefined
  }
}

function amount (value: unknown): number {
  return typeof value === 'number' && value >= 0 && value < Infinity ? value : 0
}
