/**
 * "What protects a route is in an explanation: in the order in which it is asked, with why a run waits or is refused, and what answers instead."
 */
import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { printed } from '../../lib/cli/print.js'
import coalesce, { circuitBreaker, runQueue } from '../../lib/index.js'
import type { CircuitBreaker, CoalesceRouteOptions, Coordination, Coordinator, RunQueue } from '../../types/index.js'
import { gate, TestClock, until } from '../fixtures/gate.js'

/** Nobody else takes part. */
const coordinator: Coordinator = {
  open: () => ({
    join: async () => ({ type: 'unknown' }), figures: () => ({}), isDown: false, purge () {}, close: async () => {}, ready: async () => {}
  }) as unknown as Coordination
}

interface Protected {
  readonly app: FastifyInstance
  readonly clock: TestClock
  readonly queue: RunQueue
  readonly breaker: CircuitBreaker
  /** What is said of a request: the last steps, from the limits on. */
  said (request?: InjectOptions): Promise<string[]>
  /** A run begins, and goes on until the test is over. */
  occupy (url: string): Promise<void>
}

async function start (t: Test, options: CoalesceRouteOptions = {}, meets = false): Promise<Protected> {
  const clock = new TestClock()
  const queue = runQueue({ maxRuns: 1, maxQueued: 2, queueTimeout: '1h', name: 'db', clock })
  const breaker = circuitBreaker({ consecutive: 1, openFor: '5s', name: 'upstream', clock })
  const over = gate()
  const app: FastifyInstance = Fastify({ exposeHeadRoutes: true })
  t.teardown(async () => {
    over.open()
    await app.close()
  })
  await app.register(coalesce, { clock, cacheStatus: true, ...meets && { coordinator } })
  const asks = options.queue === false ? {} : { queue, priority: (request: { headers: object }) => 'x-urgent' in request.headers ? 'high' : undefined }
  app.get('/word/:word', { config: { coalesce: { breaker, ...asks, ...options } } }, async request => {
    if (request.url.endsWith('held')) await over.promise
    if (request.url.endsWith('failing')) throw new Error('no')
    return 'word'
  })
  await app.ready()
  const said = async (request: InjectOptions = {}): Promise<string[]> => {
    const { steps } = await app.coalesce.explain({ url: '/word/a', ...request })
    const from = steps.findIndex(({ step }) => step === 'limits' || step === 'credentials' || step === 'unshareable')
    return steps.slice(from < 0 ? 0 : from).filter(({ step }) => !['request-directives', 'key', 'variant', 'unshareable', 'flight', 'cached'].includes(step) || steps.at(-1)?.step === step)
      .map(({ decides, step, text }) => `${decides ? '→' : '✓'} ${step}: ${text}`)
  }
  const occupy = async (url: string): Promise<void> => {
    const count = queue.running + queue.waiting
    app.inject(url).catch(() => {})
    await until(() => queue.running + queue.waiting > count, 'its place')
  }
  return { app, clock, queue, breaker, said, occupy }
}

const ROOM = '✓ limits: there is room'
const LEADS = '→ lead: it runs the handler, and those who ask meanwhile wait for it'
const CLOSED = '✓ breaker: the circuit breaker upstream is closed'
const after = (lines: readonly string[]): string[] => lines.slice(lines.indexOf(ROOM) + 1)

t.test('a run that may begin says what lets it', async t => {
  const { said } = await start(t)
  t.strictSame(after(await said()), [CLOSED, '✓ queue: the queue db has a slot for it: 0 of at most 1 are under way', LEADS])
})

t.test('a route has the steps of what it has, and no others', async t => {
  const { said } = await start(t, { queue: false, breaker: false })
  t.strictSame(after(await said()), [LEADS])
})

t.test('a run that would wait says behind how many, and how urgent it is', async t => {
  const { occupy, said } = await start(t)
  await occupy('/word/held')
  await occupy('/word/b')
  const waits = (level: string): string =>
    `its run waits for a slot of the queue db: 1 of at most 1 are under way, and 1 wait already; its level is ${level}`
  t.strictSame(after(await said()), [CLOSED, `✓ queue: ${waits('normal')}`, LEADS])
  t.strictSame(after(await said({ headers: { 'x-urgent': '1' } })), [CLOSED, `✓ queue: ${waits('high')}`, LEADS])
  t.match((await said({ headers: { authorization: 'x' } })).at(-1), `does not cover that; ${waits('normal')}`, 'as does one that does not take part')
})

t.test('who would wait for a run is told that this waits for a slot', async t => {
  const { occupy, said } = await start(t)
  await occupy('/word/held')
  await occupy('/word/b')
  t.match((await said({ url: '/word/held' })).at(-1), /^→ flight: request req-\w+ runs the handler for this key/)
  t.match((await said({ url: '/word/b' })).at(-1), /^→ flight: request req-\w+ waits for a slot to run the handler for this key, and it waits for that$/)
})

t.test('a full queue refuses the less urgent, and says what answers instead', async t => {
  const { occupy, queue, said } = await start(t)
  for (const word of ['held', 'b', 'c']) await occupy(`/word/${word}`)
  const refuses = '→ queue: the queue db is full: 2 runs wait, none of them less urgent than this one (normal); it is answered 503'
  t.strictSame(after(await said()), [CLOSED, refuses])
  t.match(after(await said({ headers: { 'x-urgent': '1' } })), [CLOSED, /^✓ queue: its run waits/, LEADS])
  t.strictSame((await said({ headers: { authorization: 'x' } })).slice(-3), [
    '✓ credentials: it carries authorization, which may say who is asking, and the key does not cover that', CLOSED, refuses
  ])
  t.equal(queue.figures().levels.some(({ shed }) => shed.full > 0), false, 'nobody was refused by that')
})

t.test('what answers instead is the fallback, or what is cached', async t => {
  const instead = await start(t, { fallback: () => 'instead' })
  for (const word of ['held', 'b', 'c']) await instead.occupy(`/word/${word}`)
  t.match((await instead.said()).at(-1), /\(normal\); the fallback of the route answers$/)
  const cached = await start(t, { ttl: '10s', staleIfError: '1m' })
  await cached.app.inject('/word/a')
  cached.clock.advance(11_000)
  for (const word of ['held', 'b', 'c']) await cached.occupy(`/word/${word}`)
  t.match((await cached.said()).at(-1), /\(normal\); what is cached is served, though it is not fresh any more$/)
})

t.test('a breaker that is open says for how long, and then who tries', async t => {
  const { app, breaker, clock, occupy, said } = await start(t, { ttl: '1s', staleIfError: '1m' })
  await app.inject('/word/cached')
  await app.inject('/word/failing')
  clock.advance(2_000)
  t.strictSame(after(await said()), ['→ breaker: the circuit breaker upstream is open, and lets no run begin for about 3.0 s more; it is answered 503'])
  t.match((await said({ url: '/word/cached' })).at(-1), /3.0 s more; what is cached is served/)
  clock.advance(3_000)
  t.match(after(await said()), ['✓ breaker: the circuit breaker upstream is half open: this run tries whether it can be closed', /^✓ queue/, LEADS])
  t.match((await said({ url: '/word/cached' })).at(-1), '→ breaker: the circuit breaker upstream is half open, and a refresh in the background tries whether it can be closed; what is cached')
  t.equal(breaker.state, 'half-open')
  await occupy('/word/held')
  t.strictSame(after(await said()), ['→ breaker: the circuit breaker upstream is half open, and another run tries whether it can be closed; it is answered 503'])
  t.match((await said({ url: '/word/cached' })).at(-1), /another run tries whether it can be closed; what is cached/)
})

t.test('a refresh that finds no place in the queue does not try', async t => {
  const { app, clock, occupy, queue, said } = await start(t, { ttl: '1s', staleIfError: '1m' })
  await app.inject('/word/cached')
  await app.inject('/word/failing')
  clock.advance(5_000)
  queue.limit = 0
  for (const word of ['b', 'c']) await occupy(`/word/${word}`)
  t.match((await said({ url: '/word/cached' })).slice(-2), [/half open: this run tries/, /^→ queue: .* is full.* what is cached is served/])
  const { headers, statusCode } = await app.inject('/word/cached')
  t.strictSame([statusCode, headers['cache-status']], [200, 'fastify-coalesce; hit; ttl=-4; detail=queue-full'], 'and so it is')
  queue.limit = 1
})

t.test('the coordinator is asked between the two, and not for a run that may not begin', async t => {
  const { app, said } = await start(t, {}, true)
  t.match(after(await said()), [CLOSED, /^✓ coordinator/, /^✓ queue/, LEADS])
  t.match((await said({ method: 'HEAD' })).slice(-4), [/^✓ coordinator/, CLOSED, /^✓ queue/, /^→ lead/], 'of one that cannot lead, before')
  await app.inject('/word/failing')
  t.match(after(await said()), [/^→ breaker: .*it is answered 503, unless another process runs for this key: then it waits for that$/])
})

t.test('the command line prints it', async t => {
  const { app, occupy } = await start(t)
  for (const word of ['held', 'b', 'c']) await occupy(`/word/${word}`)
  const text = printed({ method: 'GET', url: '/word/a' }, await app.coalesce.explain('/word/a'))
  t.match(text, /shed\/queue-full: the queue db is full/)
  t.match(text, /→ queue +the queue db is full: 2 runs wait/)
  t.match(text, /docs\/why-is-nothing-shared\.md#queue-full/)
})
