/**
 * Adds up the sizes and evictions of several stores.
 *
 * Invariant: a store that several registrations use counts once. The number of evictions never decreases, even if a store is no longer
 * used, or restarts its count at 0. A store without a size counts as 0.
 */
import type { Store } from '../../types/index.js'

export class StoresSeen {
  /** The number of evictions that each store reported last. */
  readonly #seen = new WeakMap<Store, number>()
  #evictions = 0

  /** The current number of entries and bytes in all stores together. */
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

  /** The number of evictions in these stores, and in all stores of earlier calls. */
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
