/**
 * A route that is verified shares as ever. A part of those that would be given another one's response run by themselves, and the two are compared.
 */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import { MessageCodec } from '../../lib/engine/coordinators/message-codec.js'
import { recordingFormat } from '../../lib/fastify/cache/recording-codec.js'
import { circuitBreaker, memoryStore } from '../../lib/index.js'
import { NO_VARIANT } from '../../lib/variant.js'
import type { CoalesceOptions, CoalesceRouteOptions, Coordinator, ObserveOptions, Store } from '../../types/index.js'
import { held, meet, queue, times } from '../fixtures/crowd.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { lines } from '../fixtures/lines.js'
import { observedRoute, waiting } from '../fixtures/observed.js'
import { metric, serve, type TestServer } from '../fixtures/server.js'

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

/** So that all is compared, however fast it comes. */
const ALL = { budget: 1 }

async function app (
  t: Parameters<typeof serve>[0], handler: Handler, observe: ObserveOptions = {}, config: CoalesceRouteOptions = {}, options: CoalesceOptions = {},
  more: Parameters<typeof serve>[3] = {}
): Promise<TestServer> {
  return await serve(t, app => {
    app.get('/', { config: { coalesce: { observe: { verify: 1, ...observe }, ...config } } }, handler as never)
  }, { observe: ALL, ...options }, more)
}

function reasons (server: TestServer): Record<string, number> {
  const [route] = server.app.coalesce.stats().routes
  return Object.fromEntries((route?.reasons ?? []).map(({ outcome, reason, count }) => [`${outcome} ${reason}`, count]))
}

const verdicts = (server: TestServer): Record<string, number> => Object.fromEntries([...observedRoute(server.app, '/').verdicts].filter(([, count]) => count > 0))

t.test('of 1,000 hits exactly 10 run by themselves, which are no hits, and save nothing', async t => {
  let runs = 0
  const server = await app(t, () => `run ${++runs}`.slice(0, 3), { verify: 0.01 }, { ttl: '1m', cacheStatus: true })
  for (let n = 0; n < 1_001; n++) await server.app.inject('/')
  t.equal(runs, 11)
  t.same(reasons(server), { 'hit fresh': 990, 'leader shared': 1, 'alone verified': 10 })
  const { actualExecutions, cacheHits } = server.app.coalesce.stats()
  t.same([actualExecutions, cacheHits], [11, 990])
  t.same(verdicts(server), { equal: 10 })
  t.equal(await metric(server.app, 'coalesce_observer_skipped_total', { reason: 'not-sampled' }), 990)
})

t.test('followers that verify are answered with their own runs, and what they cost is not counted as saved', async t => {
  let runs = 0
  const handler = held(() => ({ run: ++runs }))
  const server = await app(t, handler)
  const answers = await meet(server, handler, times(5, server, '/'))
  t.same(answers.map(({ body }) => body).sort(), [1, 2, 3, 4, 5].map(run => JSON.stringify({ run })))
  t.same(reasons(server), { 'alone verified': 4, 'leader shared': 1 })
  const { deduplicatedRequests, handlerTimeSaved } = server.app.coalesce.stats()
  t.same([deduplicatedRequests, handlerTimeSaved], [0, 0])
  t.equal(Object.values(verdicts(server)).reduce((sum, count) => sum + count, 0), 4)
})

t.test('a request that verifies is told so', async t => {
  const told: unknown[] = []
  const server = await serve(t, app => {
    app.addHook('onResponse', async ({ coalesce, id }) => { told.push([coalesce?.outcome, coalesce?.reason, coalesce?.leaderId === id]) })
    app.get('/', { config: { coalesce: { observe: { verify: 1 }, ttl: '1m', cacheStatus: true } } }, async () => 'ok')
  })
  await server.get('/')
  const { headers } = await server.get('/')
  t.match(headers['cache-status'], /detail=verified/)
  t.same(told[1], ['alone', 'verified', true])
})

t.test('if its own run fails, a request gets what it would have been given', async t => {
  let runs = 0
  const server = await app(t, (_request, reply) => {
    if (++runs > 1) throw new Error('no')
    return reply.header('x-run', '1').send('good')
  }, {}, { ttl: '1m' })
  await server.get('/')
  const { status, body, headers } = await server.get('/')
  t.same([status, body, headers['x-run'], runs], [200, 'good', '1', 2])
  t.equal(observedRoute(server.app, '/').comparison.skipped.failed, 1)
})

for (const [what, answer, skipped] of [
  ['a Response that is a failure', () => new Response('no', { status: 503, headers: { 'x-run': '2' } }), 'failed'],
  ['an empty Response that is a failure', () => new Response(null, { status: 503 }), 'failed'],
  ['a stream that fails', () => Readable.from((async function * () { throw new Error('at once') })()), 'stream'],
  ['a web stream', () => new Blob(['web']).stream(), 'stream'],
  ['a web stream that cannot be cancelled', () => new ReadableStream({ cancel () { throw new Error('no') } }), 'stream'],
  ['a Response', () => new Response('own'), 'stream']
] as const) {
  t.test(`if its own run answers with ${what}, a request gets what it would have been given`, async t => {
    let runs = 0
    const breaker = circuitBreaker({ consecutive: 1 })
    const server = await app(t, async (_request, reply) => ++runs === 1 ? await reply.header('x-run', '1').send('good') : answer(), {}, { ttl: '1m', breaker })
    await server.get('/')
    const { status, body, headers } = await server.get('/')
    t.same([status, body, headers['x-run'], runs], [200, 'good', '1', 2])
    t.equal(observedRoute(server.app, '/').comparison.skipped[skipped], 1)
    t.equal(breaker.state, skipped === 'failed' ? 'open' : 'closed', 'what is discarded is no failure of its run')
  })
}

t.test('if its own run takes longer than the handlerTimeout of its route, a request gets what it would have been given', async t => {
  let runs = 0
  const server = await app(t, async () => ++runs === 1 ? 'good' : await new Promise(() => {}), {}, { ttl: '1m' }, {}, { handlerTimeout: 50 } as Parameters<typeof serve>[3])
  await server.get('/')
  const { status, body } = await server.get('/')
  t.same([status, body, runs], [200, 'good', 2])
  t.equal(observedRoute(server.app, '/').comparison.skipped.failed, 1)
})

t.test('a request verifies only where its run may begin at once', async t => {
  const slow = held(() => 'slow')
  const server = await app(t, (request, reply) => 'slow' in (request.query as object) ? slow(request, reply) : 'ok', {}, { queue: { maxRuns: 1 }, ttl: '1m' })
  await server.get('/')
  const [running] = await queue(server, times(1, server, '/?slow'))
  t.equal((await server.get('/')).body, 'ok')
  t.same(reasons(server), { 'hit fresh': 1, 'leader shared': 1 }, 'there is no slot')
  t.equal(observedRoute(server.app, '/').comparison.skipped.busy, 1)
  slow.gate.open()
  await running
  await server.get('/')
  t.equal(reasons(server)['alone verified'], 1)
})

t.test('and not where what is behind a breaker is down', async t => {
  const breaker = circuitBreaker({ consecutive: 1 })
  const server = await app(t, (request: FastifyRequest) => {
    if ('fail' in (request.query as object)) throw new Error('down')
    return 'ok'
  }, {}, { breaker, ttl: '1m' })
  await server.get('/')
  await server.get('/?fail')
  t.equal(breaker.state, 'open')
  t.equal((await server.get('/')).body, 'ok')
  t.equal(reasons(server)['hit fresh'], 1)
})

t.test('what stands in for a run that was refused is not verified, although a slot has become free', async t => {
  const [running, standing] = [held(() => 'run'), held(() => 'fallback')]
  const server = await app(t, running, {}, { queue: { maxRuns: 1, maxQueued: 0 }, fallback: standing })
  const [first] = await queue(server, times(1, server, '/?first'))
  const others = await queue(server, times(2, server, '/'))
  running.gate.open()
  await first
  standing.gate.open()
  t.same((await Promise.all(others)).map(({ body }) => body), ['fallback', 'fallback'])
  t.equal(reasons(server)['alone verified'], undefined)
})

t.test('streams, parts, HEAD, failures and what is stale are not verified', async t => {
  const clock = new TestClock()
  const opening = gate()
  let fails = false
  const server = await app(t, async (request: FastifyRequest) => {
    await opening.promise
    if (fails) throw new Error('no')
    return 'stream' in (request.query as object) ? Readable.from((async function * () { yield 'a'; await new Promise(resolve => setTimeout(resolve, 20)); yield 'b' })()) : 'ok'
  }, {}, { ttl: '1m', staleIfError: '1h', staleWhileRevalidate: '1h', respectRequestCacheControl: true }, { clock })
  const streams = await queue(server, times(2, server, '/?stream'))
  opening.open()
  t.same((await Promise.all(streams)).map(({ body }) => body), ['ab', 'ab'])
  t.equal(observedRoute(server.app, '/').comparison.skipped.stream, 1)
  await server.get('/')
  await server.get('/', { headers: { range: 'bytes=0-0' } })
  await server.get('/', { headers: { 'cache-control': 'only-if-cached' } })
  await server.get('/', { method: 'HEAD' })
  clock.advance(61_000)
  fails = true
  await server.get('/')
  t.equal(reasons(server)['alone verified'], undefined)
  t.equal(reasons(server)['stale stale-while-revalidate'], 1)
})

t.test('a failure that is passed on to followers is not tried once more', async t => {
  const handler = held(() => { throw new Error('no') })
  const server = await app(t, handler)
  await meet(server, handler, times(3, server, '/'))
  t.equal(handler.runs, 1)
  t.same(reasons(server), { 'follower failed': 2, 'leader failed': 1 })
})

t.test('what a slow store has is verified as well', async t => {
  const memory = memoryStore()
  const slow: Store = {
    async get (key) { await new Promise(resolve => setImmediate(resolve)); return await memory.get(key) },
    set: async (entry, keepFor) => { await memory.set(entry, keepFor) },
    delete: async key => { await memory.delete(key) }
  }
  let runs = 0
  const server = await app(t, () => { runs++; return 'ok' }, {}, { ttl: '1m' }, { store: slow, storeTimeout: '5s' })
  await server.get('/')
  await until(() => runs === 1)
  await server.get('/')
  t.same(reasons(server), { 'leader shared': 1, 'alone verified': 1 })
  t.same(verdicts(server), { equal: 1 })
  const answers = await Promise.all(times(3, server, '/').map(send => send()))
  t.same(answers.map(({ body }) => body), ['ok', 'ok', 'ok'])
  t.equal(reasons(server)['alone verified'], 4, 'and for all who wait for what it has')
})

t.test('a client that leaves, and a hook that fails, leave nothing to compare', async t => {
  const opening = gate()
  const arrived = gate()
  let runs = 0
  let breaks = false
  const server = await serve(t, app => {
    app.addHook('onSend', async () => { if (breaks) throw new Error('no') })
    app.get('/', { config: { coalesce: { observe: { verify: 1 }, ttl: '1m' } } }, async () => {
      if (++runs === 2) {
        arrived.open()
        await opening.promise
      }
      return 'ok'
    })
  }, { observe: ALL })
  await server.get('/')
  const leaving = server.get('/')
  await arrived.promise
  leaving.request.destroy()
  await t.rejects(leaving)
  const { comparison } = observedRoute(server.app, '/')
  await until(() => comparison.skipped.unfinished === 1)
  opening.open()
  breaks = true
  t.equal((await server.get('/')).status, 500)
  t.equal(comparison.skipped.unfinished, 2)
  t.equal(waiting(server.app), 0, 'nothing is held of them')
})

const CHANGES: Handler = request => ({ ab: /ab=(\w)/.exec(String(request.raw.headers.cookie))?.[1] })
/** As after a deploy that has dropped a cookie from the key. */
const BROKEN: CoalesceRouteOptions = { credentials: { remove: ['cookie'] }, learnVary: { ignore: ['cookie'] }, ttl: '1m' }
const client = (n: number): { headers: Record<string, string> } => ({ headers: { cookie: `ab=${n % 10 === 0 ? 'a' : 'b'}; sid=session-of-client-${n}` } })

t.test('a deploy that drops a cookie from the key is reported within 1,000 requests that would share', async t => {
  const log = lines('info')
  const server = await app(t, CHANGES, { verify: 0.01 }, BROKEN, {}, { logger: log.logger })
  for (let n = 0; n <= 1_000; n++) await server.app.inject({ url: '/', ...client(n) })
  const [warning, ...others] = log.event('observed-difference')
  t.match(warning, { level: 40, coalesce: { method: 'GET', route: '/', differences: 1, paths: ['$.ab'] } })
  t.same(others, [], 'once')
  const { differences: [difference], verdict } = observedRoute(server.app, '/').comparison.findings()
  t.same([verdict === 'unknown' || verdict === 'differs', difference?.path], [true, '$.ab'])
})

t.test('a difference is warned of once an hour, with how many there were', async t => {
  const log = lines('info')
  const clock = new TestClock()
  const server = await app(t, CHANGES, {}, { ...BROKEN, ttl: '2h' }, { clock }, { logger: log.logger })
  await server.get('/', client(0))
  for (let n = 1; n < 4; n++) await server.get('/', client(n))
  clock.advance(3_600_000)
  await server.get('/', client(5))
  t.same(log.event('observed-difference').map(({ coalesce }) => coalesce?.differences), [1, 3])
})

t.test("with onMismatch: 'disable' it is said once that the route is off, whoever else still verifies", async t => {
  const log = lines('info')
  const arrived = [gate(), gate()]
  const open = gate()
  let runs = 0
  const server = await app(t, async (request, reply) => {
    arrived[runs++ - 1]?.open()
    if (runs > 1) await open.promise
    return CHANGES(request, reply)
  }, { onMismatch: 'disable' }, BROKEN, {}, { logger: log.logger })
  await server.get('/', client(0))
  const verifying = [server.get('/', client(1)), server.get('/', client(2))]
  await Promise.all(arrived.map(async ({ promise }) => { await promise }))
  open.open()
  await Promise.all(verifying)
  await until(() => observedRoute(server.app, '/').verdicts.get('differs') === 2)
  t.equal(log.event('observed-difference').length, 1)
})

t.test("with onMismatch: 'disable' nothing is shared any more in the same turn, and those who wait run by themselves", async t => {
  const log = lines('info')
  const slow = held(() => 'slow')
  let runs = 0
  const server = await app(t, async (request, reply) => {
    runs++
    return 'slow' in (request.query as object) ? await slow(request, reply) : CHANGES(request, reply)
  }, { onMismatch: 'disable' }, BROKEN, {}, { logger: log.logger })
  await server.get('/', client(0))
  const waiting = await queue(server, times(3, server, '/?slow'))
  t.equal(runs, 2)
  await server.get('/', client(1))
  t.match(log.event('observed-difference'), [{ level: 50, coalesce: { method: 'GET', route: '/' } }])
  const { body } = await server.get('/', client(0))
  t.same([body, (await server.get('/', client(2))).body], ['{"ab":"a"}', '{"ab":"b"}'])
  await until(() => slow.runs === 3)
  slow.gate.open()
  await Promise.all(waiting)
  t.match(reasons(server), { 'bypass disabled': 2, 'alone disabled': 2, 'leader disabled': 1 })
  server.app.coalesce.enable({ url: '/' })
  t.equal((await server.get('/?slow')).status, 200)
})

t.test('two responses to the same client that differ are no difference between clients', async t => {
  const log = lines('info')
  let runs = 0
  const handler = held(() => ({ run: ++runs }))
  const server = await app(t, handler, { onMismatch: 'disable' }, { cookies: { key: ['sid'], ignore: ['ab'] } }, {}, { logger: log.logger })
  await meet(server, handler, [1, 2].map(() => () => server.get('/', client(0))))
  t.same(log.event('observed-difference'), [])
  t.same([runs, verdicts(server)], [2, { noise: 1 }])
})

t.test('what another process came to is verified as well', async t => {
  const recording = {
    status: 200,
    headers: { set: [['content-type', 'text/plain; charset=utf-8']], removed: [] },
    body: 'ok',
    bytes: 2,
    leaderId: 'elsewhere',
    variant: NO_VARIANT
  } as const
  const message = new MessageCodec(recordingFormat(Date.now)).encode({ type: 'shared', names: [], leaderId: 'elsewhere', recording }) as Uint8Array
  const coordinator: Coordinator = {
    open: () => ({
      ready: async () => {},
      join: () => Promise.resolve({ type: 'follows', run: { follow (listener) { setImmediate(() => { listener.landed(message) }) }, leave () {} } }),
      purge () {},
      close: async () => {}
    })
  }
  const server = await app(t, () => 'ok', {}, {}, { coordinator })
  t.equal((await server.get('/')).body, 'ok')
  t.same([reasons(server), verdicts(server)], [{ 'alone verified': 1 }, { equal: 1 }])
})
