/**
 * For writers of stores: what a store is given, and what it has to do.
 */

/**
 * A cached result, with all that tells who may be given it, and until when. Times are in milliseconds since 1970, durations in
 * milliseconds.
 */
export interface Entry<Value = unknown> {
  /** The format of the entry. An entry of another version is a miss. */
  readonly version: 1
  /** The whole key that it is stored under. Found under any other key it is a miss. */
  readonly key: string
  /** When its run began. A purge after that makes it a miss. */
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
  /** How much it holds, if it can tell. `evictions` counts entries that were removed before their time to make room. */
  readonly size?: { readonly entries: number, readonly bytes: number, readonly evictions: number }
  /** All entries, if it can list them. */
  entries?: () => Iterable<Entry>
}
