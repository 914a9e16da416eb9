/**
 * "A scrape is prom-client's text, in slices between which requests get their turn, and Prometheus has nothing to say against it."
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import Fastify, { type FastifyInstance } from 'fastify'
import { Counter, Histogram, Registry } from 'prom-client'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import type { MetricsOptions } from '../../types/index.js'

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

  const { status, stdout, stderr, error } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  if (error === undefined) t.strictSame({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' })
  else t.comment('NOT RUN: promtool check metrics, because there is no promtool here (Debian: apt-get install prometheus)')
})

t.test('the alerts of the docs are rules that Prometheus takes, and fire at the first event', async t => {
  const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  const files = [...page.matchAll(/^```yaml\n([\s\S]+?)^```/gm)].map(([, rules = '']) => rules)
  const rules = files.join('')
  const alerts = [...rules.matchAll(/alert: (\w+)/g)].map(([, name]) => name)
  t.ok(alerts.length > 15)
  t.equal(new Set(alerts).size, alerts.length, 'each by a name of its own')
  /** Of a counter that is there from the start. */
  const counted = (series: string, labels = ''): { series: string, values: string, labels: string } => ({ series, values: '0x20 1x20', labels })
  const route = 'route="/word"'
  const first: Record<string, { series: string, values: string, labels: string, at?: string }> = {
    CoalesceQueueSaturated: { series: 'coalesce_queue_waiting{queue="db",level="low"}', values: '0x20 1x20', labels: 'queue: db', at: '16m' },
    CoalesceQueueSheds: counted('coalesce_shed_total{queue="db",level="low",reason="queue-full"}', 'queue: db, reason: queue-full'),
    CoalesceBreakerOpen: counted('coalesce_breaker_transitions_total{breaker="db",to="open"}', 'breaker: db'),
    CoalesceFlightTimeouts: { series: `coalesce_requests_total{${route},outcome="leader",reason="flight-timeout"}`, values: '0x20 1x20', labels: 'route: /word' },
    CoalesceLimitsReached: { series: `coalesce_requests_total{${route},outcome="bypass",reason="max-flights"}`, values: '_x20 1x20', labels: 'route: /word, reason: max-flights' },
    CoalesceKeyFails: { series: `coalesce_requests_total{${route},outcome="bypass",reason="key-threw"}`, values: '_x20 1x20', labels: 'route: /word' },
    CoalesceCoordinatorDown: { series: 'coalesce_coordinator_circuits_open{instance="a"}', values: '0x20 1x20', labels: 'instance: a' },
    CoalesceCoordinatorComesAndGoes: { series: 'coalesce_coordinator_circuit_openings_total{cause="closed"}', values: '0x20 5x20', labels: 'cause: closed' },
    CoalesceCoordinatorTimeouts: counted('coalesce_coordinator_timeouts_total'),
    CoalesceTakeovers: counted('coalesce_coordinator_takeovers_total'),
    CoalesceLeasesLost: counted('coalesce_coordinator_leases_lost_total'),
    CoalesceCoordinatorRejects: counted('coalesce_coordinator_rejected_total'),
    CoalescePurgesMissed: counted('coalesce_coordinator_purges_total{event="missed"}', 'event: missed'),
    CoalescePeersLost: { series: `coalesce_peers_lost_total{${route},reason="gone"}`, values: '_x20 1x20', labels: 'route: /word, reason: gone' },
    CoalesceRunsAfterLosingPeers: { series: `coalesce_requests_total{${route},outcome="alone",reason="peer-lost"}`, values: '_x20 1x20', labels: 'route: /word' },
    CoalesceHandOffsFail: counted('coalesce_coordinator_hand_offs_failed_total'),
    CoalesceSharedStoreFails: counted('coalesce_shared_store_failed_total'),
    CoalesceStoreFails: { series: 'coalesce_store_errors_total{operation="get",reason="error"}', values: '_x20 1x20', labels: 'operation: get, reason: error' }
  }
  const tests = Object.entries(first).map(([alert, { series, values, labels, at = '12m' }]) => `
  - interval: 30s
    input_series:
      - { series: '${series}', values: '${values}' }
      - { series: coalesce_coordinator_too_large_total, values: '0x40' }
      - { series: coalesce_shared_store_rejected_total, values: '0x40' }
    alert_rule_test:
      - { eval_time: 9m, alertname: ${alert} }
      - { eval_time: ${at}, alertname: ${alert}, exp_alerts: [{ exp_labels: { ${labels} } }] }
      - { eval_time: 9m, alertname: CoalesceRefreshesFail }`)
  const names = files.map((_rules, index) => `rules-${index}.yml`)
  const folder = t.testdir({ ...Object.fromEntries(names.map((name, index) => [name, files[index] as string])), 'test.yml': `rule_files: [${names.join()}]\ntests:${tests.join('')}\n` })
  const { status, stdout, stderr, error } = spawnSync('promtool', ['test', 'rules', `${folder}/test.yml`], { encoding: 'utf8' })
  if (error === undefined) t.equal(status, 0, stdout + stderr)
  else t.comment('NOT RUN: promtool test rules, because there is no promtool here (Debian: apt-get install prometheus)')
})
