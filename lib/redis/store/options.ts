/**
 * Options of a store in Redis; frozen, complete settings out.
 *
 * Invariant: a wrong option throws with its name, what it wants and what it got.
 */
import type { Duration } from '../../../types/index.js'
import { duration, fail, integer, isObject, read, type Parser, type Parsers } from '../../options/parsers.js'
import { LINK_DEFAULTS, linkReaders, readLinkedOptions, type LinkSettings, type RedisLinkOptions } from '../options.js'
import type { FrontSettings } from './front.js'

export interface RedisStoreOptions extends RedisLinkOptions {
  /**
   * Entries that were read a moment ago are in this process's memory: so many bytes of them, for so long. `false`: none.
   * @default { maxBytes: 33554432, ttl: '1s' }
   */
  readonly memory?: { readonly maxBytes?: number, readonly ttl?: Duration } | false
  /**
   * Larger entries, in bytes, are not stored.
   * @default 8388608
   */
  readonly maxEntryBytes?: number
}

export interface StoreSettings extends LinkSettings {
  readonly memory: FrontSettings | false
  readonly maxEntryBytes: number
}

const FRONT_DEFAULTS: FrontSettings = Object.freeze({ maxBytes: 33_554_432, ttl: 1_000 })
const FRONT_READERS: Parsers<FrontSettings> = { maxBytes: integer(1), ttl: duration }

const memory: Parser<FrontSettings | false> = (value, name) => {
  if (value === false) return false
  return isObject(value) ? read(FRONT_READERS, value, FRONT_DEFAULTS, name) : fail(name, 'false, or an object with maxBytes and ttl', value)
}

const READERS: Parsers<StoreSettings> = { ...linkReaders, memory, maxEntryBytes: integer(1, 536_870_912) }
const DEFAULTS = Object.freeze({ ...LINK_DEFAULTS, memory: FRONT_DEFAULTS, maxEntryBytes: 8_388_608 })

export function readStoreOptions (options: unknown): StoreSettings {
  return readLinkedOptions(READERS, options, DEFAULTS, 'redisStore options')
}
