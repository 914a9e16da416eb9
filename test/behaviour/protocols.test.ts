/**
 * What HTTP does on the wire besides a request and its response, over raw sockets.
 */
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { held, queue, times } from '../fixtures/crowd.js'
import { outcomes } from '../fixtures/endings.js'
import { gate, until } from '../fixtures/gate.js'
import { listen, metric, serve } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }

interface Teardown { teardown (fn: () => unknown): unknown }

interface Wire {
  readonly socket: Socket
  /** All that has come. */
  readonly received: () => string
  readonly closed: Promise<void>
}

function open (t: Teardown, port: number): Wire {
  const socket = connect({ port, host: '127.0.0.1' })
  t.teardown(() => { socket.destroy() })
  let received = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => { received += chunk })
  return { socket, received: () => received, closed: new Promise(resolve => { socket.on('close', () => { resolve() }) }) }
}

const count = (text: string, part: string): number => text.split(part).length - 1

t.test('an HTTP/1.0 client shares a run with HTTP/1.1 clients, without chunks, and its connection closes', async t => {
  const handler = held(async () => {
    const { Readable } = await import('node:stream')
    return Readable.from(['one ', 'body'])
  })
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const modern = server.get('/')
  await server.arrived(1)
  const old = open(t, server.port)
  old.socket.write('GET / HTTP/1.0\r\nHost: 127.0.0.1:' + server.port + '\r\n\r\n')
  await server.arrived(2)
  handler.gate.open()
  await old.closed
  t.equal((await modern).body, 'one body')
  t.match(old.received(), /^HTTP\/1\.1 200 OK\r\n/)
  t.notMatch(old.received(), /transfer-encoding/i)
  t.ok(old.received().endsWith('\r\n\r\none body'))
  t.equal(handler.runs, 1)
})

t.test('pipelined requests on one connection share a run and are answered in order', async t => {
  const handler = held(() => 'shared')
  const server = await serve(t, app => {
    app.get('/', ON, handler)
    app.get('/last', async () => 'last')
  })
  const wire = open(t, server.port)
  const head = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  wire.socket.write(head('/') + head('/') + head('/') + head('/last'))
  await server.arrived(3)
  handler.gate.open()
  await until(() => wire.received().endsWith('last'), 'the last answer')
  t.same([count(wire.received(), 'HTTP/1.1 200'), count(wire.received(), '\r\n\r\nshared'), handler.runs], [4, 3, 1])
})

t.test('what waits for its turn on a connection that is closed is let go, a stream as well as a place on a flight', async t => {
  const first = gate()
  const source = new Readable({ read () {} })
  const handler = held(() => 'shared')
  const server = await serve(t, app => {
    app.get('/first', async () => { await first.promise })
    app.get('/stream', ON, async () => source)
    app.get('/held', ON, handler)
  })
  const leader = server.get('/held')
  await server.arrived(1)
  const wire = open(t, server.port)
  wire.socket.write(['/first', '/stream', '/held', '/held'].map(path => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`).join(''))
  await server.arrived(4)
  source.push('a beginning')
  while (await metric(server.app, 'coalesce_recorded_bytes') === 0) await new Promise(resolve => setImmediate(resolve))
  t.equal(await metric(server.app, 'coalesce_waiters'), 2)
  wire.socket.destroy()
  await until(() => source.destroyed, 'the end of the stream')
  t.equal(await metric(server.app, 'coalesce_recorded_bytes'), 0)
  t.equal(await metric(server.app, 'coalesce_waiters'), 0)
  first.open()
  handler.gate.open()
  t.equal((await leader).body, 'shared')
  t.match(await outcomes(server.app), { 'follower client-left': 2 })
})

t.test('a request that waits for its turn while its connection closes under its hooks is not waited for', async t => {
  const opening = gate()
  let hooks = 0
  const handler = held(() => 'shared')
  const closings: Array<Promise<unknown>> = []
  const server = await serve(t, app => {
    app.server.on('connection', socket => { closings.push(once(socket, 'close')) })
    app.get('/first', async () => { await opening.promise })
    app.addHook('onRequest', async request => {
      if (request.headers['x-late'] === undefined) return
      hooks++
      await opening.promise
    })
    app.get('/held', ON, handler)
  })
  const leader = server.get('/held')
  await server.arrived(1)
  const wire = open(t, server.port)
  wire.socket.write(`GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /held HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nX-Late: yes\r\n\r\n`)
  await until(() => hooks === 1, 'the hook')
  wire.socket.destroy()
  // A socket says that it is closed before it tells those who listen.
  await closings.at(-1)
  opening.open()
  await server.arrived(2)
  t.equal(await metric(server.app, 'coalesce_waiters'), 0)
  handler.gate.open()
  t.equal((await leader).body, 'shared')
})

t.test('what had to wait for its turn, and then has it when its connection is closed, is let go once', async t => {
  const first = gate<string>()
  const handler = held(() => 'shared')
  const server = await serve(t, app => {
    app.get('/first', async () => await first.promise)
    app.get('/held', ON, handler)
  })
  const leader = server.get('/held')
  await server.arrived(1)
  const wire = open(t, server.port)
  wire.socket.write(['/first', '/held'].map(path => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`).join(''))
  await server.arrived(2)
  first.open('first')
  await until(() => wire.received().endsWith('first'), 'the first answer')
  wire.socket.destroy()
  for (let turn = 0; turn < 2000 && await metric(server.app, 'coalesce_waiters') > 0; turn++) await new Promise(resolve => setImmediate(resolve))
  handler.gate.open()
  t.equal((await leader).body, 'shared')
  t.same(await outcomes(server.app), { 'leader shared': 1, 'follower client-left': 1 })
})

t.test('a kept connection leads, follows and leads again', async t => {
  let handler = held(() => 'first')
  const server = await serve(t, app => { app.get('/', ON, async (request, reply) => await handler(request, reply)) })
  const wire = open(t, server.port)
  const head = `GET / HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`
  wire.socket.write(head)
  await server.arrived(1)
  handler.gate.open()
  await until(() => wire.received().endsWith('first'))
  handler = held(() => 'second')
  const leader = server.get('/')
  await server.arrived(2)
  wire.socket.write(head)
  await server.arrived(3)
  handler.gate.open()
  t.equal((await leader).body, 'second')
  await until(() => wire.received().endsWith('second'))
  t.equal(handler.runs, 1)
  t.match(await outcomes(server.app), { 'leader shared': 2, 'follower shared': 1 })
})

t.test('streams of one HTTP/2 session share a run', async t => {
  const handler = held(() => 'shared')
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  await app.register(coalesce, { metrics: true })
  app.get('/', ON, handler)
  const server = await listen(t, app)
  const session = connectHttp2(`http://127.0.0.1:${server.port}`)
  t.teardown(() => { session.destroy() })
  const bodies = [1, 2, 3].map(async () => await new Promise<string>((resolve, reject) => {
    let body = ''
    session.request({ ':path': '/' }).setEncoding('utf8').on('data', (chunk: string) => { body += chunk })
      .on('end', () => { resolve(body) }).on('error', reject)
  }))
  await server.arrived(3)
  handler.gate.open()
  t.same(await Promise.all(bodies), ['shared', 'shared', 'shared'])
  t.equal(handler.runs, 1)
})

t.test('clients that wait for 100 Continue get it before their bodies are compared, and share', async t => {
  const handler = held(request => request.body)
  const server = await serve(t, app => { app.post('/', { config: { coalesce: { body: true } } }, handler) })
  const wires = [open(t, server.port), open(t, server.port)]
  for (const { socket } of wires) {
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n')
  }
  await until(() => wires.every(({ received }) => received() === 'HTTP/1.1 100 Continue\r\n\r\n'), 'the interim responses')
  for (const { socket } of wires) socket.write('word')
  await server.arrived(2)
  handler.gate.open()
  await Promise.all(wires.map(async ({ closed }) => { await closed }))
  for (const { received } of wires) t.ok(received().endsWith('\r\n\r\nword'))
  t.equal(handler.runs, 1)
})

t.test('a GET that announces a body with Expect runs by itself', async t => {
  const handler = held(() => 'fine')
  handler.gate.open()
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const wire = open(t, server.port)
  wire.socket.write('GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nword')
  await wire.closed
  t.same(await outcomes(server.app), { 'bypass request-body': 1 })
})

t.test('a response with trailers is for its own client, each of whom gets its own', async t => {
  let runs = 0
  const handler = held((_request, reply) => {
    const run = ++runs
    reply.trailer('x-run', async () => String(run))
    return 'body'
  })
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const wires = [open(t, server.port), open(t, server.port)]
  for (const { socket } of wires) socket.write('GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: close\r\n\r\n')
  await server.arrived(2)
  handler.gate.open()
  await Promise.all(wires.map(async ({ closed }) => { await closed }))
  const trailers = wires.map(({ received }) => /\r\n0\r\nx-run: (\d)\r\n\r\n$/.exec(received())?.[1])
  t.same(trailers.sort(), ['1', '2'])
  t.match(await outcomes(server.app), { 'leader trailers': 1, 'alone trailers': 1 })
})

t.test('request trailers belong to a body, with which a GET runs by itself', async t => {
  const server = await serve(t, app => { app.get('/', ON, async () => 'fine') })
  const wire = open(t, server.port)
  wire.socket.write('GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\nConnection: close\r\n\r\n4\r\nword\r\n0\r\nx-sum: 1\r\n\r\n')
  await wire.closed
  t.same(await outcomes(server.app), { 'bypass request-body': 1 })
})

t.test('request trailers of a POST are no part of its key, and each is answered by its own', async t => {
  const handler = held(({ raw }) => String(raw.trailers['x-tenant']))
  const server = await serve(t, app => { app.post('/', { config: { coalesce: { body: true } } }, handler) })
  const wires = ['first', 'second', 'second', undefined, undefined].map(tenant => {
    const wire = open(t, server.port)
    const trailer = tenant === undefined ? '' : `x-tenant: ${tenant}\r\n`
    wire.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n' +
      `Connection: close\r\n\r\n2\r\n{}\r\n0\r\n${trailer}\r\n`)
    return wire
  })
  await server.arrived(5)
  handler.gate.open()
  await Promise.all(wires.map(async ({ closed }) => { await closed }))
  t.strictSame(wires.map(({ received }) => received().split('\r\n').at(-1)), ['first', 'second', 'second', 'undefined', 'undefined'])
  t.same(await outcomes(server.app), { 'bypass body-unknown': 3, 'leader shared': 1, 'follower shared': 1 })
})

t.test('early hints of a handler are the leader\'s, and the final response is everybody\'s', async t => {
  const handler = held(() => 'page')
  const server = await serve(t, app => {
    app.get('/', ON, async (request, reply) => {
      reply.raw.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
      return await handler(request, reply)
    })
  })
  const wires = [open(t, server.port), open(t, server.port)]
  for (const { socket } of wires) socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  await server.arrived(2)
  await until(() => wires.some(({ received }) => received().startsWith('HTTP/1.1 103')), 'the hints, before the response')
  handler.gate.open()
  await Promise.all(wires.map(async ({ closed }) => { await closed }))
  t.same(wires.map(({ received }) => count(received(), 'HTTP/1.1 103')).sort(), [0, 1])
  for (const { received } of wires) t.match(received(), /HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\npage$/)
  t.equal(handler.runs, 1)
})

t.test('early hints of a hook are each client\'s own', async t => {
  const handler = held(() => 'page')
  const server = await serve(t, app => {
    app.addHook('onRequest', async (_request, reply) => { reply.raw.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' }) })
    app.get('/', ON, handler)
  })
  const wires = [open(t, server.port), open(t, server.port)]
  for (const { socket } of wires) socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  await server.arrived(2)
  handler.gate.open()
  await Promise.all(wires.map(async ({ closed }) => { await closed }))
  for (const { received } of wires) t.match(received(), /^HTTP\/1\.1 103 [^]*HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\npage$/)
  t.equal(handler.runs, 1)
})

t.test('a request that asks for an upgrade waits for nobody', async t => {
  const openings = [gate(), gate()]
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async () => {
      const run = runs++
      await openings[run]?.promise
      return `run ${run}`
    })
  })
  const [leader] = await queue(server, times(1, server, '/'))
  const upgrade = server.get('/', { headers: { connection: 'Upgrade', upgrade: 'websocket' } })
  await server.arrived(2)
  openings[1]?.open()
  t.match(await upgrade, { status: 200, body: 'run 1' }, 'while the leader still runs')
  openings[0]?.open()
  t.equal((await leader)?.body, 'run 0')
  t.equal((await outcomes(server.app))['bypass upgrade'], 1)
})
