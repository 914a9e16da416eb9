import t from 'tap'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { held, times } from '../fixtures/crowd.js'
import { leave, waiting } from '../fixtures/endings.js'
import { gate, PATIENCE, TestClock, timersGone } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

// A connection that is kept alive is for Fastify to close, in its own time.
const ONCE = { headers: { connection: 'close' } }

t.test('closing under load answers everybody who waits', async t => {
  const handler = held()
  const server = await serve(t, app => {
    for (const path of ['/a', '/b', '/c', '/d']) app.get(path, { config: { coalesce: true } }, handler)
  })
  const answers = ['/a', '/b', '/c', '/d'].flatMap(path => times(50, server, path, ONCE)).map(send => send())
  await server.arrived(200)
  const closed = server.app.close()
  handler.gate.open()
  t.same(new Set((await Promise.all(answers)).map(({ status, body }) => `${status} ${body}`)), new Set(['200 {"hello":"world"}']))
  await closed
  t.equal(handler.runs, 4)
})

t.test('closing answers those as well whose leader comes to nothing', async t => {
  const handler = held(async (_request, reply) => {
    if (handler.runs > 1) return 'second run'
    reply.raw.destroy()
    await once(reply.raw, 'close')
    throw new Error('cut off')
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const first = server.get('/')
  await server.arrived(1)
  const answers = times(20, server, '/', ONCE).map(send => send())
  await server.arrived(21)
  const closed = server.app.close()
  handler.gate.open()
  await t.rejects(first)
  t.same(new Set((await Promise.all(answers)).map(({ body }) => body)), new Set(['second run']))
  await closed
  t.equal(handler.runs, 2)
})

t.test('closing ends although a leader hangs, once its flight\'s time and its followers\' patience are over', async t => {
  const clock = new TestClock()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { waitTimeout: 1000, onWaitTimeout: 'error' } } }, async () => {
      runs++
      return await new Promise(() => {})
    })
  }, { clock })
  const first = server.get('/')
  await server.arrived(1)
  const answers = times(5, server, '/', ONCE).map(send => send())
  await server.arrived(6)
  const closed = server.app.close()
  clock.advance(1000)
  t.same(new Set((await Promise.all(answers)).map(({ status }) => status)), new Set([503]))
  await leave(first)
  await closed
  await timersGone(clock)
  t.equal(runs, 1)
})

t.test('no timer of a flight keeps the process alive', async t => {
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const handler = held((_request, reply) => {
    reply.header('cache-control', 'no-store')
    return 'own'
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { releaseConcurrency: 1 } } }, handler) })
  const before = timers()
  const answers = times(5, server, '/').map(send => send())
  await server.arrived(5)
  await waiting(server.app, 4)
  t.equal(timers(), before, 'while they wait')
  handler.gate.open()
  await Promise.all(answers)
  t.equal(timers(), before, 'after they ran')
})

t.test('after the close nothing of a flight that was cut off is left', async t => {
  const clock = new TestClock()
  const handler = held()
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) }, { clock }, { forceCloseConnections: true })
  const answers = times(5, server, '/').map(send => send())
  const settled = Promise.allSettled(answers)
  await server.arrived(5)
  await server.app.close()
  t.same(new Set((await settled).map(({ status }) => status)), new Set(['rejected']))
  await timersGone(clock)
  t.equal(handler.runs, 1)
})

t.test('after the close no timer of runs that have ended is left', async t => {
  const clock = new TestClock()
  const { app, get, close } = await serve(t, app => { app.get('/', { config: { coalesce: true } }, async () => 'body') }, { clock })
  await get('/', ONCE)
  await app.coalesce.deduplicate(async () => 'result', { key: () => 'key', flightTimeout: '5s' })()
  t.equal(clock.timers, 2, 'for a second at most')
  await close()
  t.equal(clock.timers, 0)
})

t.test('closing when a client has had the last byte of a stream does not wait for its connection', async t => {
  const last = gate()
  const source = new Readable({ read () {} })
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (_request, reply) => await reply.header('content-length', 12).send(source))
  }, {}, { keepAliveTimeout: 60_000 })
  const answers = times(2, server, '/').map(send => send())
  await server.arrived(2)
  for (const { request } of answers) {
    request.once('response', response => {
      let bytes = 0
      response.on('data', ({ length }: Buffer) => { if ((bytes += length) === 12) last.open() })
    })
  }
  const closed = last.promise.then(async () => { await server.app.close() })
  source.push('first ')
  await new Promise(resolve => setImmediate(resolve))
  source.push('second')
  // A file, or an upstream, says only later that there is no more.
  for (let turns = 0; turns < 50; turns++) await new Promise(resolve => setImmediate(resolve))
  source.push(null)
  const late = new Promise<string>(resolve => setTimeout(resolve, PATIENCE, 'late').unref())
  t.equal(await Promise.race([closed, late]), undefined)
  t.same(new Set((await Promise.all(answers)).map(({ body }) => body)), new Set(['first second']))
})
