import { channel } from 'node:diagnostics_channel'
import Fastify, { type FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import coalesce, { memoryStore } from '../../lib/index.js'
import type { CoalesceOptions, Store } from '../../types/index.js'
import { TestClock, until } from '../fixtures/gate.js'
import { lines, WARN } from '../fixtures/lines.js'
import { metric, serve, type TestServer } from '../fixtures/server.js'
import { chaos } from '../stores/chaos.js'

const ROUTE = 'method="GET",route="/word/:word"'

/** The samples of a scrape that have to do with what is kept. */
async function scrape ({ get }: Pick<TestServer, 'get'>): Promise<string[]> {
  const { body } = await get('/metrics')
  return body.split('\n').filter(line => /^coalesce_(?:cache|route_cache|store|requests|handler_runs)/.test(line) && !line.includes('_bucket'))
}

async function app (t: Test, options: CoalesceOptions = {}): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify({ exposeHeadRoutes: false })
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { metrics: true, ttl: '1m', ...options })
  app.get('/word/:word', { config: { coalesce: true } }, async () => 'word')
  return app
}

t.test('a scrape tells of hits, stale hits, misses by reason, refreshes and what is kept', async t => {
  const clock = new TestClock()
  const log = lines()
  const heard: unknown[] = []
  const listen = (message: unknown): void => { heard.push((message as { result: string }).result) }
  channel('fastify-coalesce:refresh').subscribe(listen)
  t.teardown(() => { channel('fastify-coalesce:refresh').unsubscribe(listen) })
  let broken = false
  const coalesce = { ttl: '10s', staleWhileRevalidate: '20s', staleIfError: '1m' }
  const server = await serve(t, app => {
    app.get('/word/:word', { exposeHeadRoute: false, config: { coalesce } }, async () => {
      if (broken) throw new Error('down')
      return 'word'
    })
  }, { clock, store: memoryStore({ clock }) }, { logger: log.logger })
  const ask = async (): Promise<unknown> => (await server.get('/word/a')).status
  const refreshed = async (result: string, times: number): Promise<void> => {
    await until(() => heard.filter(each => each === result).length === times, `${times} ${result}`)
  }

  await ask()
  t.equal(await metric(server.app, 'coalesce_cache_entries'), 1)
  t.ok(await metric(server.app, 'coalesce_cache_bytes') > 300)
  await ask()
  await ask()
  clock.advance(11_000)
  await ask()
  await refreshed('refreshed', 1)
  clock.advance(11_000)
  broken = true
  await ask()
  await refreshed('failed', 1)
  clock.advance(20_000)
  await ask()
  clock.advance(60_000)
  await ask()

  t.strictSame((await scrape(server)).sort(), [
    `coalesce_requests_total{${ROUTE},outcome="leader",reason="shared"} 1`,
    `coalesce_requests_total{${ROUTE},outcome="leader",reason="failed"} 1`,
    `coalesce_requests_total{${ROUTE},outcome="leader",reason="flight-timeout"} 0`,
    `coalesce_requests_total{${ROUTE},outcome="follower",reason="shared"} 0`,
    `coalesce_requests_total{${ROUTE},outcome="follower",reason="wait-timeout"} 0`,
    `coalesce_requests_total{${ROUTE},outcome="hit",reason="fresh"} 2`,
    `coalesce_requests_total{${ROUTE},outcome="stale",reason="stale-while-revalidate"} 2`,
    `coalesce_requests_total{${ROUTE},outcome="stale",reason="stale-if-error"} 1`,
    `coalesce_handler_runs_total{${ROUTE}} 5`,
    `coalesce_cache_misses_total{${ROUTE},reason="none"} 2`,
    `coalesce_cache_misses_total{${ROUTE},reason="expired"} 1`,
    `coalesce_cache_refreshes_total{${ROUTE},result="refreshed"} 1`,
    `coalesce_cache_refreshes_total{${ROUTE},result="failed"} 1`,
    'coalesce_cache_evictions_total 0',
    'coalesce_cache_entries 0',
    'coalesce_cache_bytes 0',
    `coalesce_cache_hit_ratio ${5 / 7}`,
    `coalesce_route_cache_hit_ratio{${ROUTE}} ${5 / 7}`,
    'coalesce_store_look_seconds_sum 0',
    'coalesce_store_look_seconds_count 0'
  ].sort())
  t.match(server.app.coalesce.stats(), {
    totalRequests: 7, cacheHits: 5, deduplicatedRequests: 0, deduplicationRate: 0, actualExecutions: 5
  }, 'a refresh is a run and no request; a hit is not deduplicated')
  t.strictSame(log.event('refreshed').map(({ coalesce }) => coalesce?.result), ['refreshed'])
  t.match(log.event('refresh-failed'), [{ level: WARN, coalesce: { method: 'GET', route: '/word/:word' } }])
  t.strictSame(log.event('settled').map(({ coalesce }) => coalesce?.outcome),
    ['leader', 'hit', 'hit', 'stale', 'stale', 'stale', 'leader'])
})

t.test('failures of a store are counted by operation and reason, and its answers timed', async t => {
  const clock = new TestClock()
  const log = lines()
  const store = chaos(memoryStore({ clock }))
  const server = await serve(t, app => {
    app.get('/word/:word', { exposeHeadRoute: false, config: { coalesce: { ttl: '1m' } } }, async () => 'word')
  }, { clock, store }, { logger: log.logger })
  await server.get('/word/a')
  store.on.get = 'delays'
  const slow = server.get('/word/a')
  await until(() => store.calls.get === 3)
  clock.advance(20)
  store.gate.open()
  await slow
  Object.assign(store.on, { get: 'rejects', set: 'throws' })
  await server.get('/word/a')
  store.on.get = 'another-key'
  await server.get('/word/a')

  const metrics = (await scrape(server)).filter(line => line.startsWith('coalesce_store'))
  t.strictSame(metrics, [
    'coalesce_store_errors_total{operation="get",reason="error"} 1',
    'coalesce_store_errors_total{operation="set",reason="error"} 2',
    'coalesce_store_rejected_entries_total{reason="key"} 1',
    'coalesce_store_look_seconds_sum 0.02',
    'coalesce_store_look_seconds_count 1'
  ])
  const buckets = (await server.get('/metrics')).body.split('\n').filter(line => line.startsWith('coalesce_store_look_seconds_bucket'))
  t.match(buckets.find(line => line.includes('le="0.01"')), / 0$/)
  t.match(buckets.find(line => line.includes('le="0.025"')), / 1$/)
  t.equal(log.event('store-failed').length, 1, 'one warning in a while, by the clock')
  clock.advance(10_000)
  store.on.get = 'rejects'
  await server.get('/word/a')
  t.equal(log.event('store-failed').length, 2)
})

t.test('a miss is told by what was there: purged softly, too old, or not what its request wants', async t => {
  const clock = new TestClock()
  const server = await app(t, { clock, staleIfError: '1m', respectRequestCacheControl: true })
  const misses: unknown[] = []
  for (const step of [
    () => {},
    () => { server.coalesce.invalidate({ tags: ['none'], soft: true }) },
    () => { server.coalesce.invalidate({ route: '/word/:word', soft: true }) },
    () => { clock.advance(61_000) }
  ]) {
    step()
    await server.inject('/word/a')
    misses.push(await Promise.all(['none', 'purged', 'expired', 'request'].map(async reason => await metric(server, 'coalesce_cache_misses_total', { reason }))))
  }
  await server.inject({ url: '/word/a', headers: { 'cache-control': 'no-cache' } })
  t.strictSame(misses, [[1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]])
  t.equal(await metric(server, 'coalesce_cache_misses_total', { reason: 'request' }), 1)
})

t.test('a store that registrations share counts once, and what went from it stays counted', async t => {
  const registry = new Registry()
  const store = memoryStore({ maxEntries: 2 })
  const one = await app(t, { metrics: { registry }, store })
  const two = await app(t, { metrics: { registry }, store })
  for (const word of ['a', 'b', 'c', 'd', 'e']) await one.inject(`/word/${word}`)
  const figures = async (): Promise<number[]> => await Promise.all(
    ['coalesce_cache_entries', 'coalesce_cache_evictions_total', 'coalesce_cache_misses_total'].map(async name => await metric(two, name)))
  t.strictSame(await figures(), [2, 3, 5])

  await one.close()
  t.strictSame(await figures(), [2, 3, 5], 'the other one has it still')
  await two.inject('/word/f')
  await two.close()
  t.strictSame(await figures(), [0, 4, 6], 'what it holds is nobody\'s here any more; counters do not go back')

  const three = await app(t, { metrics: { registry }, store })
  await three.inject('/word/g')
  t.strictSame(await figures(), [2, 5, 7], 'and nothing counts twice when it comes back')
})

t.test('what a registration counted of its store stays counted when it ends', async t => {
  const registry = new Registry()
  const store = chaos(memoryStore())
  Object.assign(store.on, { get: 'another-key', set: 'throws' })
  const one = await app(t, { metrics: { registry }, store })
  const two = await app(t, { metrics: { registry } })
  await one.inject('/word/a')
  store.on.get = 'rejects'
  await one.inject('/word/a')
  const figures = async (): Promise<number[]> => await Promise.all([
    metric(two, 'coalesce_store_errors_total', { operation: 'get' }), metric(two, 'coalesce_store_errors_total', { operation: 'set' }),
    metric(two, 'coalesce_cache_misses_total')
  ])
  t.strictSame(await figures(), [1, 2, 2])
  await one.close()
  t.strictSame(await figures(), [1, 2, 2])
})

t.test('a store that cannot tell its size, or fails to, does not spoil the scrape', async t => {
  const failing = chaos(memoryStore())
  failing.on.size = 'throws'
  const sizes: unknown[] = [undefined, null, 7, { entries: NaN, bytes: -1, evictions: 'many' }, {}]
  const stores: Store[] = [failing, ...sizes.map(size => ({ get: () => undefined, set () {}, delete () {}, size }) as unknown as Store)]
  for (const store of stores) {
    const server = await app(t, { store })
    await server.inject('/word/a')
    const { statusCode, body } = await server.inject('/metrics')
    t.equal(statusCode, 200)
    for (const name of ['entries', 'bytes', 'evictions_total']) t.match(body, new RegExp(`^coalesce_cache_${name} 0$`, 'm'))
  }
})

t.test('a store whose count of evictions begins again does not take the metric back', async t => {
  const size = { entries: 0, bytes: 0, evictions: 5 }
  const server = await app(t, { store: { get: () => undefined, set () {}, delete () {}, size } })
  t.equal(await metric(server, 'coalesce_cache_evictions_total'), 5)
  size.evictions = 2
  t.equal(await metric(server, 'coalesce_cache_evictions_total'), 7)
})
