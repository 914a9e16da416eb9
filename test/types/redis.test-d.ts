/**
 * What processes meet at: clients of each kind are taken, and what is made of them is taken where it belongs.
 */
import { createClient, createCluster } from 'redis'
import Fastify from 'fastify'
import type {} from '@fastify/redis'
import { Cluster, Redis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import { expectAssignable, expectError, expectType } from 'tsd'
import { deduplicate, type CoalesceOptions, type Coordinator, type Store } from '../../dist/lib/index.js'
import * as front from '../../dist/lib/redis/index.js'
import type { RedisCoordinatorOptions, RedisLinkOptions, RedisStore, RedisStoreOptions } from '../../dist/lib/redis/index.js'

const { redisCoordinator, redisStore } = front

// The entry has these names and no others.
expectType<'redisCoordinator' | 'redisStore'>({} as keyof typeof front)

// What @fastify/redis decorates, and clients of all packages.
const app = Fastify()
expectAssignable<Coordinator>(redisCoordinator({ client: app.redis }))
expectAssignable<Store>(redisStore({ client: app.redis }))
for (const client of [
  new Redis(), new Redis({ sentinels: [{ host: 'localhost' }], name: 'main' }), new Cluster([]), new Valkey(), createClient(), createCluster({ rootNodes: [] })
]) redisCoordinator({ client })
expectType<RedisStore>(redisStore({ url: 'redis://localhost' }))

// Durations are durations.
expectAssignable<RedisLinkOptions>({ url: 'redis://localhost', namespace: 'shop', secret: 'x'.repeat(16), lanes: 4, opTimeout: '100ms' })
expectAssignable<RedisCoordinatorOptions>({ client: app.redis, lease: '5s', livenessInterval: 100, maxInline: 0, handoffTtl: '1m', maxMessageBytes: 1 })
expectAssignable<RedisStoreOptions>({ client: app.redis, memory: { maxBytes: 1, ttl: '1s' }, maxEntryBytes: 1 })
expectAssignable<RedisStoreOptions>({ client: app.redis, memory: false })
expectError<RedisCoordinatorOptions>({ client: app.redis, lease: true })
expectError<RedisCoordinatorOptions>({ client: app.redis, memory: false })
expectError<RedisStoreOptions>({ client: app.redis, lease: '5s' })
expectError(redisCoordinator({ client: 'redis://localhost' }))
expectError(redisCoordinator())

// Of a registration, of functions, or none.
expectAssignable<CoalesceOptions>({ coordinator: redisCoordinator({ client: app.redis }), store: redisStore({ client: app.redis }) })
expectAssignable<CoalesceOptions>({ coordinator: false })
expectError<CoalesceOptions>({ coordinator: redisStore({ client: app.redis }) })
const lookUp = deduplicate(async (word: string) => word.length, { key: word => word, name: 'look up', coordinator: redisCoordinator({ client: app.redis }) })
expectType<Promise<number>>(lookUp('luck'))
