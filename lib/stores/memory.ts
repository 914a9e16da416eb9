/**
 * Entries in this process's memory. The least recently used ones make room.
 *
 * Invariant: never more than `maxBytes` and `maxEntries`, and no timer. An expired entry is not found again, but takes room until that
 * is needed. Entries are copied and frozen when they are set; their values are not copied.
 */
import { LRUCache } from 'lru-cache'
import type { Clock, Entry, Store } from '../../types/index.js'
import { systemClock } from '../clock.js'
import { clock as clockReader, fail, integer, isObject, read } from '../options/parsers.js'
import { readEntry } from './entry.js'

/** Options of a memory store. */
export interface MemoryStoreOptions {
  /**
   * The most bytes that it holds: values by the `bytes` of their entries, keys, labels, and an overhead for each entry.
   * @default 67108864
   */
  maxBytes?: number
  /**
   * The most entries that it holds. The memory for their places is taken at once.
   * @default 10000
   */
  maxEntries?: number
  /** Time, for tests. */
  clock?: Clock
}

/** A store that answers at once. */
export interface MemoryStore extends Store {
  get: (key: string) => Entry | undefined
  set: (entry: Entry, keepFor: number) => void
  delete: (key: string) => void
  readonly size: NonNullable<Store['size']>
  /** A new list, the most recently used first. */
  entries: (most?: number) => readonly Entry[]
}

/** The most entries of a Map. */
const MOST_ENTRIES = 2 ** 24 - 1
/** The bytes of an entry besides its value, key and labels; measured and rounded up. */
const OVERHEAD = 320
const DEFAULTS: Required<MemoryStoreOptions> = Object.freeze({ maxBytes: 67_108_864, maxEntries: 10_000, clock: systemClock })

/**
 * Stores entries in memory.
 *
 * @throws FST_COALESCE_INVALID_OPTION if an option is wrong
 * @example
 * memoryStore({ maxBytes: 256 * 1024 * 1024 })
 */
export function memoryStore (options: MemoryStoreOptions = {}): MemoryStore {
  const path = 'memoryStore options'
  if (!isObject(options)) return fail(path, 'an object', options)
  const { maxBytes, maxEntries, clock } = read<Required<MemoryStoreOptions>>(
    { maxBytes: integer(1), maxEntries: integer(1, MOST_ENTRIES), clock: clockReader }, options, DEFAULTS, path)
  // lru-cache takes a time of 0 for none.
  const origin = clock.now() - 1
  let evictions = 0
  const cache: LRUCache<string, Entry> = new LRUCache<string, Entry>({
    max: maxEntries,
    maxSize: maxBytes,
    ttl: 1,
    ttlResolution: 0,
    perf: { now: () => clock.now() - origin },
    dispose: (_entry, key, reason) => {
      if (reason === 'evict' && cache.getRemainingTTL(key) >= 0) evictions++
    }
  })
  const store = Object.freeze({
    get: (key: string) => cache.get(key),
    set: (entry: Entry, keepFor: number) => {
      const kept = readEntry(entry, entry.key)
      // lru-cache takes a ttl of 0 for none.
      if (kept === undefined || !(keepFor > 0)) cache.delete(entry.key)
      else cache.set(kept.key, kept, { ttl: keepFor, size: sizeOf(kept) })
    },
    delete: (key: string) => { cache.delete(key) },
    get size () {
      return { entries: cache.size, bytes: cache.calculatedSize, evictions, maxBytes }
    },
    entries: (most = Infinity) => [...first(cache.values(), most)]
  })
  stores.add(store)
  return store
}

const stores = new WeakSet<object>()

/** Whether a store is one of these. */
export function isMemoryStore (store: object): boolean {
  return stores.has(store)
}

/** The size of an entry in bytes. A character counts as two, which is the most that it takes. */
function sizeOf ({ bytes, key, labels }: Entry): number {
  return labels.reduce((sum, label) => sum + 2 * label.length + 16, Math.ceil(bytes) + 2 * key.length + OVERHEAD)
}

function * first<T> (all: Iterable<T>, most: number): Iterable<T> {
  let left = most
  for (const each of all) {
    if (left-- <= 0) return
    yield each
  }
}
