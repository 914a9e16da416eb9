import t from 'tap'
import { held, queue, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes, waiting } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

t.test('switching off lets go at once those who wait, and nobody shares afterwards', async t => {
  let run = 0
  const handler = held(() => `run ${++run}`)
  const { app, ...server } = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const waited = times(5, server, '/').map(send => send())
  await server.arrived(5)
  t.equal(handler.runs, 1)
  app.coalesce.disable()
  await until(() => handler.runs === 5, 'the runs of those who waited')
  await waiting(app, 0)
  const later = times(5, server, '/').map(send => send())
  await server.arrived(10)
  t.equal(handler.runs, 10)
  handler.gate.open()
  t.equal(new Set((await Promise.all([...waited, ...later])).map(({ body }) => body)).size, 10)
  t.same(await outcomes(app), { 'leader disabled': 1, 'alone disabled': 4, 'bypass disabled': 5 })
  t.match(app.coalesce.stats(), { totalRequests: 10, actualExecutions: 10, deduplicatedRequests: 0, deduplicationRate: 0 })
})

t.test('those who are let go run so many at a time', async t => {
  const handler = held()
  const { app, ...server } = await serve(t, app => { app.get('/', { config: { coalesce: { releaseConcurrency: 2 } } }, handler) })
  const answers = times(8, server, '/').map(send => send())
  await server.arrived(8)
  app.coalesce.disable()
  t.equal(handler.runs, 3)
  handler.gate.open()
  await Promise.all(answers)
  t.equal(handler.runs, 8)
})

t.test('one route is switched off and the others go on', async t => {
  const [one, other] = [held(), held()]
  const server = await serve(t, app => {
    app.get('/one', { config: { coalesce: true } }, one)
    app.get('/other', { config: { coalesce: true } }, other)
  })
  const answers = ['/one', '/other'].flatMap(path => times(3, server, path).map(send => send()))
  await server.arrived(6)
  server.app.coalesce.disable({ url: '/one' })
  t.same([one.runs, other.runs], [3, 1])
  one.gate.open()
  other.gate.open()
  await Promise.all(answers)
  t.same(await outcomes(server.app), { 'leader disabled': 1, 'alone disabled': 2, 'leader shared': 1, 'follower shared': 2 })
})

t.test('of a path with several methods one is switched off', async t => {
  const [read, head] = [held(), held(() => '')]
  const server = await serve(t, app => {
    app.head('/', { config: { coalesce: true } }, head)
    app.get('/', { config: { coalesce: true }, exposeHeadRoute: false }, read)
  })
  server.app.coalesce.disable({ url: '/', method: 'get' })
  const answers = [...times(2, server, '/'), ...times(2, server, '/', { method: 'HEAD' })].map(send => send())
  await server.arrived(4)
  t.same([read.runs, head.runs], [2, 2])
  t.same(await outcomes(server.app), { 'bypass disabled': 2, 'bypass head': 2 })
  read.gate.open()
  head.gate.open()
  await Promise.all(answers)
})

t.test('switching on again shares again, and nothing was remembered', async t => {
  const handler = held()
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const { app } = server
  const before = await queue(server, times(2, server, '/'))
  app.coalesce.disable()
  app.coalesce.enable()
  t.equal(handler.runs, 2)
  const after = await queue(server, times(3, server, '/'))
  t.equal(handler.runs, 3)
  handler.gate.open()
  await Promise.all([...before, ...after])
  t.match(await outcomes(app), { 'leader shared': 1, 'follower shared': 2 })
})

t.test('switching off lets go those as well whose flight a write has passed', async t => {
  const handler = held()
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, handler)
    app.post('/', async () => 'written')
  })
  const answers = await queue(server, times(3, server, '/'))
  await server.get('/', { method: 'POST' })
  server.app.coalesce.disable()
  t.equal(handler.runs, 3)
  handler.gate.open()
  await Promise.all(answers)
})

t.test('a run that nobody waits for any more still ends with its own client', async t => {
  let signal: AbortSignal | undefined
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async request => {
      signal = request.signal
      await new Promise((_resolve, reject) => { request.signal.addEventListener('abort', () => { reject(new Error('aborted')) }) })
    })
  })
  const answer = server.get('/')
  await server.arrived(1)
  server.app.coalesce.disable()
  await leave(answer)
  await until(() => signal?.aborted === true, 'the abort')
  await grounded(server.app)
  t.equal(signal?.aborted, true)
})

t.test('a route that is not coalesced cannot be switched', async t => {
  const { app } = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async () => 'x')
    app.get('/plain', async () => 'x')
  })
  const unknown = { code: 'FST_COALESCE_UNKNOWN_ROUTE' }
  t.throws(() => { app.coalesce.disable({ url: '/plain' }) }, unknown)
  t.throws(() => { app.coalesce.enable({ url: '/', method: 'DELETE' }) }, unknown)
})

t.test('either URL of a route that is / under a prefix switches it off, HEAD included', async t => {
  for (const url of ['/v2', '/v2/']) {
    const { app, ...server } = await serve(t, async app => {
      await app.register(async inner => { inner.get('/', { config: { coalesce: true } }, async () => 'v2') }, { prefix: '/v2' })
      app.get('/v2/other', { config: { coalesce: true } }, async () => 'other')
    })
    app.coalesce.disable({ url })
    for (const path of ['/v2', '/v2/']) for (const method of ['GET', 'HEAD']) await server.get(path, { method })
    await server.get('/v2/other')
    t.same(await outcomes(app), { 'bypass disabled': 4, 'leader shared': 1 })
    app.coalesce.enable({ url })
    await server.get('/v2/')
    t.same(await outcomes(app), { 'bypass disabled': 4, 'leader shared': 2 })
  }
})
