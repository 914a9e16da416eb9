/**
 * The front door of fastify-coalesce/redis for `require`.
 *
 * Invariant: nothing is loaded twice.
 */
import type * as front from './index.js' with { 'resolution-mode': 'import' }

const exported: typeof front = require('./index.js')

declare namespace exported {
  export type RedisCoordinatorOptions = front.RedisCoordinatorOptions
  export type RedisLinkOptions = front.RedisLinkOptions
}

export = exported
