/**
 * The front door of fastify-coalesce.
 */
import fp from 'fastify-plugin'
import type { FastifyPluginAsync } from 'fastify'
import type { CoalesceOptions } from '../types/index.js'
import { coalesce } from './fastify/plugin.js'

/**
 * Request coalescing (request collapsing, single-flight) for Fastify: of any number of identical concurrent requests one runs
 * the handler, and the others are answered with its response.
 *
 * @throws FST_COALESCE_INVALID_OPTION if an option is wrong; FST_COALESCE_ALREADY_REGISTERED in a context that has it
 * @example
 * await app.register(coalesce, { metrics: true })
 * app.get('/word/:word', { config: { coalesce: true } }, async request => await lookUp(request.params.word))
 */
const fastifyCoalesce: FastifyPluginAsync<CoalesceOptions> = fp(coalesce, { fastify: '^5.12.0', name: 'fastify-coalesce' })

export default fastifyCoalesce
export { fastifyCoalesce }
export { ANALYTICS_COOKIES } from './http/analytics-cookies.js'
export { defineCoalesce } from './options/define-coalesce.js'
export { circuitBreaker, runQueue } from './options/make-protection.js'
export { batched } from './functions/batched.js'
export { deduplicate, deduplicated } from './functions/deduplicate.js'
export { abstractCacheStore, type AbstractCache, type AbstractCacheStoreOptions } from './stores/abstract-cache.js'
export { memoryStore, type MemoryStore, type MemoryStoreOptions } from './stores/memory.js'
export { nullStore } from './stores/null.js'
export * as errors from './errors.js'
export { sharedZlib, type SharedZlib } from './fastify/replies/shared-zlib.js'
export type * from '../types/index.js'
