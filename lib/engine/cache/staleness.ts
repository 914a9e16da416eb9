/**
 * What may be done with what was found: serve it, refresh it, serve it in the place of an error.
 *
 * Invariant: pure. What was purged softly is stale whatever its age, and what is stale is served no longer than its entry says.
 */
import type { Found } from './guarded-store.js'

/** It may be served as it is. */
export function isFresh ({ entry, resident, outdated }: Found): boolean {
  return !outdated && resident < entry.freshFor
}

/** It is refreshed early, although it is fresh: so much of its time is over. */
export function isDue ({ entry, resident }: Found, eagerRefresh: number): boolean {
  return resident > eagerRefresh * entry.freshFor
}

/** It may be served, stale, if it is refreshed meanwhile. */
export function servesWhileRefreshed (found: Found): boolean {
  return staleness(found) < found.entry.staleWhileRevalidate
}

/** Until when it may be served in the place of an error, by the store's time; undefined if it may not be. */
export function standsInUntil (found: Found): number | undefined {
  const { storedAt, freshFor, staleIfError } = found.entry
  return staleness(found) < staleIfError ? storedAt + freshFor + staleIfError : undefined
}

function staleness ({ entry, resident }: Found): number {
  return Math.max(resident - entry.freshFor, 0)
}
