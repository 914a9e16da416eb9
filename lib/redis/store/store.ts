/**
 * Entries in Redis or Valkey, shared by all processes.
 *
 * Invariant: each user of it has a side of its own, with its own clock. Whatever fails is a miss, or not stored.
 */
import type { Entry, OpenStore, Store, StoreFigures, StoreUser } from '../../../types/index.js'
import { Core } from './core.js'
import { readStoreOptions, type RedisStoreOptions, type StoreSettings } from './options.js'
import { RedisStoreUser } from './user.js'

export type { RedisStoreOptions }

export interface RedisStore extends Store {
  open: (user: StoreUser) => OpenStore
  /** What this process's memory holds in front of Redis. */
  readonly size: NonNullable<Store['size']>
  figures: () => StoreFigures
  /** Ends the connection of those who use it without an app: of functions, and of direct calls. */
  readonly close: () => Promise<void>
}

const ignore = (): void => {}
const SILENT = Object.freeze({ debug: ignore, warn: ignore, error: ignore })
/** The least time between two stamps, in milliseconds. */
const TICK = 1 / 1_024

/**
 * Stores entries in Redis or Valkey, for all processes that have the same namespace and secret.
 *
 * @throws FST_COALESCE_INVALID_OPTION if an option is wrong
 * @example
 * redisStore({ client: app.redis, namespace: 'shop', secret: process.env.COALESCE_SECRET })
 */
export function redisStore (options: RedisStoreOptions): RedisStore {
  const settings = readStoreOptions(options)
  const core = new Core(settings)
  const open = (user: StoreUser): OpenStore => {
    const side = new RedisStoreUser(core, user)
    core.join(side, user.log)
    return side
  }
  let own: OpenStore | undefined
  const direct = (): OpenStore => (own ??= open(directUser(settings.clock)))
  return Object.freeze({
    open,
    get: (key: string) => direct().get(key),
    set: (entry: Entry, keepFor: number) => direct().set(entry, keepFor),
    delete: (key: string) => direct().delete(key),
    get size () {
      return core.front.size
    },
    figures: () => core.figures,
    async close () {
      own = undefined
      await core.close()
    }
  })
}

/** Who calls the store's own methods. */
function directUser (clock: StoreSettings['clock']): StoreUser {
  const epoch = Date.now() - clock.now()
  let last = -Infinity
  return { log: SILENT, stamp: () => (last = Math.max(clock.now() + epoch, last + TICK)), purged: ignore, missedPurges: ignore }
}
