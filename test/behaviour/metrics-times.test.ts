/**
 * How long runs take, and what was saved by those that were not made, by the injected clock.
 */
import Fastify, { type FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import coalesce, { memoryStore } from '../../lib/index.js'
import type { CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'
import { metric } from '../fixtures/server.js'
import { chaos } from '../stores/chaos.js'

interface Timed {
  readonly app: FastifyInstance
  readonly clock: TestClock
  /** One of each run, in their order. */
  readonly gates: Array<Gate<string | Error>>
  /** Asks, and waits until that has arrived. */
  ask (url?: string): Promise<{ done: Promise<unknown> }>
  /** Handler seconds and their count, and seconds saved. */
  seconds (): Promise<number[]>
}

async function timed (t: Test, options: CoalesceOptions = {}, coalesced: CoalesceRouteOptions = {}): Promise<Timed> {
  const clock = new TestClock()
  const app: FastifyInstance = Fastify({ exposeHeadRoutes: false })
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { metrics: true, clock, ...options })
  const gates: Array<Gate<string | Error>> = []
  app.get('/word', { config: { coalesce: coalesced } }, async (_request, reply) => {
    const opening = gate<string | Error>()
    gates.push(opening)
    const answer = await opening.promise
    if (answer === 'hijack') {
      reply.hijack()
      reply.raw.end('hijacked')
      return reply
    }
    if (answer === 'private') reply.header('cache-control', 'private')
    return answer
  })
  let asked = 0
  return {
    app,
    clock,
    gates,
    async ask (url = '/word') {
      const done = app.inject(url)
      done.catch(() => {})
      asked++
      await until(() => app.coalesce.stats().totalRequests === asked)
      return { done }
    },
    seconds: async () => await Promise.all(
      ['coalesce_handler_seconds', 'coalesce_saved_seconds_total'].map(async name => {
        const found = (await app.coalesce.registry?.getSingleMetric(name)?.get())?.values as Array<{ value: number, metricName?: string }>
        return found.filter(({ metricName }) => metricName?.endsWith('_bucket') !== true).map(({ value }) => value)
      })).then(values => values.flat())
  }
}

t.test('a run is timed from its take-off to its result, and each follower saves as much', async t => {
  const { ask, clock, gates, seconds } = await timed(t)
  const one = [await ask()]
  clock.advance(100)
  one.push(await ask(), await ask())
  clock.advance(150)
  gates[0]?.open('body')
  await Promise.all(one.map(({ done }) => done))
  t.strictSame(await seconds(), [0.25, 1, 0.5])
})

t.test('a failed run counts, and so does one whose response is for one client', async t => {
  const { ask, clock, gates, seconds } = await timed(t)
  for (const [index, answer] of [new Error('down'), 'private'].entries()) {
    const { done } = await ask()
    clock.advance(100)
    gates[index]?.open(answer)
    await done
  }
  t.strictSame(await seconds(), [0.2, 2, 0])
})

t.test('with onError: promote, the failed run and the next one count, and what it saves is the time of the run that answered', async t => {
  const { ask, clock, gates, seconds } = await timed(t, {}, { onError: 'promote' })
  const all = [await ask(), await ask(), await ask()]
  clock.advance(1000)
  gates[0]?.open(new Error('down'))
  await until(() => gates.length === 2)
  clock.advance(250)
  gates[1]?.open('body')
  await Promise.all(all.map(({ done }) => done))
  t.strictSame(await seconds(), [1.25, 2, 0.25])
})

t.test('what did not come to a result is not timed: a hijacked reply, a run that was released, one that took too long', async t => {
  const { app, ask, clock, gates, seconds } = await timed(t, {}, { flightTimeout: 5000, unshareableTtl: 1 })
  const hijacked = await ask()
  clock.advance(100)
  gates[0]?.open('hijack')
  await hijacked.done
  clock.advance(100)
  const released = await ask()
  app.coalesce.disable()
  app.coalesce.enable()
  const late = await ask()
  clock.advance(6000)
  for (const each of gates) each.open('body')
  await Promise.all([released.done, late.done])
  t.strictSame(await seconds(), [0])
})

t.test('the time that a store takes is not the handler\'s', async t => {
  const store = chaos(memoryStore())
  store.on.get = 'delays'
  const { ask, clock, gates, seconds } = await timed(t, { store, storeTimeout: '1m' }, { ttl: '1m' })
  const { done } = await ask()
  clock.advance(400)
  store.gate.open()
  await until(() => gates.length === 1)
  clock.advance(100)
  gates[0]?.open('body')
  await done
  t.strictSame(await seconds(), [0.1, 1, 0])
})

t.test('a hit saves as much as a run takes on average, and nothing before the first run', async t => {
  const clock = new TestClock()
  const store = memoryStore({ clock })
  const { app, ask, gates, seconds } = await timed(t, { clock, store }, { ttl: '1m' })
  for (const [index, took] of [100, 300].entries()) {
    const { done } = await ask(`/word?q=${index}`)
    clock.advance(took)
    gates[index]?.open('body')
    await done
  }
  await (await ask('/word?q=0')).done
  await (await ask('/word?q=1')).done
  t.strictSame(await seconds(), [0.4, 2, 0.4])
  t.equal(await metric(app, 'coalesce_handler_runs_total'), 2)

  const restarted = await timed(t, { clock, store }, { ttl: '1m' })
  await (await restarted.ask('/word?q=0')).done
  t.strictSame(await restarted.seconds(), [0])
})

t.test('the user\'s buckets hold for all routes and functions, and are one set for a registry and prefix', async t => {
  const registry = new Registry()
  const buckets = { handler: [0.2, 2], followers: [0, 1] }
  const { app, ask, clock, gates } = await timed(t, { metrics: { registry, buckets } })
  const run = app.coalesce.deduplicate(async () => 1, { key: () => 'k', name: 'one' })
  const both = [await ask(), await ask()]
  clock.advance(300)
  gates[0]?.open('body')
  await Promise.all(both.map(({ done }) => done))
  await run()
  const bounds = async (name: string, route: string): Promise<Array<[unknown, number]>> =>
    ((await registry.getSingleMetric(`coalesce_${name}`)?.get())?.values as Array<{ labels: Record<string, unknown>, value: number }>)
      .filter(({ labels }) => labels.route === route && 'le' in labels).map(({ labels, value }) => [labels.le, value])
  t.strictSame(await bounds('handler_seconds', '/word'), [[0.2, 0], [2, 1], ['+Inf', 1]])
  t.strictSame(await bounds('followers_per_flight', '/word'), [[0, 0], [1, 1], ['+Inf', 1]])
  t.strictSame(await bounds('handler_seconds', 'one'), [[0.2, 1], [2, 1], ['+Inf', 1]])
  t.equal((await bounds('wait_seconds', '/word')).length, 14, 'those that are not given are the defaults')

  const register = async (metrics: CoalesceOptions['metrics']): Promise<void> => {
    const other = Fastify()
    t.teardown(async () => { await other.close() })
    await other.register(coalesce, { metrics })
  }
  await register({ registry })
  await register({ registry, buckets: { handler: [0.2, 2] } })
  await register({ registry, prefix: 'own_', buckets: { handler: [0.3] } })
  await t.rejects(register({ registry, buckets: { handler: [0.3] } }), {
    code: 'FST_COALESCE_INVALID_OPTION',
    message: /metrics\.buckets.*the same metrics.*\[0\.3\]/
  })
})
