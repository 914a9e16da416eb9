/**
 * Keeping responses: options, stores, purging and what is kept.
 */
import caching from '@fastify/caching'
import Fastify, { type FastifyRequest } from 'fastify'
import { expectAssignable, expectError, expectType } from 'tsd'
import coalesce, {
  abstractCacheStore, memoryStore, nullStore, type CoalesceOptions, type CoalesceRouteOptions, type Entry, type Explanation,
  type KeptEntry, type KeptResponseFacts, type ReplyCoalesce, type Store
} from '../../dist/lib/index.js'

// How long.
expectAssignable<CoalesceRouteOptions>({ ttl: '60s', staleWhileRevalidate: 5000, staleIfError: '1h', ttlJitter: 0.1, eagerRefresh: 0.8 })
expectAssignable<CoalesceRouteOptions>({ ttl: 'headers', negativeTtl: { 404: '10s', 410: 'headers' }, maxEntryBytes: 1024 })
expectAssignable<CoalesceRouteOptions>({ ttl: false, eagerRefresh: false })
expectAssignable<CoalesceRouteOptions>({
  ttl (response, request) {
    expectType<KeptResponseFacts>(response)
    expectType<FastifyRequest>(request)
    return response.status === 200 ? '5m' : null
  }
})
expectError<CoalesceRouteOptions>({ ttl: true })
expectError<CoalesceRouteOptions>({ ttl: () => true })
expectError<CoalesceRouteOptions>({ negativeTtl: { 404: true } })

// Where.
expectAssignable<Store>(memoryStore())
expectAssignable<Store>(memoryStore({ maxBytes: 1024, maxEntries: 10 }))
expectAssignable<Store>(nullStore)
expectAssignable<CoalesceOptions>({ store: { get: async () => undefined, async set () {}, delete () {} }, storeTimeout: '50ms', purgeOnWrite: false })
expectError<CoalesceOptions>({ store: new Map<string, Entry>() })
expectError(memoryStore({ maxbytes: 1 }))
expectError<CoalesceRouteOptions>({ store: nullStore })

const app = Fastify()
await app.register(caching)
expectAssignable<Store>(abstractCacheStore(app.cache))
await app.register(coalesce, { store: abstractCacheStore(app.cache, { segment: 'words' }), cacheStatus: 'edge', respectRequestCacheControl: true })

// Purging and looking.
app.coalesce.invalidate({ tags: ['word:42'], soft: true })
app.coalesce.invalidate({ url: '/word/42' })
expectError(app.coalesce.invalidate({ tags: 'word:42' }))
expectType<readonly KeptEntry[]>(app.coalesce.entries())
expectType<Promise<Explanation>>(app.coalesce.explain('/'))
expectType<Promise<Explanation>>(app.coalesce.explain({ url: '/', method: 'GET', headers: { cookie: 'a=1' } }, { values: true }))
expectError(app.coalesce.explain())
expectError(app.coalesce.explain('/', { value: true }))
expectType<readonly KeptEntry[]>(app.coalesce.entries({ bodies: true }))
app.get('/word', { config: { coalesce: { ttl: '1m', tags: ['words'], tagHeaders: ['surrogate-key'] } } }, async (_request, reply) => {
  expectType<ReplyCoalesce>(reply.coalesce)
  reply.coalesce.tag('word:1', 'word:2')
})
