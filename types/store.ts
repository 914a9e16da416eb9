/**
 * For writers of stores: what a store is given, and what it has to do.
 */
import type { CoordinationFigures, CoordinationLog } from './coordination.js'

/**
 * A cached result, with all that tells who may be given it, and until when. Times are in milliseconds since 1970, durations in
 * milliseconds.
 */
export interface Entry<Value = unknown> {
  /** The format of the entry. An entry of another version is a miss. */
  readonly version: 1
  /** The whole key that it is stored under. Found under any other key it is a miss. */
  readonly key: string
  /**
   * When its run began. A purge after that makes it a miss. A store that is opened knows of older purges itself, and says when it was
   * asked for the entry.
   */
  readonly since: number
  /** When its run ended. */
  readonly storedAt: number
  /** How long it is fresh, from `storedAt` on. */
  readonly freshFor: number
  /** How long after it was fresh it may be served while it is refreshed. */
  readonly staleWhileRevalidate: number
  /** How long after it was fresh it may be served in the place of an error. */
  readonly staleIfError: number
  /** The labels by which it can be purged. */
  readonly labels: readonly string[]
  /** About how many bytes `value` takes. */
  readonly bytes: number
  readonly value: Value
  /** It was purged softly: it is stale, whatever its age. Only a store that is opened says so. */
  readonly outdated?: boolean
}

/**
 * Stores entries. Each method may answer at once or with a promise. A store that throws, rejects or is slow never fails a
 * request: the handler runs, and the failure is counted.
 */
export interface Store {
  /** The entry that was last set for `key`; `undefined` if there is none. */
  get: (key: string) => Entry | undefined | PromiseLike<Entry | undefined>
  /** Stores an entry under its key. After `keepFor` milliseconds it is no longer needed. */
  set: (entry: Entry, keepFor: number) => void | PromiseLike<void>
  /** Removes the entry of `key`. */
  delete: (key: string) => void | PromiseLike<void>
  /**
   * How much it holds, if it can tell. `evictions` counts entries that were removed before their time to make room; `maxBytes` is the most
   * bytes that it holds.
   */
  readonly size?: { readonly entries: number, readonly bytes: number, readonly evictions: number, readonly maxBytes?: number }
  /** What it counted so far, for metrics, if other processes use it as well. Must not throw. */
  figures?: () => StoreFigures
  /** All entries, if it can list them; no fewer than `most` of them, if that is given. */
  entries?: (most?: number) => Iterable<Entry>
  /**
   * Called by each user of it, a registration for example, before anything else. Only a store that other processes use as well has this.
   * What it returns is used in its place.
   */
  open?: (user: StoreUser) => OpenStore
}

/** What was counted of a store that other processes use as well: numbers that never decrease. */
export interface StoreFigures {
  /** Entries that this process's memory gave. */
  readonly frontHits: number
  /** Entries that were read from the server. */
  readonly hits: number
  /** Lookups for which the server had none, or one that was purged. */
  readonly misses: number
  /** Lookups, writes and removals that were not made, since the server could not be asked. */
  readonly skipped: number
  /** Those that failed, or had no answer in time. */
  readonly errors: number
  /** Entries that were of another secret, key or version, or cut, or altered. */
  readonly rejected: number
  /** Entries that the server took. */
  readonly stored: number
  /** Entries that were not stored, since they were purged while their run went on, or may have been. */
  readonly fenced: number
  /** Entries that were not stored, since that of a later run was there. */
  readonly outrun: number
  /** Entries that were not stored, since they are too large, or cannot travel. */
  readonly unstorable: number
  readonly bytesRead: number
  readonly bytesWritten: number
  /** Of its connection. A coordinator that uses the same connection gives the same object. */
  readonly link?: CoordinationFigures
}

/** Who uses a store that other processes use as well. */
export interface StoreUser {
  readonly log: CoordinationLog
  /** Now, by the clock that its entries' times are given in: milliseconds since 1970. Each answer is greater than all before. */
  stamp: () => number
  /** Somebody else has purged what has one of these labels. */
  purged: (labels: readonly string[], soft: boolean) => void
  /** Purges by others may have been missed. What is asked of the store from now on is behind none of them. */
  missedPurges: () => void
}

/**
 * What one user has of a store that other processes use as well.
 *
 * It gives the times of its entries by the user's clock, whatever the clocks of others say. It answers with no entry whose run began
 * before a purge of one of its labels or of its key, whoever purged, even if that was not told; if the purge was soft, the entry is
 * `outdated`. Nor does it store one.
 */
export interface OpenStore extends Pick<Store, 'get' | 'set' | 'delete'> {
  /** Keeps a purge for all processes, and tells those that run. */
  purge: (labels: readonly string[], soft: boolean) => void | PromiseLike<void>
  /**
   * Resolves once it is known whether the store can work. A server that cannot be reached is no reason to wait long, and no error.
   *
   * @throws an error that names what is wrong, if the configuration can never work
   */
  ready: () => Promise<void>
  close: () => Promise<void>
}
