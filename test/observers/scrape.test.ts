/**
 * "A scrape is prom-client's text, in slices between which requests get their turn, and Prometheus has nothing to say against it."
 */
import Fastify, { type FastifyInstance } from 'fastify'
import { Counter, Histogram, Registry } from 'prom-client'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import type { MetricsOptions } from '../../types/index.js'
import { promtool } from '../fixtures/prometheus.js'

const OPEN_METRICS = 'application/openmetrics-text'

/** An app whose routes were all asked for. */
async function busy (t: Test, routes: number, metrics: MetricsOptions): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify({ exposeHeadRoutes: false })
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { metrics })
  for (let route = 0; route < routes; route++) {
    app.get(`/${route}/:id`, { config: { coalesce: { ttl: '1m' } } }, async () => {
      await new Promise(resolve => { setImmediate(resolve) })
      return 'body'
    })
  }
  await app.ready()
  for (let route = 0; route < routes; route++) await Promise.all([1, 2].map(async () => await app.inject(`/${route}/1`)))
  return app
}

async function scrape (app: FastifyInstance, accept = 'text/plain'): Promise<string> {
  return (await app.inject({ url: '/metrics', headers: { accept } })).body
}

t.test('the text is that of prom-client, in both formats, also where it comes in many slices', async t => {
  const registry = new Registry()
  registry.setDefaultLabels({ app: 'words' })
  const counter = new Counter({ name: 'own_total', help: 'mine', labelNames: ['kind'], registers: [registry] })
  counter.inc({ kind: 'a "b"' }, 7)
  new Histogram({ name: 'own_seconds', help: 'mine', registers: [registry] }).observe(3)
  new Counter({ name: 'none_total', help: 'has no sample', labelNames: ['kind'], registers: [registry] }).reset()
  const app = await busy(t, 60, { registry })
  const plain = await registry.metrics()
  t.ok(plain.split('\n').filter(line => line.startsWith('coalesce_followers_per_flight')).length > 1000)
  t.equal(await scrape(app), plain)
  t.equal(await app.coalesce.registry?.getSingleMetricAsString('coalesce_flights'), plain.slice(plain.indexOf('# HELP coalesce_flights'), plain.indexOf('\n\n# HELP coalesce_waiters')))
  const open = await scrape(app, OPEN_METRICS)
  t.equal(await scrape(app), plain, 'and one format does not spoil the other')
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as unknown as typeof Registry.PROMETHEUS_CONTENT_TYPE)
  t.equal(open, await registry.metrics())
})

t.test('a registry of the plugin\'s own writes the same', async t => {
  const app = await busy(t, 60, {})
  const { registry } = app.coalesce as { registry: Registry }
  t.equal(await registry.metrics(), await scrape(app))
  registry.resetMetrics()
  t.equal(await registry.metrics(), await scrape(app), 'what is counted elsewhere is not reset')
  const text = await registry.getSingleMetricAsString('coalesce_wait_seconds')
  t.ok((await scrape(app)).includes(`${text}\n\n# HELP`))
})

t.test('a scrape of 1,000 routes lets requests have their turn, again and again', async t => {
  const app = await busy(t, 1000, {})
  const { registry } = app.coalesce as { registry: Registry }
  for (const [what, work] of [
    ['route', async () => await scrape(app)], ['registry', async () => await registry.metrics()],
    ['values', async () => JSON.stringify(await registry.getMetricsAsJSON())]
  ] as const) {
    const seen: Array<{ longest: number, all: number, turns: number }> = []
    let text = ''
    for (let round = 0; round < (what === 'values' ? 1 : 3); round++) {
      const blocks: number[] = []
      let over = false
      const cpu = (): number => {
        const { user, system } = process.cpuUsage()
        return user + system
      }
      let last = cpu()
      const turn = (): void => {
        const now = cpu()
        blocks.push(now - last)
        last = now
        if (!over) setImmediate(turn)
      }
      turn()
      text = await work()
      over = true
      seen.push({ longest: Math.max(...blocks), all: blocks.reduce((sum, block) => sum + block, 0), turns: blocks.length })
    }
    const samples = text.split(what === 'values' ? '"value":' : '\n').length
    t.ok(samples > 50_000, `${samples} samples`)
    const { turns } = seen[0] as typeof seen[number]
    t.ok(turns > samples / 1000, `${what}: ${turns} turns`)
    if (what === 'values') continue
    // Others may have the machine: the best of three, beside all of it.
    const part = Math.min(...seen.map(({ longest, all }) => longest / all))
    t.ok(part < 0.2, `${what}: the longest turn takes ${part} of the whole`)
    t.comment(what, seen)
  }
})

t.test('names, types and units are as Prometheus wants them', async t => {
  const app = await busy(t, 1, { defaultMetrics: false })
  const text = await scrape(app)
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]))
  t.strictSame([...text.matchAll(/^# HELP (\S+) \S/gm)].map(([, name]) => name), [...types.keys()], 'each says what it is')
  for (const [name = '', type] of types) {
    t.equal(name.endsWith('_total'), type === 'counter', name)
    t.notMatch(name, /_(?:milliseconds|ms|kilobytes|minutes|percent|count|sum|bucket|info)(?:_|$)|[A-Z]|:/, name)
    if (type === 'histogram') t.notMatch(name, /_(?:seconds|bytes)_/)
  }
  const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, label]) => label))
  t.strictSame([...labels].sort(), ['le', 'method', 'outcome', 'reason', 'result', 'route'])

  promtool(t, ['check', 'metrics'], text)
})
