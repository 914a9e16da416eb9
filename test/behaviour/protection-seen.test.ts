/**
 * "What queues and breakers do is seen: in metrics and figures, in the log, on a channel, and in the response."
 */
import diagnostics from 'node:diagnostics_channel'
import Fastify, { type FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import coalesce, { circuitBreaker, deduplicate, runQueue } from '../../lib/index.js'
import type { CoalesceOptions } from '../../types/index.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { DEBUG, lines, WARN } from '../fixtures/lines.js'

/** The lines of what protects, of a scrape. */
async function scraped (registry: Registry | undefined): Promise<string[]> {
  return (await registry?.metrics() ?? '').split('\n').filter(line => /^coalesce_(?:queue|shed|breaker|batch)_/.test(line))
}

interface State { failing: boolean }

async function start (t: Test, options: CoalesceOptions = {}) {
  const clock = new TestClock()
  const log = lines()
  const over = gate()
  const state: State = { failing: false }
  const queue = runQueue({ maxRuns: 1, maxQueued: 1, queueTimeout: '1h', name: 'db', clock })
  const breaker = circuitBreaker({ consecutive: 1, openFor: '5s', name: 'upstream', clock })
  const app: FastifyInstance = Fastify({ logger: log.logger })
  t.teardown(async () => {
    over.open()
    await app.close()
  })
  await app.register(coalesce, { clock, metrics: true, cacheStatus: true, ...options })
  const handler = async ({ url }: { url: string }): Promise<string> => {
    if (url.includes('held')) await over.promise
    if (state.failing) throw new Error('no')
    return 'word'
  }
  app.get('/queued/:word', { config: { coalesce: { queue, priority: 'high' } } }, handler)
  app.get('/broken/:word', { config: { coalesce: { breaker, ttl: '1s', staleIfError: '1m' } } }, handler)
  app.get('/instead/:word', { config: { coalesce: { breaker, fallback: () => 'instead' } } }, handler)
  await app.ready()
  /** Fills the queue: one run is under way, one waits. */
  const fill = async (): Promise<void> => {
    for (const word of ['held', 'waits']) {
      const count = queue.running + queue.waiting
      app.inject(`/queued/${word}`).catch(() => {})
      await until(() => queue.running + queue.waiting > count, 'its place')
    }
  }
  return { app, breaker, clock, fill, log, over, queue, state }
}

t.test('an app without protection has no line of it, and no figures', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(coalesce, { metrics: true })
  app.get('/', { config: { coalesce: true } }, async () => 'ok')
  await app.inject('/')
  t.strictSame(await scraped(app.coalesce.registry), [])
  const { queues, breakers, batches } = app.coalesce.stats()
  t.strictSame([queues, breakers, batches], [undefined, undefined, undefined])
})

t.test('metrics and figures tell of the queue: what runs, what waits and for how long, and what was refused', async t => {
  const { app, clock, fill, over, queue } = await start(t)
  await fill()
  t.equal((await app.inject('/queued/refused')).statusCode, 503)
  const before = await scraped(app.coalesce.registry)
  t.ok(['coalesce_queue_running{queue="db"} 1', 'coalesce_queue_limit{queue="db"} 1', 'coalesce_queue_waiting{queue="db",level="high"} 1',
    'coalesce_queue_waiting{queue="db",level="low"} 0', 'coalesce_shed_total{queue="db",level="high",reason="queue-full"} 1',
    'coalesce_shed_total{queue="db",level="low",reason="evicted"} 0', 'coalesce_queue_raised_total{queue="db"} 0'].every(line => before.includes(line)), before.join('\n'))
  t.match(app.coalesce.stats().queues, [{ name: 'db', running: 1, waiting: 1, limit: 1, levels: [{ level: 'high', waiting: 1, shed: { full: 1 } }, {}, {}] }])
  clock.advance(2_000)
  over.open()
  await until(() => queue.running === 0, 'the end of all runs')
  const after = await scraped(app.coalesce.registry)
  t.ok(['coalesce_queue_running{queue="db"} 0', 'coalesce_queue_wait_seconds_bucket{queue="db",level="high",le="1"} 1', 'coalesce_queue_wait_seconds_sum{queue="db",level="high"} 2',
    'coalesce_queue_wait_seconds_count{queue="db",level="high"} 2'].every(line => after.includes(line)), after.join('\n'))
  t.notMatch(after.join('\n'), /held|waits|refused/)
})

t.test('metrics and figures tell of the breaker: its state, what it let and what it refused', async t => {
  const { app, clock, state } = await start(t)
  state.failing = true
  await app.inject('/broken/a')
  await app.inject('/broken/b')
  const told = await scraped(app.coalesce.registry)
  for (const line of ['coalesce_breaker_state{breaker="upstream",state="open"} 1', 'coalesce_breaker_state{breaker="upstream",state="closed"} 0',
    'coalesce_breaker_transitions_total{breaker="upstream",to="open"} 1', 'coalesce_breaker_runs_total{breaker="upstream",result="failed"} 1',
    'coalesce_shed_total{breaker="upstream",reason="breaker-open"} 1', 'coalesce_shed_total{breaker="upstream",reason="breaker-probing"} 0']) t.ok(told.includes(line), line)
  t.match(app.coalesce.stats().breakers, [{ name: 'upstream', state: 'open', retryAfter: 5000, runs: { failed: 1 }, shed: { open: 1 } }], 'once, of two routes that share it')
  clock.advance(5_000)
  t.ok((await scraped(app.coalesce.registry)).includes('coalesce_breaker_state{breaker="upstream",state="half-open"} 1'))
})

t.test('metrics and figures tell of batched functions: how many keys their calls have, how long they take, and what fails', async t => {
  const { app, clock } = await start(t)
  const lookUp = app.coalesce.batched(async (words: readonly string[]) => {
    clock.advance(20)
    if (words.includes('all')) throw new Error('no')
    return words.map(word => word === 'one' ? new Error('no') : word)
  }, { key: (word: string) => word, name: 'words' })
  await Promise.allSettled(['a', 'b', 'one'].map(lookUp))
  await t.rejects(lookUp('all'))
  const told = await scraped(app.coalesce.registry)
  for (const line of ['coalesce_batch_keys_bucket{function="words",le="1"} 1', 'coalesce_batch_keys_sum{function="words"} 4', 'coalesce_batch_keys_count{function="words"} 2',
    'coalesce_batch_seconds_bucket{function="words",le="0.025"} 2', 'coalesce_batch_seconds_sum{function="words"} 0.04',
    'coalesce_batch_failures_total{function="words",kind="key"} 1', 'coalesce_batch_failures_total{function="words",kind="batch"} 1',
    'coalesce_batch_failures_total{function="words",kind="result"} 0']) t.ok(told.includes(line), line)
  t.match(app.coalesce.stats().batches, [{ name: 'words', batches: 2, keys: { count: 2, sum: 4 }, failures: { batch: 1, key: 1, result: 0 } }])
})

t.test('what `by` answers is in no label, line or message, and all of its circuits are counted', async t => {
  const log = lines()
  const messages: unknown[] = []
  const hear = (message: unknown): void => { messages.push(message) }
  diagnostics.subscribe('fastify-coalesce:breaker', hear)
  t.teardown(() => { diagnostics.unsubscribe('fastify-coalesce:breaker', hear) })
  const app = Fastify({ logger: log.logger })
  t.teardown(() => app.close())
  await app.register(coalesce, { metrics: true })
  const breaker = { consecutive: 1, by: ({ params }: { params: unknown }) => (params as { tenant: string }).tenant }
  app.get('/of/:tenant', { config: { coalesce: { breaker } }, exposeHeadRoute: false }, async request => {
    if (request.url !== '/of/well') throw new Error('no')
    return 'ok'
  })
  for (const tenant of ['secret-a', 'secret-b', 'well']) await app.inject(`/of/${tenant}`)
  const told = await scraped(app.coalesce.registry)
  t.ok(told.includes('coalesce_breaker_state{breaker="GET /of/:tenant",state="open"} 2'))
  t.ok(told.includes('coalesce_breaker_state{breaker="GET /of/:tenant",state="closed"} 1'))
  t.strictSame(log.event('breaker-open').map(({ level }) => level), [WARN, DEBUG], 'it warns of the first, and not of each')
  t.notMatch(JSON.stringify([told, messages, log.coalesce(), app.coalesce.stats().breakers]), /secret/)
  t.strictSame(messages, [1, 2].map(() => ({ name: 'GET /of/:tenant', to: 'open', from: 'closed' })))
})

t.test('a queue of two registrations is told of once, and what it has counted stays when they end', async t => {
  const registry = new Registry()
  const queue = runQueue({ maxRuns: 1, maxQueued: 0, name: 'shared' })
  const over = gate()
  const make = async (): Promise<FastifyInstance> => {
    const app: FastifyInstance = Fastify()
    t.teardown(() => app.close())
    await app.register(coalesce, { metrics: { registry, path: false } })
    app.get('/', { config: { coalesce: { queue } } }, async () => { await over.promise })
    await app.ready()
    return app
  }
  const [one, other] = [await make(), await make()]
  const first = one.inject('/')
  await until(() => queue.running === 1, 'a run')
  await other.inject('/')
  const shed = 'coalesce_shed_total{queue="shared",level="normal",reason="queue-full"} 1'
  const told = await scraped(registry)
  t.ok(told.includes('coalesce_queue_running{queue="shared"} 1'))
  t.ok(told.includes(shed))
  over.open()
  await first
  await one.close()
  t.ok((await scraped(registry)).includes('coalesce_queue_limit{queue="shared"} 1'))
  queue.limit = 0
  await other.inject('/')
  await other.close()
  const left = await scraped(registry)
  t.ok(left.includes(shed.replace(/1$/, '2')), 'also what was counted after the last scrape')
  t.notMatch(left.join('\n'), /queue_limit/)
})

t.test('a registry that was cleared counts anew: what has ended is not in it', async t => {
  const registry = new Registry()
  const make = async (name: string): Promise<FastifyInstance> => {
    const app: FastifyInstance = Fastify()
    t.teardown(() => app.close())
    await app.register(coalesce, { metrics: { registry, path: false } })
    app.get('/', { config: { coalesce: { breaker: circuitBreaker({ name }) } } }, async () => 'ok')
    await app.ready()
    return app
  }
  const one = await make('first')
  await one.close()
  t.match((await scraped(registry)).join('\n'), /first/)
  registry.clear()
  await make('second')
  const told = (await scraped(registry)).join('\n')
  t.match(told, /second/)
  t.notMatch(told, /first/)
})

t.test('a breaker that opens is warned of once, and when it is closed again; what is between is for who debugs', async t => {
  const { app, clock, log, state } = await start(t)
  state.failing = true
  await app.inject('/broken/a')
  t.match(log.event('breaker-open'), [{
    level: WARN, coalesce: { breaker: 'upstream', retryAfter: 5000 }, msg: /^coalesce: the circuit breaker upstream has opened.* tries again in 5.0 s \(fastify-coalesce\/docs\/.*#breaker-open\)$/
  }], 'once, of two routes that share it')
  clock.advance(5_000)
  await app.inject('/broken/a')
  t.strictSame(log.event('breaker-half-open').map(({ level }) => level), [DEBUG])
  t.strictSame(log.event('breaker-open').map(({ level }) => level), [WARN, DEBUG], 'it was never closed')
  state.failing = false
  clock.advance(10_000)
  await app.inject('/broken/a')
  t.match(log.event('breaker-closed'), [{ level: WARN, coalesce: { breaker: 'upstream' } }])
  state.failing = true
  await app.inject('/broken/b')
  t.equal(log.event('breaker-open').filter(({ level }) => level === WARN).length, 2)
})

t.test('of a breaker with many circuits it is said that it is closed when all are', async t => {
  const { app, clock, log } = await start(t)
  const breaker = circuitBreaker<[string]>({ consecutive: 1, by: name => name, name: 'hosts', clock })
  const down = new Set(['a', 'b'])
  const ask = app.coalesce.deduplicate(async (name: string) => { if (down.has(name)) throw new Error('no') }, { key: name => name, breaker })
  for (const name of ['a', 'b']) await t.rejects(ask(name))
  down.clear()
  clock.advance(5_000)
  await ask('a')
  t.strictSame(log.event('breaker-closed').map(({ level }) => level), [DEBUG])
  await ask('b')
  t.strictSame(log.event('breaker-closed').map(({ level }) => level), [DEBUG, WARN])
})

t.test('both warnings can be silenced, and an app that has ended hears no more', async t => {
  const { app, breaker, log } = await start(t, { warnings: ['breaker-open', 'breaker-closed'] })
  breaker.open()
  breaker.close()
  t.strictSame(log.coalesce().filter(({ level, coalesce }) => level >= WARN && /breaker/.test(String(coalesce?.event))), [])
  const heard = await start(t)
  await heard.app.close()
  heard.breaker.open()
  t.strictSame(heard.log.event('breaker-open'), [])
  await app.close()
})

t.test('the channel tells each change once, however many use the breaker, and of functions without an app', async t => {
  const messages: unknown[] = []
  const hear = (message: unknown): void => { messages.push(message) }
  const breaker = circuitBreaker({ consecutive: 1, name: 'shared' })
  const fail = deduplicate(async () => { throw new Error('no') }, { key: () => 'a', breaker })
  const app: FastifyInstance = Fastify()
  t.teardown(() => app.close())
  await app.register(coalesce)
  app.coalesce.deduplicate(async () => {}, { key: () => 'a', breaker })
  breaker.open()
  diagnostics.subscribe('fastify-coalesce:breaker', hear)
  t.teardown(() => { diagnostics.unsubscribe('fastify-coalesce:breaker', hear) })
  breaker.close()
  await t.rejects(fail())
  t.strictSame(messages, [{ name: 'shared', to: 'closed', from: 'open' }, { name: 'shared', to: 'open', from: 'closed' }])
})

t.test('the log and Cache-Status say who was shed and why', async t => {
  const { app, breaker, clock, fill, log } = await start(t)
  await app.inject('/broken/kept')
  clock.advance(3_000)
  await fill()
  breaker.open()
  const status = async (url: string, headers = {}): Promise<readonly [number, unknown]> => {
    const { headers: got, statusCode } = await app.inject({ url, headers })
    return [statusCode, got['cache-status']]
  }
  t.strictSame(await status('/queued/a'), [503, 'fastify-coalesce; detail=queue-full'])
  t.strictSame(await status('/queued/a', { cookie: 'a=1' }), [503, 'fastify-coalesce; detail=queue-full'])
  t.strictSame(await status('/broken/a'), [503, 'fastify-coalesce; detail=breaker-open'])
  t.strictSame(await status('/broken/kept'), [200, 'fastify-coalesce; hit; ttl=-2; detail=breaker-open'])
  t.strictSame(await status('/instead/a'), [200, 'fastify-coalesce; detail=fallback'])
  t.strictSame(log.event('settled').slice(-5).map(({ coalesce }) => [coalesce?.outcome, coalesce?.reason]), [
    ['shed', 'queue-full'], ['shed', 'queue-full'], ['shed', 'breaker-open'], ['stale', 'breaker-open'], ['shed', 'fallback']
  ])
})
