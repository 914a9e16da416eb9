import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance } from 'fastify'
import { Counter, Registry } from 'prom-client'
import t from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceOptions, MetricsOptions } from '../../types/index.js'
import { arrivedAt, errorOf, held, meet, queue, times } from '../fixtures/crowd.js'
import { TestClock } from '../fixtures/gate.js'
import { listen, metric, serve } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }

/** The samples of a scrape: lines without comments. */
function samples (scrape: string): string[] {
  return scrape.split('\n').filter(line => line !== '' && !line.startsWith('#'))
}

t.test('the metrics tell what became of requests, by route pattern', async t => {
  const clock = new TestClock()
  const handler = held()
  const server = await serve(t, app => { app.get('/word/:word', { exposeHeadRoute: false, ...ON }, handler) }, { clock })
  const [leader] = await queue(server, times(1, server, '/word/secret?token=abc'))
  const waiting = [...times(3, server, '/word/secret?token=abc'), ...times(1, server, '/word/secret', { headers: { cookie: 'session=abc' } })].map(send => send())
  await server.arrived(5)
  const during = samples((await server.get('/metrics')).body)
  clock.advance(200)
  handler.gate.open()
  await Promise.all([leader, ...waiting])
  const after = (await server.get('/metrics')).body

  t.strictSame(during.filter(line => /^coalesce_(?:flights|waiters) /.test(line)), ['coalesce_flights 1', 'coalesce_waiters 3'])
  const route = 'method="GET",route="/word/:word"'
  t.strictSame(samples(after).filter(line => !line.includes('_bucket')).sort(), [
    `coalesce_requests_total{${route},outcome="bypass",reason="credentials",cause="cookie"} 1`,
    `coalesce_requests_total{${route},outcome="leader",reason="shared"} 1`,
    `coalesce_requests_total{${route},outcome="leader",reason="failed"} 0`,
    `coalesce_requests_total{${route},outcome="leader",reason="flight-timeout"} 0`,
    `coalesce_requests_total{${route},outcome="follower",reason="shared"} 3`,
    `coalesce_requests_total{${route},outcome="follower",reason="wait-timeout"} 0`,
    `coalesce_handler_runs_total{${route}} 2`,
    `coalesce_saved_seconds_total{${route}} 0.6`,
    `coalesce_handler_seconds_sum{${route}} 0.2`,
    `coalesce_handler_seconds_count{${route}} 1`,
    'coalesce_flights 0',
    'coalesce_waiters 0',
    'coalesce_recorded_bytes 0',
    'coalesce_deduplication_ratio 0.6',
    'coalesce_cache_hit_ratio 0',
    `coalesce_route_cache_hit_ratio{${route}} 0`,
    'coalesce_cache_entries 0',
    'coalesce_cache_bytes 0',
    'coalesce_cache_evictions_total 0',
    'coalesce_store_look_seconds_sum 0',
    'coalesce_store_look_seconds_count 0',
    `coalesce_route_deduplication_ratio{${route}} 0.6`,
    `coalesce_wait_seconds_sum{${route}} 0.6000000000000001`,
    `coalesce_wait_seconds_count{${route}} 3`,
    `coalesce_followers_per_flight_sum{${route}} 3`,
    `coalesce_followers_per_flight_count{${route}} 1`
  ].sort())
  const buckets = samples(after).filter(line => line.startsWith('coalesce_wait_seconds_bucket'))
  t.match(buckets.find(line => line.includes('le="0.1"')), / 0$/)
  t.match(buckets.find(line => line.includes('le="0.25"')), / 3$/)
  t.match(buckets.find(line => line.includes('le="+Inf"')), / 3$/)
  t.notMatch(after, /secret|abc/, 'no path, query or header value stands in a label')
})

t.test('stats() has the five figures, for all and per route', async t => {
  const [one, two] = [held(), held()]
  const server = await serve(t, app => {
    app.get('/one', { exposeHeadRoute: false, ...ON }, one)
    app.get('/two', { exposeHeadRoute: false, ...ON }, two)
  })
  t.strictSame(server.app.coalesce.stats().deduplicationRate, 0)
  await meet(server, one, times(4, server, '/one'))
  await meet(server, two, times(1, server, '/two'))
  t.match(server.app.coalesce.stats(), {
    totalRequests: 5,
    deduplicatedRequests: 3,
    cacheHits: 0,
    actualExecutions: 2,
    deduplicationRate: 0.6,
    routes: [
      { method: 'GET', route: '/one', totalRequests: 4, deduplicatedRequests: 3, cacheHits: 0, actualExecutions: 1, deduplicationRate: 0.75 },
      { method: 'GET', route: '/two', totalRequests: 1, deduplicatedRequests: 0, cacheHits: 0, actualExecutions: 1, deduplicationRate: 0 }
    ]
  })
})

t.test('every request has one outcome, and every run is counted', async t => {
  const handler = held((request, reply) => {
    reply.header('cache-control', request.url === '/private' ? 'private' : 'public')
    return 'body'
  })
  const server = await serve(t, app => {
    app.get('/private', ON, handler)
    app.get('/public', ON, handler)
  })
  await meet(server, handler, [
    ...times(4, server, '/private'), ...times(3, server, '/public'), ...times(2, server, '/public', { headers: { authorization: 'x' } })
  ])
  const count = async (outcome: string) => await metric(server.app, 'coalesce_requests_total', { outcome })
  t.strictSame(await Promise.all(['leader', 'follower', 'alone', 'bypass'].map(count)), [2, 2, 3, 2])
  t.equal(await metric(server.app, 'coalesce_handler_runs_total'), handler.runs)
  t.equal(handler.runs, 7)
})

t.test('labels stay a closed set, however many paths and reasons there are', async t => {
  const server = await serve(t, app => { app.get('/word/:word', ON, async () => 'body') })
  const before = samples((await server.get('/metrics')).body).length
  await server.get('/word/0')
  const once = samples((await server.get('/metrics')).body).length
  await Promise.all(Array.from({ length: 200 }, (_, index) => server.get(`/word/${index}?q=${index}`, { headers: { 'accept-language': `x-${index}` } })))
  t.equal(samples((await server.get('/metrics')).body).length, once)
  t.equal(once - before, 33, 'the lines of two histograms, which begin with the first run')
})

t.test('the metrics route honours what the scraper accepts', async t => {
  const { get } = await serve(t, app => { app.get('/', ON, async () => 'body') })
  await get('/')
  const scrape = async (accept?: string) => await get('/metrics', { headers: accept === undefined ? {} : { accept } })
  const answers = await Promise.all([
    scrape(), scrape('text/plain'), scrape('*/*'), scrape('image/png'),
    scrape('application/openmetrics-text; version=1.0.0'),
    scrape('application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1')
  ])
  t.strictSame(answers.map(({ status, headers }) => [status, headers['content-type']?.split(';')[0], headers.vary]), [
    ...Array(4).fill([200, 'text/plain', 'accept']), ...Array(2).fill([200, 'application/openmetrics-text', 'accept'])
  ])
  const [plain, open] = [answers[0]?.body ?? '', answers[4]?.body ?? '']
  t.strictSame(samples(open).sort(), samples(plain).sort(), 'the same samples in both formats')
  t.match(open, /^# TYPE coalesce_requests counter$/m, 'OpenMetrics names a counter without its suffix')
  t.match(plain, /^# TYPE coalesce_requests_total counter$/m)
  t.ok(open.endsWith('# EOF\n'))
  t.strictSame(samples((await scrape()).body).sort(), samples(plain).sort(), 'one format does not spoil the other')
})

t.test('the metrics route is never coalesced, even when all routes are', async t => {
  const server = await serve(t, () => {}, { global: true, metrics: { path: '/figures' } })
  t.match((await server.get('/figures')).body, /coalesce_flights 0/)
  t.strictSame(server.app.coalesce.stats(), {
    totalRequests: 0, deduplicatedRequests: 0, cacheHits: 0, actualExecutions: 0, deduplicationRate: 0, handlerTimeSaved: 0, routes: []
  })
  t.equal((await server.get('/metrics')).status, 404)
})

t.test('the metrics route can be left off, moved by the prefix of its context, and guarded', async t => {
  const off = await serve(t, app => { app.get('/', ON, async () => 'body') }, { metrics: { path: false } })
  await off.get('/')
  t.equal((await off.get('/metrics')).status, 404)
  t.match(await off.app.coalesce.registry?.metrics(), /coalesce_handler_runs_total\{.*\} 1/)

  const none = await serve(t, () => {}, { metrics: false })
  t.equal((await none.get('/metrics')).status, 404)
  t.equal(none.app.coalesce.registry, undefined)

  const guarded = await serve(t, () => {}, {
    metrics: {
      routeOptions: {
        logLevel: 'silent',
        onRequest: async (request, reply) => request.headers.authorization === 'scraper' ? undefined : await reply.code(401).send()
      }
    }
  })
  t.equal((await guarded.get('/metrics')).status, 401)
  t.equal((await guarded.get('/metrics', { headers: { authorization: 'scraper' } })).status, 200)

  const app = Fastify()
  await app.register(async inner => { await inner.register(coalesce, { metrics: true }) }, { prefix: '/admin' })
  const { get } = await listen(t, app)
  t.strictSame([(await get('/admin/metrics')).status, (await get('/metrics')).status], [200, 404])
})

t.test('a route of the app at the metrics path is left in its place', async t => {
  const app = Fastify()
  app.get('/metrics', async () => 'the app\'s own')
  await app.register(coalesce, { metrics: true })
  const { get } = await listen(t, app)
  t.equal((await get('/metrics')).body, 'the app\'s own')
})

t.test('the registry is the plugin\'s own, or the user\'s', async t => {
  const registry = new Registry()
  new Counter({ name: 'own_total', help: 'The user\'s', registers: [registry] }).inc(3)
  const server = await serve(t, app => { app.get('/', ON, async () => 'body') }, { metrics: { registry, prefix: 'shop_', defaultMetrics: true } })
  await server.get('/')
  const { body } = await server.get('/metrics')
  t.equal(server.app.coalesce.registry, registry)
  t.match(body, /^own_total 3$/m)
  t.match(body, /^shop_coalesce_handler_runs_total\{.*\} 1$/m)
  t.match(body, /^shop_process_cpu_user_seconds_total /m)
  t.notMatch(body, /^coalesce_/m)

  const other = await serve(t, () => {})
  t.not(other.app.coalesce.registry, registry)
  t.notMatch((await other.get('/metrics')).body, /process_cpu/)
})

/** An app that has had so many runs on one route. */
async function appWith (options: CoalesceOptions, runs: number): Promise<FastifyInstance> {
  const app = Fastify() as unknown as FastifyInstance
  await app.register(coalesce, options)
  app.get('/', { exposeHeadRoute: false, ...ON }, async () => 'body')
  for (let run = 0; run < runs; run++) await app.inject('/')
  return app
}

t.test('two apps that share a registry add up, and nothing is lost when one closes', async t => {
  const metrics = { registry: new Registry(), defaultMetrics: true }
  const one = await appWith({ metrics }, 2)
  const two = await appWith({ metrics }, 3)
  t.teardown(() => two.close())
  const read = async (): Promise<number> => await metric(two, 'coalesce_handler_runs_total', { method: 'GET', route: '/' })
  t.equal(await read(), 5)
  await one.close()
  t.equal(await read(), 5)
  await one.close()
  t.equal(await read(), 5, 'closing twice does not count twice')
  const three = await appWith({ metrics }, 1)
  await three.close()
  t.equal(await read(), 6)
  t.equal(samples(await metrics.registry.metrics()).filter(line => line.startsWith('coalesce_handler_runs_total')).length, 1)
})

t.test('two prefixes of one registry are apart', async t => {
  const registry = new Registry()
  const one = await appWith({ metrics: { registry, prefix: 'one_' } }, 2)
  const two = await appWith({ metrics: { registry, prefix: 'two_' } }, 3)
  t.teardown(async () => { await Promise.all([one.close(), two.close()]) })
  t.strictSame([await metric(one, 'one_coalesce_handler_runs_total'), await metric(one, 'two_coalesce_handler_runs_total')], [2, 3])
})

t.test('registrations inside one another count each request once, in one scrape', async t => {
  const outer = held()
  const inner = held()
  const children: FastifyInstance[] = []
  const server = await serve(t, async app => {
    app.get('/outer', ON, outer)
    await app.register(async child => {
      await child.register(coalesce, { metrics: true })
      child.get('/inner', ON, inner)
      await child.register(async grandchild => {
        await grandchild.register(coalesce, {})
        grandchild.get('/innermost', ON, async () => 'body')
      })
      children.push(child)
    })
  })
  await meet(server, outer, times(2, server, '/outer'))
  const answers = times(3, server, '/inner').map(send => send())
  await arrivedAt((children[0] as FastifyInstance).coalesce.stats, 3)
  inner.gate.open()
  await Promise.all(answers)
  await server.get('/innermost')
  const scrape = samples((await server.get('/metrics')).body)
  t.strictSame(scrape.filter(line => /^coalesce_requests_total.* [^0]/.test(line)), [
    'coalesce_requests_total{method="GET",route="/outer",outcome="leader",reason="shared"} 1',
    'coalesce_requests_total{method="GET",route="/outer",outcome="follower",reason="shared"} 1',
    'coalesce_requests_total{method="GET",route="/inner",outcome="leader",reason="shared"} 1',
    'coalesce_requests_total{method="GET",route="/inner",outcome="follower",reason="shared"} 2',
    'coalesce_requests_total{method="GET",route="/innermost",outcome="leader",reason="shared"} 1'
  ])
  t.equal(children[0]?.coalesce.registry, server.app.coalesce.registry)
})

t.test('metrics of the same name that are somebody else\'s are an error at registration', async t => {
  const registry = new Registry()
  const counter = new Counter({ name: 'coalesce_requests_total', help: 'Another one\'s', registers: [registry] })
  const app = Fastify()
  t.teardown(() => app.close())
  const error = await errorOf(async () => await app.register(coalesce, { metrics: { registry } }))
  t.match(error, { code: 'FST_COALESCE_METRIC_TAKEN', message: /coalesce_requests_total.*metrics\.prefix/ })
  t.strictSame(registry.getMetricsAsArray().map(({ name }) => name), ['coalesce_requests_total'], 'nothing is left of the attempt')
  t.ok(counter)
})

t.test('deduplicated functions stand in the same metrics', async t => {
  const server = await serve(t, () => {})
  const handler = held()
  const lookUp = server.app.coalesce.deduplicate(async (word: string) => {
    await handler.gate.promise
    return word
  }, { key: word => word, name: 'lookUp' })
  const answers = ['a', 'a', 'b'].map(word => lookUp(word))
  t.equal(await metric(server.app, 'coalesce_flights'), 2)
  handler.gate.open()
  t.strictSame(await Promise.all(answers), ['a', 'a', 'b'])
  t.equal(await metric(server.app, 'coalesce_handler_runs_total', { method: 'FUNCTION', route: 'lookUp' }), 2)
  t.match(server.app.coalesce.stats(), { totalRequests: 3, deduplicatedRequests: 1, actualExecutions: 2 })
})

t.test('the metrics route is no part of an API\'s description, unless its options say so', async t => {
  const described = async (routeOptions: MetricsOptions['routeOptions']): Promise<string[]> => {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    await app.register(swagger)
    await app.register(coalesce, { metrics: { routeOptions } })
    app.get('/word', async () => 'serendipity')
    await app.ready()
    t.equal((await app.inject('/metrics')).statusCode, 200)
    return Object.keys(app.swagger().paths ?? {})
  }

  t.strictSame(await described({}), ['/word'])
  t.strictSame(await described({ schema: { querystring: { type: 'object' } } }), ['/word'])
  t.strictSame(await described({ schema: { hide: false } }), ['/metrics', '/word'])
})
