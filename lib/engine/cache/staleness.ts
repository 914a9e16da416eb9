/**
 * What may be done with an entry that was found: serve it, refresh it, serve it instead of an error.
 *
 * Invariant: pure. An entry that was purged softly is stale, whatever its age. A stale entry is served no longer than it says.
 */
import type { Found } from './guarded-store.js'

/** It may be served as it is. */
export function isFresh ({ entry, resident, outdated }: Found): boolean {
  return !outdated && resident < entry.freshFor
}

/** It is fresh, and so old that it is refreshed early. */
export function isDue ({ entry, resident }: Found, eagerRefresh: number): boolean {
  return resident > eagerRefresh * entry.freshFor
}

/** It may be served stale while it is refreshed. */
export function servesWhileRefreshed (found: Found): boolean {
  return staleness(found) < found.entry.staleWhileRevalidate
}

/** Until when it may be served instead of an error, by the store's time; undefined if it may not. */
export function fallbackUntil (found: Found): number | undefined {
  const { storedAt, freshFor, staleIfError } = found.entry
  return staleness(found) < staleIfError ? storedAt + freshFor + staleIfError : undefined
}

function staleness ({ entry, resident }: Found): number {
  return Math.max(resident - entry.freshFor, 0)
}
