import type { Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { ask, connections, pipeline } from '../fixtures/clients.js'
import { distinct, held } from '../fixtures/crowd.js'
import { waiting } from '../fixtures/endings.js'
import { TestClock, until } from '../fixtures/gate.js'
import { metric, serve } from '../fixtures/server.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes of the heap that are in use once what is not is collected. */
async function heapUsed (): Promise<number> {
  for (let round = 0; round < 3; round++) {
    await new Promise(resolve => setImmediate(resolve))
    collectGarbage()
  }
  return process.memoryUsage().heapUsed
}

t.test('5,000 concurrent requests over real sockets take one run, and all get the same answer', async t => {
  const handler = held(() => ({ word: 'serendipity' }))
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const sockets = await connections(server.port, 5000)
  const answers = sockets.map(socket => ask(socket, '/'))
  await until(() => server.app.coalesce.stats().totalRequests === 5000, 'the arrival of all')
  t.equal(await metric(server.app, 'coalesce_waiters'), 4999)
  handler.gate.open()
  const all = await Promise.all(answers)
  t.equal(all.length, 5000)
  t.strictSame(distinct(all.map(answer => answer.replace(/\r\ndate: [^\r]*/i, ''))).map(answer => [answer.slice(0, 15), answer.slice(answer.indexOf('\r\n\r\n') + 4)]),
    [['HTTP/1.1 200 OK', '{"word":"serendipity"}']])
  t.equal(handler.runs, 1)
  t.match(server.app.coalesce.stats(), { totalRequests: 5000, deduplicatedRequests: 4999, actualExecutions: 1 })
  t.strictSame([await metric(server.app, 'coalesce_flights'), await metric(server.app, 'coalesce_waiters')], [0, 0])
})

t.test('100,000 flights later nothing of them is left', { timeout: 60_000 }, async t => {
  const FLIGHTS = 100_000
  const CONNECTIONS = 5
  const PER_CONNECTION = 50
  const BATCHES = FLIGHTS / CONNECTIONS / PER_CONNECTION
  const clock = new TestClock()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/:id', { exposeHeadRoute: false, config: { coalesce: true } }, async () => {
      runs++
      await new Promise(resolve => setImmediate(resolve))
      return 'landed'
    })
  }, { clock })
  const sockets = await connections(server.port, CONNECTIONS)
  t.teardown(() => { for (const socket of sockets) socket.destroy() })

  let flights = 0
  const fly = async (): Promise<void> => {
    await Promise.all(sockets.map(async socket => {
      // Every tenth has a follower.
      const paths = Array.from({ length: PER_CONNECTION }, () => `/${flights++}`).flatMap((path, index) => index % 10 === 0 ? [path, path] : [path])
      await pipeline(socket, paths, 'landed')
    }))
  }
  for (let batch = 0; batch < BATCHES / 5; batch++) await fly()
  const before = await heapUsed()
  for (let batch = BATCHES / 5; batch < BATCHES; batch++) await fly()
  const grown = await heapUsed() - before

  t.equal(runs, FLIGHTS)
  t.equal(server.app.coalesce.stats().deduplicatedRequests, FLIGHTS / 10)
  t.strictSame(await Promise.all(['coalesce_flights', 'coalesce_waiters', 'coalesce_recorded_bytes'].map(name => metric(server.app, name))), [0, 0, 0])
  clock.advance(1000)
  t.equal(clock.timers, 0)
  t.ok(grown < 2_000_000, `the heap is flat: ${grown} bytes more after ${FLIGHTS * 0.8} flights, with a key each`)
})

t.test('connections that stay open keep no listener of the flights that they were on', async t => {
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async request => {
      const { socket } = request.raw
      return { listeners: socket.eventNames().reduce((sum, name) => sum + socket.listenerCount(name), 0), aborted: request.signal.aborted }
    })
  })
  const first = await server.get('/')
  const answers: string[] = []
  for (let round = 0; round < 50; round++) answers.push((await server.get('/')).body)
  t.strictSame(distinct([first.body, ...answers]).length, 1, 'the same on the first request of a connection and on the last')
  t.match(JSON.parse(first.body), { aborted: false })
})

t.test('keys that were unshareable, or had variants, are remembered in bounded room', { timeout: 60_000 }, async t => {
  // More than are remembered, and then half as many again.
  const [KEYS, FURTHER] = [10_500, 5_250]
  const on = { exposeHeadRoute: false, config: { coalesce: true } }
  const server = await serve(t, app => {
    app.get('/private/:id', on, async (_request, reply) => reply.header('cache-control', 'private').send('landed'))
    app.get('/vary/:id', on, async (_request, reply) => reply.header('vary', 'x-tenant').send('landed'))
  })
  const sockets = await connections(server.port, 5)
  t.teardown(() => { for (const socket of sockets) socket.destroy() })
  const send = async (from: number, to: number): Promise<void> => {
    for (let key = from; key < to; key += 250) {
      await Promise.all(sockets.map(async (socket, index) => {
        const ids = Array.from({ length: 50 }, (_, each) => key + index * 50 + each)
        await pipeline(socket, ids.flatMap(id => [`/private/${id}`, `/vary/${id}`]), 'landed')
      }))
    }
  }
  await send(0, KEYS)
  const before = await heapUsed()
  await send(KEYS, KEYS + FURTHER)
  const grown = await heapUsed() - before
  t.equal(server.app.coalesce.stats().actualExecutions, 2 * (KEYS + FURTHER))
  t.ok(grown < 1_000_000, `the heap is flat: ${grown} bytes more after ${FURTHER} further keys of each kind`)
})

t.test('followers whose clients leave are forgotten at once', async t => {
  const handler = held(() => 'landed')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const [leader, ...followers] = await connections(server.port, 201) as [Socket, ...Socket[]]
  const answer = ask(leader, '/')
  await server.arrived(1)
  for (const socket of followers) ask(socket, '/').catch(() => {})
  await waiting(server.app, 200)
  for (const socket of followers) socket.destroy()
  await waiting(server.app, 0)
  handler.gate.open()
  t.match(await answer, /^HTTP\/1\.1 200 OK\r\n[^]*landed$/)
  t.equal(handler.runs, 1)
  t.equal(await metric(server.app, 'coalesce_requests_total', { outcome: 'follower', reason: 'client-left' }), 200)
})
