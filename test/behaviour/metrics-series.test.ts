/**
 * Which series a scrape has: those of routes that were asked for or chosen, early enough for `increase()`.
 */
import Fastify, { type FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceOptions } from '../../types/index.js'

async function start (t: Test, routes: (app: FastifyInstance) => unknown, options: CoalesceOptions = {}): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { metrics: true, ...options })
  await routes(app)
  await app.ready()
  return app
}

/** The samples of routes. */
async function ofRoutes (app: FastifyInstance): Promise<string[]> {
  return (await app.inject('/metrics')).body.split('\n').filter(line => line.includes('route="'))
}

/** The series of outcomes with their counts, as `GET leader shared 1`. */
async function requests (app: FastifyInstance): Promise<string[]> {
  const lines = (await ofRoutes(app)).filter(line => line.startsWith('coalesce_requests_total'))
  return lines.map(line => line.replace(/^.*\{method="(\w+)".*outcome="([^"]+)",reason="([^"]+)".* (\d+)$/, '$1 $2 $3 $4'))
}

t.test('routes that nobody asked for have no series', async t => {
  const app = await start(t, app => {
    for (let route = 0; route < 27; route++) app.get(`/${route}`, async () => 'body')
  }, { global: true })
  t.strictSame(await ofRoutes(app), [])
  await app.inject('/3')
  const asked = await ofRoutes(app)
  t.ok(asked.length > 0)
  t.strictSame(asked.filter(line => !line.includes('method="GET",route="/3"')), [], 'nor has the HEAD route of one that was asked for')
  await app.inject({ method: 'HEAD', url: '/3' })
  t.ok((await ofRoutes(app)).some(line => line.includes('method="HEAD",route="/3"')))
})

t.test('a chosen route has its outcomes at 0 before its first request, so that no increase is missed', async t => {
  const app = await start(t, app => { app.get('/word', { config: { coalesce: true } }, async () => 'body') })
  t.strictSame(await requests(app), [
    'GET leader shared 0', 'GET leader failed 0', 'GET leader flight-timeout 0', 'GET follower shared 0', 'GET follower wait-timeout 0'
  ])
  const all = (await ofRoutes(app)).map(line => line.replace(/\{.*\}/, ''))
  t.strictSame(all.filter(line => !line.startsWith('coalesce_requests_total')), [
    'coalesce_handler_runs_total 0', 'coalesce_saved_seconds_total 0', 'coalesce_route_deduplication_ratio 0', 'coalesce_route_cache_hit_ratio 0'
  ], 'histograms begin with their first value')
  await app.inject('/word')
  t.equal((await requests(app))[0], 'GET leader shared 1')
})

t.test('a chosen route that caches has the outcomes of its cache at 0 as well', async t => {
  const app = await start(t, app => { app.get('/word', { config: { coalesce: { ttl: '1m' } } }, async () => 'body') })
  t.strictSame((await requests(app)).slice(5), ['GET hit fresh 0', 'GET stale stale-while-revalidate 0', 'GET stale stale-if-error 0'])
  const cache = (await ofRoutes(app)).filter(line => /^coalesce_cache_\w+_total/.test(line)).map(line => line.replace(/^coalesce_cache_|_total.*",/g, ''))
  t.strictSame(cache, ['missesreason="none"} 0', 'missesreason="expired"} 0', 'refreshesresult="refreshed"} 0', 'refreshesresult="failed"} 0'])
})

t.test('a route for several methods is one series, and a function has its own from the start', async t => {
  const app = await start(t, app => {
    app.route({ method: ['GET', 'HEAD'], url: '/both', config: { coalesce: true }, handler: async () => 'body' })
    app.coalesce.deduplicate(async () => 1, { key: () => 'k', name: 'lookUp' })
  })
  const runs = (await ofRoutes(app)).filter(line => line.startsWith('coalesce_handler_runs_total'))
  t.strictSame(runs, ['coalesce_handler_runs_total{method="GET,HEAD",route="/both"} 0', 'coalesce_handler_runs_total{method="FUNCTION",route="lookUp"} 0'])
})

t.test('an app that ends takes no series with it, and leaves none of routes that nobody asked for', async t => {
  const metrics = { registry: new Registry() }
  const routes = (app: FastifyInstance): void => {
    app.get('/chosen', { config: { coalesce: true } }, async () => 'body')
    app.get('/other', async () => 'body')
  }
  const one = await start(t, routes, { global: true, metrics })
  await one.close()
  const two = await start(t, () => {}, { metrics })
  t.strictSame([...new Set((await ofRoutes(two)).map(line => /route="([^"]+)"/.exec(line)?.[1]))], ['/chosen'])
})
