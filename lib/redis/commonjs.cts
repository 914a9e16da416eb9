/**
 * The front door of fastify-coalesce/redis for `require`.
 *
 * Invariant: nothing is loaded twice. It names the types of lib/redis/index.ts; test/package.test.ts compares them.
 */
import type * as front from './index.js' with { 'resolution-mode': 'import' }

const exported: typeof front = require('./index.js')

declare namespace exported {
  export type RedisCoordinator = front.RedisCoordinator
  export type RedisCoordinatorOptions = front.RedisCoordinatorOptions
  export type RedisLinkOptions = front.RedisLinkOptions
  export type RedisStore = front.RedisStore
  export type RedisStoreOptions = front.RedisStoreOptions
}

export = exported
