/**
 * The front door of fastify-coalesce/redis: what several processes need to coalesce together, and to have one cache.
 */
export { redisCoordinator, type RedisCoordinator } from './coordinator.js'
export type { RedisCoordinatorOptions, RedisLinkOptions } from './options.js'
export { redisStore, type RedisStore, type RedisStoreOptions } from './store/store.js'
