import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { AggregatorRegistry, Counter, Registry, register as globalRegistry } from 'prom-client'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceOptions } from '../../types/index.js'
import { gate } from '../fixtures/gate.js'
import { metric } from '../fixtures/server.js'

const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8'
const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

/** An app with the plugin and one coalesced route, or none. */
async function start (t: Test, options: CoalesceOptions = { metrics: true }, url: string | false = '/word'): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify({ exposeHeadRoutes: false })
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, options)
  if (url !== false) app.get(url, { config: { coalesce: true } }, async () => 'word')
  return app
}

async function scrape (app: FastifyInstance, accept?: string, url = '/metrics') {
  const { statusCode, headers, body } = await app.inject({ url, headers: accept === undefined ? {} : { accept } })
  return { statusCode, type: headers['content-type'], vary: headers.vary, body, lines: body.split('\n') }
}

/** Samples of a scrape by name with labels. */
function samples (lines: readonly string[], name: RegExp): string[] {
  return lines.filter(line => name.test(line) && !line.startsWith('#'))
}

async function ask (app: FastifyInstance, times: number, url = '/word'): Promise<void> {
  for (let count = 0; count < times; count++) await app.inject(url)
}

t.test('without metrics there is neither a registry nor a route', async t => {
  for (const options of [{}, { metrics: false }]) {
    const app = await start(t, options)
    t.equal(app.coalesce.registry, undefined)
    t.equal((await scrape(app)).statusCode, 404)
  }
})

t.test('the metrics tell of requests by outcome, runs, waits and followers', async t => {
  const app = await start(t, { metrics: true }, false)
  const opening = gate()
  app.get('/word/:word', { config: { coalesce: true } }, async () => {
    await opening.promise
    return 'word'
  })

  const answers = Array.from({ length: 4 }, async () => await app.inject('/word/secret'))
  answers.push(app.inject({ url: '/word/secret', headers: { authorization: 'Bearer x' } }))
  await app.inject('/metrics')
  t.equal(await metric(app, 'coalesce_flights'), 1)
  t.equal(await metric(app, 'coalesce_waiters'), 3)
  opening.open()
  await Promise.all(answers)

  const { body, lines } = await scrape(app)
  const route = 'method="GET",route="/word/:word"'
  t.strictSame(samples(lines, /^coalesce_requests_total/), [
    `coalesce_requests_total{${route},outcome="leader",reason="shared"} 1`,
    `coalesce_requests_total{${route},outcome="leader",reason="failed"} 0`,
    `coalesce_requests_total{${route},outcome="leader",reason="flight-timeout"} 0`,
    `coalesce_requests_total{${route},outcome="follower",reason="shared"} 3`,
    `coalesce_requests_total{${route},outcome="follower",reason="wait-timeout"} 0`,
    `coalesce_requests_total{${route},outcome="bypass",reason="credentials",cause="authorization"} 1`
  ])
  t.strictSame(samples(lines, /^coalesce_handler_runs_total/), [`coalesce_handler_runs_total{${route}} 2`])
  t.strictSame(samples(lines, /^coalesce_(flights|waiters|recorded_bytes|deduplication_ratio) /), [
    'coalesce_flights 0', 'coalesce_waiters 0', 'coalesce_recorded_bytes 0', 'coalesce_deduplication_ratio 0.6'
  ])
  t.strictSame(samples(lines, /^coalesce_route_deduplication_ratio/), [`coalesce_route_deduplication_ratio{${route}} 0.6`])
  t.strictSame(samples(lines, /^coalesce_wait_seconds_(count|bucket.*Inf)/).sort(), [
    `coalesce_wait_seconds_bucket{${route},le="+Inf"} 3`, `coalesce_wait_seconds_count{${route}} 3`
  ].sort())
  t.strictSame(samples(lines, /^coalesce_followers_per_flight_(sum|count|bucket.*le="(2|5|\+Inf)")/).sort(), [
    `coalesce_followers_per_flight_bucket{${route},le="2"} 0`,
    `coalesce_followers_per_flight_bucket{${route},le="5"} 1`,
    `coalesce_followers_per_flight_bucket{${route},le="+Inf"} 1`,
    `coalesce_followers_per_flight_sum{${route}} 3`,
    `coalesce_followers_per_flight_count{${route}} 1`
  ].sort())
  t.notMatch(body, 'secret')
})

t.test('buckets are cumulative and the last one counts all', async t => {
  const app = await start(t)
  await ask(app, 5)

  const { lines } = await scrape(app)
  const counts = samples(lines, /^coalesce_followers_per_flight_bucket/).map(line => Number(line.split(' ').at(-1)))

  t.equal(counts.length, 15)
  t.strictSame(counts, [...counts].sort((a, b) => a - b))
  t.equal(counts.at(-1), 5)
})

t.test('a scraper gets the format that it asks for, again and again', async t => {
  const app = await start(t)
  await ask(app, 2)
  const wanted: Array<[string | undefined, string]> = [
    [undefined, PROMETHEUS],
    ['*/*', PROMETHEUS],
    ['text/plain', PROMETHEUS],
    ['application/json', PROMETHEUS],
    ['application/openmetrics-text', OPEN_METRICS],
    ['application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3', OPEN_METRICS],
    ['application/openmetrics-text;q=0.3,text/plain;q=0.5', PROMETHEUS]
  ]
  const round = async () => {
    const scrapes = []
    for (const [accept] of wanted) scrapes.push(await scrape(app, accept))
    return scrapes
  }

  const first = await round()
  const second = await round()

  t.strictSame(first.map(({ type }) => type), wanted.map(([, type]) => type))
  t.strictSame(second, first, 'scraping changes nothing')
  t.strictSame(new Set(first.map(({ vary }) => vary)), new Set(['accept']))
  t.equal(new Set(first.map(({ body }) => body)).size, 2)
})

t.test('a counter has the name that its format wants', async t => {
  const app = await start(t)
  await ask(app, 1)

  const plain = await scrape(app, 'text/plain')
  const open = await scrape(app, 'application/openmetrics-text')

  t.ok(plain.lines.includes('# TYPE coalesce_requests_total counter'))
  t.ok(open.lines.includes('# TYPE coalesce_requests counter'))
  t.notOk(open.lines.includes('# TYPE coalesce_requests_total counter'))
  const sample = 'coalesce_requests_total{method="GET",route="/word",outcome="leader",reason="shared"} 1'
  t.ok(plain.lines.includes(sample))
  t.ok(open.lines.includes(sample))
  t.strictSame(open.lines.slice(-2), ['# EOF', ''])
  t.notMatch(plain.body, '# EOF')
  t.strictSame(samples(open.lines, /./).sort(), samples(plain.lines, /./).sort(), 'the samples are the same')
})

t.test('a registry of the user\'s has the metrics, besides its own', async t => {
  const registry = new Registry()
  const own = new Counter({ name: 'own_total', help: 'mine', registers: [registry] })
  own.inc(7)
  const app = await start(t, { metrics: { registry } })
  await ask(app, 1)

  t.equal(app.coalesce.registry, registry)
  for (const accept of ['text/plain', 'application/openmetrics-text', 'text/plain']) {
    t.ok((await scrape(app, accept)).lines.includes('own_total 7'))
  }
  t.match(await registry.metrics(), /^coalesce_handler_runs_total\{.*\} 1$/m)
  t.equal(globalRegistry.getMetricsAsArray().length, 0, 'the global one is left alone')
})

t.test('the labels that the user\'s registry gives to everything stand in both formats', async t => {
  const registry = new Registry()
  registry.setDefaultLabels({ app: 'words' })
  const app = await start(t, { metrics: { registry } })
  await ask(app, 1)

  for (const accept of ['text/plain', 'application/openmetrics-text']) {
    t.ok((await scrape(app, accept)).lines.includes('coalesce_handler_runs_total{method="GET",route="/word",app="words"} 1'), accept)
  }
})

t.test('a registry that writes OpenMetrics is served as it is', async t => {
  const registry = new Registry()
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as unknown as typeof Registry.PROMETHEUS_CONTENT_TYPE)
  const app = await start(t, { metrics: { registry } })
  await ask(app, 1)

  const first = await scrape(app)
  t.equal(first.type, OPEN_METRICS)
  t.ok(first.body.endsWith('# EOF\n'))
  t.strictSame(await scrape(app), first)
  t.equal((await scrape(app, 'application/openmetrics-text')).body, first.body)
})

t.test('a prefix stands before each name, and two prefixes share a registry', async t => {
  const registry = new Registry()
  const one = await start(t, { metrics: { registry, prefix: 'one_' } })
  const two = await start(t, { metrics: { registry, prefix: 'two_' } })
  await ask(one, 1)
  await ask(two, 2)

  const { lines } = await scrape(one)

  t.strictSame(samples(lines, /handler_runs_total/), [
    'one_coalesce_handler_runs_total{method="GET",route="/word"} 1', 'two_coalesce_handler_runs_total{method="GET",route="/word"} 2'
  ])
  t.strictSame(registry.getMetricsAsArray().filter(({ name }) => !/^(one|two)_coalesce_/.test(name)), [])
})

t.test('two apps feed one registry, and count once each', async t => {
  const registry = new Registry()
  const one = await start(t, { metrics: { registry } })
  const two = await start(t, { metrics: { registry } }, '/other')
  const three = await start(t, { metrics: { registry } })
  await ask(one, 1)
  await ask(two, 2, '/other')
  await ask(three, 4)

  for (const app of [one, two, three]) {
    t.strictSame(samples((await scrape(app)).lines, /^coalesce_handler_runs_total/), [
      'coalesce_handler_runs_total{method="GET",route="/word"} 5', 'coalesce_handler_runs_total{method="GET",route="/other"} 2'
    ])
  }
  t.equal(await metric(one, 'coalesce_requests_total'), 7)
  t.equal(one.coalesce.stats().totalRequests, 1, 'stats are the registration\'s own')
})

t.test('apps without a registry of the user\'s have one each', async t => {
  const one = await start(t)
  const two = await start(t)
  await ask(one, 3)

  t.not(one.coalesce.registry, two.coalesce.registry)
  t.equal(await metric(one, 'coalesce_handler_runs_total'), 3)
  t.equal(await metric(two, 'coalesce_handler_runs_total'), 0)
})

t.test('counters do not go back when an app closes, and gauges do', async t => {
  const registry = new Registry()
  const one = await start(t, { metrics: { registry } })
  const two = await start(t, { metrics: { registry } })
  await ask(one, 3)
  await ask(two, 1)
  const call = one.coalesce.deduplicate(async () => { await gate().promise }, { key: () => 'k', name: 'forever' })
  call().catch(() => {})
  t.equal(await metric(two, 'coalesce_flights'), 1)
  const before = await metric(two, 'coalesce_handler_runs_total')
  t.equal(before, 5)

  await one.close()

  t.equal(await metric(two, 'coalesce_handler_runs_total'), before)
  t.equal(await metric(two, 'coalesce_flights'), 0)
  await ask(two, 1)
  t.equal(await metric(two, 'coalesce_handler_runs_total', { route: '/word' }), 5)
  const successor = await start(t, { metrics: { registry } })
  await ask(successor, 1)
  await two.close()
  t.equal(await metric(successor, 'coalesce_handler_runs_total', { route: '/word' }), 6)
  t.equal(await metric(successor, 'coalesce_requests_total', { route: '/word' }), 6)
})

t.test('a registry that was cleared has the metrics again with the next app, which begin anew', async t => {
  const registry = new Registry()
  const options = { metrics: { registry, defaultMetrics: true } }
  const names = async (): Promise<string[]> => (await registry.getMetricsAsJSON()).map(({ name }) => name)
  const first = await start(t, options)
  await ask(first, 2)
  const all = await names()
  await first.close()
  registry.clear()
  const second = await start(t, options)
  t.strictSame(await names(), all)
  t.equal(await metric(second, 'coalesce_handler_runs_total'), 0, 'what was counted before is gone')
  await ask(second, 3)
  t.equal(await metric(second, 'coalesce_handler_runs_total'), 3)
  registry.clear()
  const third = await start(t, options)
  t.strictSame(await names(), all)
  await ask(third, 1)
  t.equal(await metric(third, 'coalesce_handler_runs_total'), 4, 'an app that goes on counts on')
  registry.removeSingleMetric('coalesce_flights')
  await start(t, options)
  t.equal(registry.getSingleMetric('coalesce_flights'), undefined, 'one that somebody took away stays away')
  registry.clear()
  registry.registerMetric(new Counter({ name: 'coalesce_flights', help: 'another', registers: [] }))
  await t.rejects(start(t, options), { code: 'FST_COALESCE_METRIC_TAKEN' })
})

t.test('the metrics of the workers of a cluster add up, and what is no sum is left out', async t => {
  const workers = await Promise.all([0, 1].map(async () => {
    const app = await start(t, { metrics: { registry: new Registry() }, ttl: '1m' })
    await ask(app, 4)
    return await (app.coalesce.registry as Registry).getMetricsAsJSON()
  }))
  const cluster = AggregatorRegistry.aggregate(workers)
  const values: Record<string, number[]> = {}
  for (const { name, values: samples } of await cluster.getMetricsAsJSON() as unknown as Array<{ name: string, values: Array<{ value: number }> }>) {
    values[name] = samples.map(({ value }) => value)
  }
  t.strictSame(values.coalesce_handler_runs_total, [2])
  t.strictSame(values.coalesce_requests_total, [2, 0, 0, 0, 0, 6, 0, 0])
  for (const metric of ['coalesce_cache_hit_ratio', 'coalesce_deduplication_ratio']) {
    for (const name of [metric, metric.replace('coalesce_', 'coalesce_route_')]) t.notOk(name in values, name)
  }
  const followers = values.coalesce_followers_per_flight ?? []
  t.strictSame(followers, [...Array(15).fill(2), 0, 2], 'buckets, sum and count')
  const sums = workers[0]?.filter(({ type, aggregator }) => type as unknown === 'gauge' && aggregator === 'sum').map(({ name }) => name)
  t.strictSame(sums?.sort(), [
    'breaker_state', 'cache_bytes', 'cache_entries', 'coordinator_circuits_open', 'flights', 'queue_limit', 'queue_running', 'queue_waiting',
    'recorded_bytes', 'waiters'
  ].map(name => `coalesce_${name}`))
})

t.test('a registration inside another one\'s context counts into its metrics, once', async t => {
  const app = await start(t)
  const inner = (options: CoalesceOptions): FastifyPluginAsync => async child => {
    await child.register(coalesce, options)
    child.get('/word', { config: { coalesce: true } }, async () => 'word')
  }
  await app.register(inner({}), { prefix: '/inner' })
  await app.register(inner({ metrics: true }), { prefix: '/with' })
  await app.register(inner({ metrics: false }), { prefix: '/without' })

  for (const [prefix, times] of [['', 1], ['/inner', 2], ['/with', 4], ['/without', 8]] as const) await ask(app, times, `${prefix}/word`)

  t.strictSame(samples((await scrape(app)).lines, /^coalesce_handler_runs_total/), [
    'coalesce_handler_runs_total{method="GET",route="/word"} 1',
    'coalesce_handler_runs_total{method="GET",route="/inner/word"} 2',
    'coalesce_handler_runs_total{method="GET",route="/with/word"} 4'
  ])
  t.equal((await scrape(app, undefined, '/with/metrics')).statusCode, 200)
  t.equal((await scrape(app, undefined, '/inner/metrics')).statusCode, 404)
})

t.test('another metric of the same name is an error that says what to do', async t => {
  const registry = new Registry()
  const taken = new Counter({ name: 'coalesce_handler_runs_total', help: 'somebody else\'s', registers: [registry] })
  const app = Fastify()

  await t.rejects(async () => await app.register(coalesce, { metrics: { registry } }), {
    code: 'FST_COALESCE_METRIC_TAKEN',
    message: 'the registry has another metric named coalesce_handler_runs_total; set metrics.prefix'
  })

  t.strictSame(registry.getMetricsAsArray(), [taken], 'nothing was registered')
  const other = await start(t, { metrics: { registry, prefix: 'app_' } })
  t.equal((await scrape(other)).statusCode, 200)
})

t.test('the metrics of the process are collected on demand, once a registry', async t => {
  const registry = new Registry()
  const without = await start(t, { metrics: { registry } })
  t.notMatch((await scrape(without)).body, 'process_cpu_user_seconds_total')

  const one = await start(t, { metrics: { registry, defaultMetrics: true } })
  await start(t, { metrics: { registry, defaultMetrics: true } })

  for (const accept of ['text/plain', 'application/openmetrics-text', 'text/plain']) {
    t.match((await scrape(one, accept)).body, /^process_cpu_user_seconds_total \d/m)
  }
})

t.test('the metrics route is where the user wants it, or nowhere', async t => {
  const elsewhere = await start(t, { metrics: { path: '/internal/metrics' } })
  t.equal((await scrape(elsewhere, undefined, '/internal/metrics')).statusCode, 200)
  t.equal((await scrape(elsewhere)).statusCode, 404)

  const nowhere = await start(t, { metrics: { path: false } })
  t.equal((await scrape(nowhere)).statusCode, 404)
  t.match(await nowhere.coalesce.registry?.metrics(), 'coalesce_requests_total')
})

t.test('the metrics route is never coalesced, and the user\'s own hooks guard it', async t => {
  const app = await start(t, {
    global: true,
    metrics: {
      routeOptions: {
        config: { coalesce: true },
        onRequest: async (request, reply) => {
          if (request.headers['x-scraper'] === undefined) return await reply.code(403).send('no')
        }
      }
    }
  })

  t.equal((await scrape(app)).statusCode, 403)
  const answers = await Promise.all([1, 2, 3].map(async () => await app.inject({ url: '/metrics', headers: { 'x-scraper': 'yes' } })))
  t.strictSame(answers.map(({ statusCode }) => statusCode), [200, 200, 200])
  t.strictSame(app.coalesce.stats().routes.map(({ route }) => route).filter(route => route === '/metrics'), [])
})

t.test('a metrics route that the app has already is left alone', async t => {
  const app: FastifyInstance = Fastify()
  t.teardown(async () => { await app.close() })
  app.get('/metrics', async () => 'mine')
  await app.register(coalesce, { metrics: true })

  t.equal((await scrape(app)).body, 'mine')
})

t.test('label values are escaped', async t => {
  const app = await start(t)
  const run = app.coalesce.deduplicate(async () => 1, { key: () => 'k', name: 'a "b"\nc\\' })
  await run()

  for (const accept of ['text/plain', 'application/openmetrics-text']) {
    t.ok((await scrape(app, accept)).lines.includes('coalesce_handler_runs_total{method="FUNCTION",route="a \\"b\\"\\nc\\\\"} 1'))
  }
})
