/**
 * Entries in a cache of the abstract-cache protocol, such as the one that @fastify/caching decorates as `fastify.cache`.
 *
 * Invariant: what comes out of it is an entry of the key that was asked for, whole and unaltered, or nothing. The cache may
 * call back twice, throw, or answer with anything; if it never calls back, the promise stays open.
 */
import { createHash } from 'node:crypto'
import type { Entry, Store } from '../../types/index.js'
import { fail, isName, isObject, read } from '../options/parsers.js'
import { decodeEntry, encodeEntry } from './codec.js'

interface Id {
  readonly id: string
  readonly segment: string
}

/** The part of the abstract-cache protocol that is used. A cache may also answer with promises. */
export interface AbstractCache {
  get: (key: Id, callback: (error: unknown, result: { readonly item: unknown } | null) => void) => unknown
  set: (key: Id, value: unknown, timeToLive: number, callback: (error: unknown) => void) => unknown
  /** Without it, entries are overwritten with an empty text instead. */
  delete?: (key: Id, callback: (error: unknown) => void) => unknown
}

/** Options of a store on an abstract cache. */
export interface AbstractCacheStoreOptions {
  /**
   * The segment of the cache that entries are kept in.
   * @default 'fastify-coalesce'
   */
  segment?: string
}

const DEFAULTS: Required<AbstractCacheStoreOptions> = Object.freeze({ segment: 'fastify-coalesce' })
/** A text that is not an entry. */
const NOTHING = ''

/**
 * Stores entries in a cache of the app's. The cache bounds how much it holds.
 *
 * @throws FST_COALESCE_INVALID_OPTION if it is no such cache, or an option is wrong
 * @example
 * await app.register(caching)
 * abstractCacheStore(app.cache)
 */
export function abstractCacheStore (cache: AbstractCache, options: AbstractCacheStoreOptions = {}): Store {
  if (!isObject(cache) || typeof cache.get !== 'function' || typeof cache.set !== 'function') {
    return fail('abstractCacheStore cache', 'an object with get and set', cache)
  }
  const path = 'abstractCacheStore options'
  if (!isObject(options)) return fail(path, 'an object', options)
  const { segment } = read<Required<AbstractCacheStoreOptions>>({
    segment: (value, name) => isName(value) ? value : fail(name, 'a non-empty string', value)
  }, options, DEFAULTS, path)

  const idOf = (key: string): Id => ({ id: createHash('sha256').update(key).digest('base64url'), segment })
  const remove = async (key: string): Promise<void> => {
    await answer(callback => typeof cache.delete === 'function'
      ? cache.delete(idOf(key), callback)
      : cache.set(idOf(key), NOTHING, 1, callback))
  }

  return Object.freeze({
    get: async (key: string) => {
      const found = await answer(callback => cache.get(idOf(key), callback))
      return decodeEntry((found as { item?: unknown } | null | undefined)?.item, key)
    },
    set: async (entry: Entry, keepFor: number) => {
      const text = keepFor > 0 ? encodeEntry(entry) : undefined
      if (text === undefined) await remove(entry.key)
      else await answer(callback => cache.set(idOf(entry.key), text, Math.ceil(keepFor), callback))
    },
    delete: remove
  })
}

/** The first answer to a call, given to its callback or as a promise. */
async function answer (call: (callback: (error: unknown, result?: unknown) => void) => unknown): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    const returned = call((error, result) => {
      if (error) reject(error)
      else resolve(result)
    })
    // Not `resolve(returned)`: an async method may call back before its promise resolves.
    if (isObject(returned) && typeof returned.then === 'function') returned.then(resolve, reject)
  })
}
