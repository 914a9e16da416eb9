/**
 * "While a breaker is half open one run tries whether it can be closed, preferably one that no client waits for; whatever becomes of that
 * run, its place is not lost."
 */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RouteShorthandOptions } from 'fastify'
import t, { type Test } from 'tap'
import coalesce, { circuitBreaker, runQueue } from '../../lib/index.js'
import type { BreakerOptions, CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'
import { distinct, errorOf, times } from '../fixtures/crowd.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'
import { serve, type GetOptions, type Pending } from '../fixtures/server.js'

type Does = (request: FastifyRequest, reply: FastifyReply) => unknown
const down = (): never => { throw new Error('down') }
const turns = async (): Promise<void> => { for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve)) }
/** Goes away, and its run notices. */
const leave = async (asked: Pending): Promise<void> => {
  asked.request.destroy()
  await asked.catch(() => {})
}

interface Options {
  readonly route?: CoalesceRouteOptions
  readonly breaker?: BreakerOptions
  readonly options?: CoalesceOptions
  readonly fastify?: RouteShorthandOptions
  readonly before?: (app: FastifyInstance) => void
}

/** A route behind a breaker that opens at the first failure, for five seconds. */
async function behind (t: Test, { before = () => {}, breaker: own = {}, fastify = {}, options = {}, route = {} }: Options = {}) {
  const clock = new TestClock()
  const breaker = circuitBreaker({ consecutive: 1, openFor: '5s', maxOpenFor: '60s', ...own, clock })
  const state: { does: Does, runs: number } = { does: () => 'fine', runs: 0 }
  const server = await serve(t, app => {
    before(app)
    app.get('/thing/:id', { ...fastify, config: { coalesce: { breaker, ...route } } }, async (request, reply) => {
      state.runs++
      return await state.does(request, reply)
    })
  }, { clock, cacheStatus: true, ...options })
  /** It opens because a run has failed, and then is half open. */
  const halfOpen = async (): Promise<void> => {
    const { does } = state
    state.does = down
    await server.get('/thing/fails')
    clock.advance(5_000)
    Object.assign(state, { does, runs: 0 })
    t.equal(breaker.state, 'half-open')
  }
  /** What it does from now on is held. */
  const hold = (): Gate => {
    const opening = gate()
    state.does = async () => {
      await opening.promise
      return 'fine'
    }
    return opening
  }
  return Object.assign(server, { breaker, clock, state, halfOpen, hold })
}

t.test('of 500 requests for 50 keys one runs, and those who ask for the same wait with it', async t => {
  const on = await behind(t)
  await on.halfOpen()
  const opening = on.hold()
  const asked = Array.from({ length: 500 }, async (_, index) => await on.app.inject(`/thing/${index % 50}`))
  await on.arrived(501)
  opening.open()
  const answers = await Promise.all(asked)
  t.equal(on.state.runs, 1)
  t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 10)
  t.strictSame(distinct(answers.filter(({ statusCode }) => statusCode === 503).map(({ headers }) => [headers['retry-after'], headers['cache-status']])),
    [['1', 'fastify-coalesce; detail=breaker-probing']])
  t.equal(on.breaker.state, 'closed')
  t.equal((await on.get('/thing/x')).status, 200)
})

const STALE: CoalesceRouteOptions = { ttl: '1s', staleIfError: '10m' }

t.test('nobody waits for a probe where something stale can be served: a refresh is the probe', async t => {
  const on = await behind(t, { route: STALE })
  await on.get('/thing/1')
  await on.halfOpen()
  const opening = on.hold()
  const answers = await Promise.all(times(20, on, '/thing/1').map(send => send()))
  t.strictSame(distinct(answers.map(({ status, body }) => [status, body])), [[200, 'fine']])
  t.match(answers[0]?.headers, { 'cache-status': /; detail=breaker-probing$/ })
  await until(() => on.state.runs === 1)
  t.equal((await on.get('/thing/2')).status, 503, 'and nobody else probes')
  t.strictSame([on.state.runs, on.breaker.state], [1, 'half-open'])
  opening.open()
  await until(() => on.breaker.state === 'closed')
})

t.test('a refresh that is the probe and fails opens the breaker for twice as long', async t => {
  const on = await behind(t, { route: STALE })
  await on.get('/thing/1')
  await on.halfOpen()
  on.state.does = down
  t.equal((await on.get('/thing/1')).body, 'fine')
  await until(() => on.breaker.state === 'open')
  on.clock.advance(9_999)
  t.equal(on.breaker.state, 'open')
  on.clock.advance(1)
  t.equal(on.breaker.state, 'half-open')
})

t.test('a refresh that does not come to its handler gives the place of the probe back', async t => {
  let isShut = false
  const on = await behind(t, {
    route: STALE,
    before: app => app.addHook('onRequest', async (request, reply) => isShut && request.headers['x-user'] === undefined ? await reply.code(401).send('who?') : undefined)
  })
  const user: GetOptions = { headers: { 'x-user': 'a' } }
  await on.get('/thing/1', user)
  await on.halfOpen()
  isShut = true
  t.equal((await on.get('/thing/1', user)).body, 'fine')
  await turns()
  t.strictSame([on.state.runs, on.breaker.state], [0, 'half-open'])
  t.equal((await on.get('/thing/2', user)).status, 200)
  t.equal(on.breaker.state, 'closed')
})

t.test('where a refresh cannot be made, the leader is the probe', async t => {
  const on = await behind(t, { route: { ...STALE, identity: ({ headers }) => String(headers.authorization) } })
  const me: GetOptions = { headers: { authorization: 'Bearer me' } }
  await on.get('/thing/1', me)
  await on.halfOpen()
  const opening = on.hold()
  const first = on.get('/thing/1', me)
  await until(() => on.state.runs === 1)
  t.match(await on.get('/thing/1', { headers: { authorization: 'Bearer you' } }), { status: 503 })
  opening.open()
  t.match(await first, { status: 200, headers: { 'cache-status': /fwd=stale/ } })
  t.equal(on.breaker.state, 'closed')
})

t.test('what is stale while it is revalidated probes by its refresh', async t => {
  const on = await behind(t, { route: { ttl: '1s', staleWhileRevalidate: '10m' } })
  await on.get('/thing/1')
  await on.halfOpen()
  await on.get('/thing/1')
  await until(() => on.breaker.state === 'closed')
  t.equal(on.state.runs, 1)
})

interface Lost {
  readonly does: Does
  readonly options?: Options
  readonly asks?: GetOptions
  readonly then?: (on: Awaited<ReturnType<typeof behind>>, asked: Pending) => unknown
  readonly comes: 'half-open' | 'open'
}
const AS_ONESELF: GetOptions = { headers: { authorization: 'Bearer me' } }
const never = async (): Promise<never> => await new Promise(() => {})
const abortable: Does = async ({ signal }) => await new Promise((_resolve, reject) => {
  signal.addEventListener('abort', () => { reject(new Error('aborted')) })
})
const LOST: Readonly<Record<string, Lost>> = {
  'whose client leaves': { does: abortable, then: (_, asked) => leave(asked), comes: 'half-open' },
  'whose client leaves, and that was for it alone': { does: abortable, asks: AS_ONESELF, then: (_, asked) => leave(asked), comes: 'half-open' },
  'that is hijacked': {
    does: (_request, reply) => {
      reply.hijack()
      reply.raw.end('by hand')
    },
    comes: 'half-open'
  },
  'that was refused further inside': {
    does: () => { throw Object.assign(new Error('refused'), { code: 'FST_COALESCE_QUEUE_FULL', statusCode: 503 }) }, comes: 'half-open'
  },
  'that never answers': {
    does: never, options: { route: { flightTimeout: '2s' } }, then: (on, asked) => { on.clock.advance(2_001); return leave(asked) }, comes: 'open'
  },
  'that never answers, and was for one client': {
    does: never,
    asks: AS_ONESELF,
    options: { route: { flightTimeout: '2s' } },
    then: (on, asked) => { on.clock.advance(2_001); return leave(asked) },
    comes: 'open'
  },
  'that fails': { does: down, comes: 'open' }
}
for (const [name, { asks = {}, comes, does, options, then = () => {} }] of Object.entries(LOST)) {
  t.test(`a probe ${name} gives its place back, and the breaker is ${comes}`, async t => {
    const on = await behind(t, options)
    await on.halfOpen()
    on.state.does = does
    const asked = on.get('/thing/1', asks)
    await until(() => on.state.runs === 1)
    await Promise.all([then(on, asked), asked.catch(() => {})])
    const { neutral } = on.breaker.figures().runs
    await until(() => on.breaker.state === 'open' || neutral + on.breaker.figures().runs.neutral > 0)
    t.equal(on.breaker.state, comes)
    if (comes === 'open') on.clock.advance(10_000)
    on.state.does = () => 'fine'
    t.equal((await on.get('/thing/2')).status, 200)
    t.equal(on.breaker.state, 'closed')
  })
}

t.test('two followers of a run whose failure opens the breaker share that failure, although one of them could be promoted', async t => {
  for (const [what, fails] of [['an error', down], ['a 502 with a stream', (_request: FastifyRequest, reply: FastifyReply) => reply.code(502).send(new Response('down').body)]] as const) {
    const on = await behind(t, { route: { onError: 'promote' } })
    const opening = gate()
    on.state.does = async (request, reply) => {
      await opening.promise
      return fails(request, reply)
    }
    const asked = times(3, on, '/thing/1').map(send => send())
    await on.arrived(3)
    opening.open()
    t.strictSame(distinct((await Promise.all(asked)).map(({ status }) => status)), [what === 'an error' ? 500 : 502], what)
    t.strictSame([on.state.runs, on.breaker.state], [1, 'open'])
  }
})

t.test('one that could be promoted runs once more while the breaker is closed', async t => {
  const on = await behind(t, { route: { onError: 'promote' }, breaker: { consecutive: 3 } })
  const opening = gate()
  on.state.does = async () => {
    await opening.promise
    throw new Error('down')
  }
  const asked = times(3, on, '/thing/1').map(send => send())
  await on.arrived(3)
  opening.open()
  await Promise.all(asked)
  t.strictSame([on.state.runs, on.breaker.figures().runs.failed], [2, 2])
})

t.test('who waits for a run that hangs is refused where that has opened the breaker', async t => {
  const on = await behind(t, { route: { flightTimeout: '2s', waitTimeout: '30s' } })
  on.state.does = never
  const first = on.get('/thing/1')
  await until(() => on.state.runs === 1)
  const others = times(2, on, '/thing/1').map(send => send())
  await on.arrived(3)
  on.clock.advance(2_001)
  t.match(await Promise.all(others), [{ status: 503, headers: { 'retry-after': '5' } }, { status: 503 }])
  t.strictSame([on.state.runs, on.breaker.state], [1, 'open'])
  await leave(first)
})

t.test('tenants have breakers of their own', async t => {
  const on = await behind(t, {
    breaker: { by: request => String((request as FastifyRequest).headers['x-tenant']) },
    route: { headers: ['x-tenant'] }
  })
  const of = (tenant: string): GetOptions => ({ headers: { 'x-tenant': tenant } })
  on.state.does = ({ headers }) => headers['x-tenant'] === 'a' ? down() : 'fine'
  t.equal((await on.get('/thing/1', of('a'))).status, 500)
  t.equal((await on.get('/thing/1', of('a'))).status, 503)
  t.equal((await on.get('/thing/1', of('b'))).status, 200)
  t.strictSame(on.breaker.figures().states, { closed: 1, open: 1, 'half-open': 0 })
})

t.test('a breaker that a route and a function share is opened by either, and by hand; a route may have none', async t => {
  const clock = new TestClock()
  const breaker = circuitBreaker({ consecutive: 1, clock })
  let fails = true
  const app: FastifyInstance = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { clock, breaker: { consecutive: 1 } })
  const load = app.coalesce.deduplicate(async (_key: string) => fails ? down() : 'fine', { key: key => key, breaker, name: 'load' })
  app.get('/shared', { config: { coalesce: { breaker } } }, async () => 'fine')
  app.get('/own', { config: { coalesce: true } }, async () => down())
  app.get('/bare', { config: { coalesce: { breaker: false } } }, async () => down())
  const status = async (url: string): Promise<number> => (await app.inject(url)).statusCode
  await errorOf(async () => await load('k'))
  t.equal(await status('/shared'), 503)
  breaker.close()
  fails = false
  t.strictSame([await status('/shared'), await load('k')], [200, 'fine'])
  breaker.open()
  clock.advance(3_600_000)
  t.strictSame([await status('/shared'), (await errorOf(async () => await load('k'))).code], [503, 'FST_COALESCE_BREAKER_OPEN'])
  t.strictSame([await status('/own'), await status('/own')], [500, 503])
  t.strictSame([await status('/bare'), await status('/bare'), await status('/bare')], [500, 500, 500])
})

t.test('a run that has waited for its slot while the breaker opened is refused, and its slot goes to the next', async t => {
  const queue = runQueue({ maxRuns: 1 })
  const on = await behind(t, { route: { queue } })
  const opening = gate()
  on.state.does = async () => {
    await opening.promise
    return down()
  }
  const first = on.get('/thing/1')
  await until(() => on.state.runs === 1)
  const others = [1, 2, 3].map(n => on.get(`/thing/1${n}`))
  await on.arrived(4)
  t.strictSame([queue.running, queue.waiting], [1, 3])
  opening.open()
  t.equal((await first).status, 500)
  t.strictSame(distinct((await Promise.all(others)).map(({ status, headers }) => [status, headers['retry-after']])), [[503, '5']])
  t.strictSame([on.state.runs, queue.running, queue.waiting], [1, 0, 0])
  on.clock.advance(5_000)
  on.state.does = () => 'fine'
  t.equal((await on.get('/thing/1')).status, 200)
  t.strictSame([queue.running, queue.waiting], [0, 0])
})

t.test('of those who wait for slots while the breaker is half open, one runs', async t => {
  const queue = runQueue({ maxRuns: 2 })
  const on = await behind(t, { route: { queue } })
  await on.halfOpen()
  const opening = on.hold()
  const asked = [1, 2, 3].map(n => on.get(`/thing/1${n}`))
  await on.arrived(4)
  await turns()
  t.equal(on.state.runs, 1)
  opening.open()
  t.strictSame((await Promise.all(asked)).map(({ status }) => status).sort(), [200, 503, 503])
  t.strictSame([queue.running, queue.waiting], [0, 0])
})
