/**
 * The time limits of the server itself: they are between it and one client, and the others are answered.
 *
 * Real timers: Node and Fastify take no other clock. Every limit is one that must come about, and none that must not.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { distinct, held, queue, times } from '../fixtures/crowd.js'
import { grounded, outcomes, waiting } from '../fixtures/endings.js'
import { gate, until } from '../fixtures/gate.js'
import { serve, type Answer, type Pending, type TestServer } from '../fixtures/server.js'

const BODY = { q: 'serendipity' }
const JSON_BODY = JSON.stringify(BODY)
const JSON_TYPE = { 'content-type': 'application/json' }
// Node takes the longer of the two for that of whole requests: without headersTimeout it would be a minute.
const STRICT = { requestTimeout: 600, http: { headersTimeout: 500, connectionsCheckingInterval: 20 } }

/** A client that writes by hand. */
interface RawClient {
  write (text: string): void
  /** All that it received, once its connection is closed. */
  readonly received: Promise<string>
}

function rawClient (server: TestServer): RawClient {
  const socket = connect(server.port, '127.0.0.1')
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('error', () => {})
  return { write: chunk => { socket.write(chunk) }, received: once(socket, 'close').then(() => text) }
}

const seen = (answers: readonly Answer[]): string[] => distinct(answers.map(({ status, body }) => `${status} ${body}`))

for (const method of ['POST', 'QUERY']) {
  t.test(`a ${method} whose body does not come in time is the only one that the server's requestTimeout ends`, async t => {
    const handler = held(request => (request.body as typeof BODY).q)
    const server = await serve(t, app => {
      app.route({ method, url: '/search', config: { coalesce: { body: true } }, handler })
    }, {}, STRICT)
    const slow = rawClient(server)
    slow.write(`${method} /search HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nContent-Type: application/json\r\nContent-Length: ${JSON_BODY.length}\r\n\r\n${JSON_BODY.slice(0, 9)}`)
    const others = times(4, server, '/search', { method, headers: JSON_TYPE, body: JSON_BODY }).map(send => send())
    await server.arrived(4)
    t.match(await slow.received, /^HTTP\/1\.1 408 /)
    t.equal(handler.runs, 1, 'who has not said all leads nobody')
    handler.gate.open()
    t.same(seen(await Promise.all(others)), ['200 serendipity'])
    t.same([handler.runs, await outcomes(server.app)], [1, { 'leader shared': 1, 'follower shared': 3 }])
    await grounded(server.app)
  })
}

t.test('a leader that begins another request and does not end it is cut off by requestTimeout, and its followers are answered', async t => {
  const handler = held(() => 'landed')
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, handler)
    app.post('/write', async () => 'written')
  }, {}, STRICT)
  const leader = rawClient(server)
  const host = `Host: 127.0.0.1:${server.port}`
  leader.write(`GET / HTTP/1.1\r\n${host}\r\n\r\nPOST /write HTTP/1.1\r\n${host}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{`)
  await server.arrived(1)
  const others = times(4, server, '/').map(send => send())
  await server.arrived(5)
  t.notMatch(await leader.received, /landed/)
  await waiting(server.app, 4)
  handler.gate.open()
  t.same(seen(await Promise.all(others)), ['200 landed'])
  t.equal(handler.runs, 1)
  await grounded(server.app)
})

t.test('requestTimeout is the time of requests, not of handlers: who waits is not cut off by it', async t => {
  const handler = held(() => 'landed')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) }, {}, STRICT)
  const answers = await queue(server, times(4, server, '/'))
  await new Promise(resolve => setTimeout(resolve, 2 * STRICT.requestTimeout))
  await waiting(server.app, 3)
  handler.gate.open()
  t.same(seen(await Promise.all(answers)), ['200 landed'])
  t.equal(handler.runs, 1)
})

/** A leader, and after a part of the limit followers of it, whose own time is not over when the leader's is. */
async function later (server: TestServer, after: number, options?: Parameters<typeof times>[3]): Promise<{ leader: Pending, followers: Pending[] }> {
  const leader = server.get('/', options)
  leader.then(() => {}, () => {})
  await server.arrived(1)
  await new Promise(resolve => setTimeout(resolve, after))
  const followers = times(3, server, '/', options).map(send => send())
  for (const follower of followers) follower.then(() => {}, () => {})
  await server.arrived(4)
  return { leader, followers }
}

for (const [what, options] of [['GET', undefined], ['POST that is keyed by its body', { method: 'POST', headers: JSON_TYPE, body: JSON_BODY }]] as const) {
  t.test(`the connection of a leader times out, and those who asked for the same ${what} later are answered by its run`, async t => {
    let signal: AbortSignal | undefined
    const handler = held(() => 'landed')
    const server = await serve(t, app => {
      app.route({
        method: options?.method ?? 'GET',
        url: '/',
        config: { coalesce: options === undefined ? true : { body: true } },
        handler: async (request, reply) => {
          signal = request.signal
          return await handler(request, reply)
        }
      })
    }, {}, { connectionTimeout: 1000 })
    const { leader, followers } = await later(server, 600, options)
    await t.rejects(leader)
    t.equal(signal?.aborted, false, 'somebody waits')
    handler.gate.open()
    t.same(seen(await Promise.all(followers)), ['200 landed'])
    t.equal(handler.runs, 1)
    await grounded(server.app)
  })
}

t.test('all connections time out, and the run is told that nobody waits', async t => {
  let signal: AbortSignal | undefined
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async request => {
      signal = request.signal
      await once(signal, 'abort')
      return 'too late'
    })
  }, {}, { connectionTimeout: 300 })
  const { leader, followers } = await later(server, 0)
  await Promise.all([leader, ...followers].map(async each => { await t.rejects(each) }))
  await until(() => signal?.aborted === true, 'the abort')
  t.match(signal?.reason, { code: 'FST_COALESCE_NOBODY_WAITS' })
  await grounded(server.app)
})

t.test('a handler that asks for its signal only after its handlerTimeout is told that its time is up', async t => {
  const opening = gate()
  let signal: AbortSignal | undefined
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true }, handlerTimeout: 100 }, async request => {
      await opening.promise
      signal = request.signal
      return 'too late'
    })
  })
  t.equal((await server.get('/')).status, 503)
  opening.open()
  await until(() => signal !== undefined, 'the late look')
  t.match(signal, { aborted: true, reason: { code: 'FST_ERR_HANDLER_TIMEOUT' } })
  await grounded(server.app)
})

t.test('Fastify\'s handlerTimeout of a follower is its own, and the others wait on', async t => {
  const handler = held(() => 'landed')
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, handler)
    app.head('/', { config: { coalesce: true }, handlerTimeout: 100 }, handler)
  }, {}, { exposeHeadRoutes: false })
  const [leader, follower] = await queue(server, times(2, server, '/'))
  const impatient = await server.get('/', { method: 'HEAD' })
  t.equal(impatient.status, 503)
  handler.gate.open()
  t.same(seen([await leader as Answer, await follower as Answer]), ['200 landed'])
  t.match(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 1, 'follower answered-elsewhere': 1 })
  await grounded(server.app)
})

t.test('Fastify\'s handlerTimeout fires while a stream flows: everybody is cut off, and the next one gets a run of its own', async t => {
  const opening = gate()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true }, handlerTimeout: 1000 }, async (_request, reply) => {
      runs++
      const body = new PassThrough()
      body.write('first')
      if (runs > 1) body.end(' and last')
      await opening.promise
      return await reply.type('text/plain').send(body)
    })
  })
  const answers = await queue(server, times(3, server, '/'))
  opening.open()
  t.same(await Promise.all(answers.map(each => each.then(() => 'whole', () => 'cut off'))), Array(3).fill('cut off'))
  await grounded(server.app)
  t.equal((await server.get('/')).body, 'first and last')
})

for (const hook of ['onRequest', 'preHandler'] as const) {
  t.test(`handlerTimeout of a whole burst that waits at ${hook} costs two runs, not one for each that is about to be cut off`, async t => {
    let runs = 0
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce: { hook } }, handlerTimeout: 1500 }, async () => {
        runs++
        return await new Promise<string>(() => {})
      })
      app.get('/warm', async () => 'warm')
    })
    // Sockets are opened before, so that all come well before the first is timed out.
    await Promise.all(times(40, server, '/warm').map(send => send()))
    const answers = times(40, server, '/').map(send => send())
    t.same(distinct((await Promise.all(answers)).map(({ status }) => status)), [503])
    t.equal(runs, 2)
    t.match(await outcomes(server.app), { 'leader handler-timeout': 2, 'follower answered-elsewhere': 38 })
    await grounded(server.app)
  })
}
