/**
 * What `stats()` tells of what happens between processes.
 *
 * Invariant: they are copies, which do not change any more.
 */
import type { CoalesceStats, CoordinationFigures, Store, StoreFigures } from '../../types/index.js'

export function processFiguresOf (
  coordinators: readonly CoordinationFigures[], stores: readonly Store[]
): Pick<CoalesceStats, 'coordinators' | 'sharedStores'> {
  const sharedStores = [...new Set(stores)].flatMap(store => figuresOfStore(store) ?? [])
  return {
    ...coordinators.length > 0 && { coordinators: structuredClone(coordinators) },
    ...sharedStores.length > 0 && { sharedStores: structuredClone(sharedStores) }
  }
}

/** What a store has counted; undefined if it does not say. */
export function figuresOfStore (store: Store): StoreFigures | undefined {
  try {
    return store.figures?.()
  } catch {
    return undefined
  }
}
