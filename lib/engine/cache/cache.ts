/**
 * The cache of one front end's results: what a lookup comes to, what is stored, and which refreshes may run.
 *
 * Invariant: nothing here throws. A result is stored only if its run began after its last purge. A result that was made to replace an
 * older one either replaces it or drops it.
 */
import type { Entry } from '../../../types/index.js'
import type { StoreListener } from '../../observers/observer.js'
import { SILENT } from '../../observers/silent.js'
import type { Found, GuardedStore } from './guarded-store.js'
import { miss, select, type Cached, type Content, type Fallback, type Lookup, type Seeker } from './lookup.js'
import type { Refreshes } from './refreshes.js'
import { isDue, isFresh } from './staleness.js'

/** Turns entries into results. */
export interface Codec<R> {
  /** What an entry holds; undefined if it holds anything else than a result. Must not throw. */
  read (entry: Entry): Content<R> | undefined
  /** An entry was stored. A store that answers with the same object answers with the same result. */
  stored (entry: Entry): void
}

/** The entry that a result is stored as. */
export interface Plan {
  /** The run failed: for a while nothing is refreshed, and stale results are served at once. */
  readonly failed: boolean
  readonly entry: Pick<Entry, 'freshFor' | 'staleWhileRevalidate' | 'staleIfError' | 'labels' | 'bytes' | 'value'>
  /** How long the store keeps the entry, in milliseconds. */
  readonly keepFor: number
}

/** The result is not stored. */
export interface NoPlan {
  readonly failed: boolean
  readonly entry: undefined
}

/** A result to store. */
export interface Storing {
  /** The key of the result, with its variant. */
  readonly key: string
  /** Its key without the variant. */
  readonly plainKey: string
  /** Which names tell the variants of `plainKey` apart. */
  readonly names: readonly string[]
  /** When the run began, by the store's time. */
  readonly startedAt: number
  /** The result was made to replace an older one. */
  readonly replaces: boolean
}

/** What the engine needs of a cache. */
export interface ResultCache<R> {
  /**
   * Undefined where nothing is cached.
   *
   * @param now the time, by the clock
   */
  lookUp (key: string, seeker: Seeker<R>, now: number): Lookup<R> | Promise<Lookup<R>> | undefined
  /** A fresh result for whoever makes no conditions, if it is in memory and need not be refreshed; undefined: look it up. */
  freshFor (key: string): R | undefined
  /** The same lookup, for show: it is counted nowhere. `shown` is called with the entry of a result, if there is one. */
  peek (key: string, seeker: Seeker<R>, shown: (found: Found) => void): Lookup<R> | Promise<Lookup<R>> | undefined
  /** The moment at which a run begins. */
  stamp (): number
  /** Whether results are stored at all. */
  readonly stores: boolean
  /** Whether other processes have the same results. */
  readonly shared: boolean
  /** Stores a result as `plan` says. Returns how long it stays fresh; undefined if it is not stored. */
  store (storing: Storing, plan: (now: number) => Plan | NoPlan): number | undefined
  /** The run did well, but its result is not stored: drops the older result of the key. */
  supersede (key: string): void
  /** A fallback, if it may still be served. */
  standIn (fallback: Fallback<R> | undefined): Cached<R> | undefined
  /** The run of a key failed: for a while stale results are served at once, and nothing is refreshed. */
  failed (key: string): void
  /** Whether a background refresh may begin now. Changes nothing. */
  mayRefresh (key: string): boolean
  /** Begins a background refresh; false if none may begin now. */
  beginRefresh (key: string): boolean
  endRefresh (key: string, failed: boolean): void
}

const never = (): boolean => false

/** For participants of which nothing is cached. */
export const NO_CACHE: ResultCache<never> = Object.freeze<ResultCache<never>>({
  lookUp: () => undefined,
  freshFor: () => undefined,
  peek: () => undefined,
  stamp: () => 0,
  stores: false,
  shared: false,
  store: () => undefined,
  supersede () {},
  standIn: () => undefined,
  failed () {},
  mayRefresh: never,
  beginRefresh: never,
  endRefresh () {}
})

export class Cache<R> implements ResultCache<R> {
  readonly stores = true
  readonly shared: boolean
  readonly guarded: GuardedStore
  readonly #codec: Codec<R>
  readonly #refreshes: Refreshes
  readonly #eagerRefresh: number
  readonly #isInMemory: boolean

  /**
   * @param eagerRefresh after which part of its time a fresh result is refreshed; infinite for never
   * @param isInMemory to look twice costs next to nothing, and is counted nowhere
   */
  constructor (guarded: GuardedStore, codec: Codec<R>, refreshes: Refreshes, eagerRefresh: number, isInMemory = false) {
    this.#isInMemory = isInMemory
    this.guarded = guarded
    this.shared = guarded.isShared
    this.#codec = codec
    this.#refreshes = refreshes
    this.#eagerRefresh = eagerRefresh
  }

  lookUp (key: string, seeker: Seeker<R>, now: number): Lookup<R> | Promise<Lookup<R>> {
    const found = this.guarded.lookUp(key, now)
    return found instanceof Promise ? found.then(later => this.#select(key, seeker, later)) : this.#select(key, seeker, found)
  }

  freshFor (key: string): R | undefined {
    if (!this.#isInMemory) return undefined
    const found = this.guarded.lookUp(key) as Found | undefined
    if (found === undefined || !isFresh(found) || isDue(found, this.#eagerRefresh)) return undefined
    const content = this.#codec.read(found.entry)
    return content?.type === 'result' ? content.recording : undefined
  }

  peek (key: string, seeker: Seeker<R>, shown: (found: Found) => void): Lookup<R> | Promise<Lookup<R>> {
    const show = (found: Found | undefined): Lookup<R> => {
      const lookup = this.#select(key, seeker, found, SILENT)
      if (found !== undefined && lookup.type !== 'variants' && !(lookup.type === 'miss' && lookup.reason === 'rejected')) shown(found)
      return lookup
    }
    const found = this.guarded.lookUp(key, undefined, SILENT)
    return found instanceof Promise ? found.then(show) : show(found)
  }

  stamp (): number {
    return this.guarded.stamp()
  }

  store ({ key, plainKey, names, startedAt, replaces }: Storing, plan: (now: number) => Plan | NoPlan): number | undefined {
    const now = this.guarded.now()
    const { failed, ...planned } = plan(now)
    if (failed) this.#refreshes.failed(key)
    else this.#refreshes.recovered(key)
    if (planned.entry === undefined) {
      if (replaces && !failed) this.guarded.drop(key)
      return undefined
    }
    const { entry: part, keepFor } = planned
    const entry: Entry = { version: 1, key, since: startedAt, storedAt: now, ...part }
    if (!this.guarded.keep(entry, keepFor)) return undefined
    this.#codec.stored(entry)
    if (key !== plainKey) this.guarded.keep({ ...entry, key: plainKey, bytes: 0, value: { vary: names } }, keepFor)
    return entry.freshFor
  }

  supersede (key: string): void {
    this.#refreshes.recovered(key)
    this.guarded.drop(key)
  }

  standIn (fallback: Fallback<R> | undefined): Cached<R> | undefined {
    if (fallback === undefined || fallback.until <= this.guarded.now() || this.guarded.isPurged(fallback.entry)) return undefined
    return { recording: fallback.recording, reason: 'stale-if-error' }
  }

  failed (key: string): void {
    this.#refreshes.failed(key)
  }

  mayRefresh (key: string): boolean {
    return this.#refreshes.mayBegin(key)
  }

  beginRefresh (key: string): boolean {
    return this.#refreshes.begin(key)
  }

  endRefresh (key: string, failed: boolean): void {
    this.#refreshes.end(key, failed)
  }

  #select (key: string, seeker: Seeker<R>, found: Found | undefined, listener?: StoreListener): Lookup<R> {
    if (found === undefined) return miss('none')
    const content = this.#codec.read(found.entry)
    if (content === undefined) {
      this.guarded.reject(listener)
      return miss('rejected')
    }
    if (content.type === 'variants') return content
    return select(found, content.recording, seeker, this.#eagerRefresh, key, this.#refreshes)
  }
}
