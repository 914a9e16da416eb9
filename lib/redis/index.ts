/**
 * The front door of fastify-coalesce/redis: what several processes need to coalesce together.
 */
export { redisCoordinator } from './coordinator.js'
export type { RedisCoordinatorOptions, RedisLinkOptions } from './options.js'
