/**
 * What a lookup in the cache comes to: a result to serve, the names that tell the variants of a key apart, or a miss.
 *
 * Invariant: pure. A cached result is served only to a seeker that may have it, while it is fresh, or as stale as its entry and the
 * seeker allow.
 */
import type { Entry, ShedReason } from '../../../types/index.js'
import type { Found } from './guarded-store.js'
import { isDue, isFresh, servesWhileRefreshed, fallbackUntil } from './staleness.js'

/** Why a cached result may be served. */
export type CachedReason = 'fresh' | 'stale-while-revalidate' | 'stale-if-error' | 'max-stale' | ShedReason

/** Why nothing cached may be served. */
export type MissReason = 'none' | 'expired' | 'purged' | 'vary' | 'rejected' | 'request'

/** A cached result, and why it may be served. */
export interface Cached<R> {
  readonly recording: R
  readonly reason: CachedReason
}

/** A stale result that may be served instead of an error. */
export interface Fallback<R> {
  readonly recording: R
  /** Until when, by the store's time. */
  readonly until: number
  readonly entry: Entry
}

export interface Hit<R> extends Cached<R> {
  readonly type: 'hit'
  /** The result should be refreshed in the background. */
  readonly refresh: boolean
}

/** The names that tell the variants of the key apart. */
export interface Variants {
  readonly type: 'variants'
  readonly names: readonly string[]
}

export interface Miss<R> {
  readonly type: 'miss'
  readonly reason: MissReason
  /** A result that is too old to be served. */
  readonly stale: R | undefined
  /** The same result, if it may be served should the run fail. */
  readonly fallback: Fallback<R> | undefined
}

export type Lookup<R> = Hit<R> | Variants | Miss<R>

/** What an entry holds. */
export type Content<R> =
  | { readonly type: 'result', readonly recording: R }
  | Variants

/** What a seeker accepts a cached result for. */
export interface Suitability {
  /** It may be served while it is fresh, or while it is refreshed. */
  readonly asItIs: boolean
  /** It may be served although it is stale. */
  readonly stale: boolean
  /** It may be served instead of an error. */
  readonly onError: boolean
}

/** For a seeker that makes no conditions. */
export const SUITS: Suitability = Object.freeze({ asItIs: true, stale: false, onError: true })

/** A participant that looks for a cached result. */
export interface Seeker<R> {
  /** Why it may not have a result at all; undefined if it may. */
  refuses (recording: R): 'vary' | 'rejected' | undefined
  suits (recording: R, found: Found): Suitability
  /** Whether a background refresh can be made for it. */
  readonly refreshable: boolean
}

export function miss<R> (reason: MissReason, stale?: R, fallback?: Fallback<R>): Miss<R> {
  return { type: 'miss', reason, stale, fallback }
}

function hit<R> (recording: R, reason: CachedReason, refresh: boolean): Hit<R> {
  return { type: 'hit', recording, reason, refresh }
}

/**
 * Decides what to do with a result that was found.
 *
 * @param eagerRefresh after which part of its time a fresh result is refreshed
 * @param refreshes knows whether the last run of the key failed a short while ago
 */
export function select<R> (
  found: Found, recording: R, seeker: Seeker<R>, eagerRefresh: number, key: string, refreshes: { isPausing (key: string): boolean }
): Hit<R> | Miss<R> {
  const refused = seeker.refuses(recording)
  if (refused !== undefined) return miss(refused)
  const suits = seeker.suits(recording, found)
  if (suits.asItIs && isFresh(found)) return hit(recording, 'fresh', isDue(found, eagerRefresh))
  if (suits.asItIs && servesWhileRefreshed(found) && seeker.refreshable) return hit(recording, 'stale-while-revalidate', true)
  if (suits.stale && !found.outdated) return hit(recording, 'max-stale', false)
  const until = suits.onError ? fallbackUntil(found) : undefined
  if (until !== undefined && refreshes.isPausing(key)) return hit(recording, 'stale-if-error', false)
  const fallback = until === undefined ? undefined : { recording, until, entry: found.entry }
  return miss(suits.asItIs ? found.outdated ? 'purged' : 'expired' : 'request', recording, fallback)
}
