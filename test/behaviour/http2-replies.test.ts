/**
 * How a reply ends is noticed whatever it goes over: HTTP/1, a connection with others before it, or HTTP/2.
 *
 * No clock moves here, so whoever waits for one waits for ever.
 */
import { open } from 'node:fs/promises'
import { connect as connectHttp2, type ClientHttp2Stream, type ServerHttp2Stream } from 'node:http2'
import { connect, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import compress from '@fastify/compress'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import coalesce, { sharedZlib } from '../../lib/index.js'
import { sharedBodies } from '../../lib/http/encodings.js'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { grounded, outcomes } from '../fixtures/endings.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { listen } from '../fixtures/server.js'

const FILE = fileURLToPath(import.meta.url)
const LARGE = 'luck '.repeat(20_000)

interface Asked {
  readonly stream: ClientHttp2Stream
  readonly text: Promise<string>
}

interface Http2Server {
  readonly app: FastifyInstance
  /** Sends so many requests, one after the other. */
  ask (count: number, headers?: Record<string, string>): Promise<Asked[]>
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

async function http2 (
  t: Parameters<typeof listen>[0], handler: Handler, config: CoalesceRouteOptions = {}, prepare: (app: FastifyInstance) => unknown = () => {}
): Promise<Http2Server> {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  await prepare(app)
  await app.register(coalesce, { clock: new TestClock(), metrics: { path: false } })
  app.get('/', { config: { coalesce: config } }, handler)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connectHttp2(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(async () => {
    session.destroy()
    await app.close()
  })
  const ask = async (count: number, headers: Record<string, string> = {}): Promise<Asked[]> => {
    const asked: Asked[] = []
    for (let index = 0; index < count; index++) {
      const before = app.coalesce.stats().totalRequests
      const stream = session.request({ ':path': '/', ...headers }).on('error', () => {})
      const text = new Promise<string>(resolve => {
        const chunks: Buffer[] = []
        stream.on('data', (chunk: Buffer) => { chunks.push(chunk) }).on('close', () => { resolve(Buffer.concat(chunks).toString()) })
      })
      asked.push({ stream, text })
      await until(() => app.coalesce.stats().totalRequests > before, 'the arrival')
    }
    return asked
  }
  return { app, ask }
}

const streamOf = ({ raw }: FastifyReply): ServerHttp2Stream => (raw as unknown as { stream: ServerHttp2Stream }).stream

async function leave (client: Asked | undefined): Promise<void> {
  client?.stream.close(8)
  await client?.text
}

const ways: Record<string, (stream: ServerHttp2Stream, run: number) => unknown> = {
  respond (stream, run) {
    stream.respond({ ':status': 200 })
    stream.end(`run ${run}`)
  },
  'respond for an event stream': (stream, run) => {
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' })
    stream.write(`run ${run}`)
  },
  respondWithFile: stream => { stream.respondWithFile(FILE) },
  respondWithFD: async stream => {
    const file = await open(FILE)
    stream.once('close', () => { file.close().catch(() => {}) })
    stream.respondWithFD(file.fd)
  },
  write: (stream, run) => { stream.write(`run ${run}`) },
  end: (stream, run) => { stream.end(`run ${run}`) }
}

for (const [name, answer] of Object.entries(ways)) {
  t.test(`a handler that answers by ${name} of its HTTP/2 stream answers its own client, and the others have runs of their own`, async t => {
    const opening = gate()
    const streams: ServerHttp2Stream[] = []
    const { app, ask } = await http2(t, async (_request, reply) => {
      const stream = streamOf(reply)
      const run = streams.push(stream)
      await opening.promise
      await answer(stream, run)
      return await new Promise<never>(() => {})
    })
    const asked = await ask(3)
    opening.open()
    await until(() => streams.length === 3 && streams.every(({ headersSent }) => headersSent), 'all runs')
    const [late] = await ask(1)
    await until(() => streams.length === 4 && streams[3]?.headersSent === true, 'one more run')
    for (const stream of streams) stream.end()
    const texts = await Promise.all([...asked, late].map(async each => await each?.text))
    if (!name.startsWith('respondWith')) t.strictSame(texts, ['run 1', 'run 2', 'run 3', 'run 4'])
    t.strictSame(await outcomes(app), { 'leader unrecorded': 1, 'alone unrecorded': 2, 'bypass unshareable': 1 })
    await grounded(app)
  })
}

t.test('a run that has begun to answer by its HTTP/2 stream lets the next one run', async t => {
  const opening = gate()
  const streams: ServerHttp2Stream[] = []
  const { ask } = await http2(t, async (_request, reply) => {
    streams.push(streamOf(reply))
    await opening.promise
    streamOf(reply).respond({ ':status': 200 })
    return await new Promise<never>(() => {})
  }, { releaseConcurrency: 1 })
  const asked = await ask(5)
  opening.open()
  await until(() => streams.length === 5, 'all runs')
  for (const stream of streams) stream.end()
  await Promise.all(asked.map(async ({ text }) => await text))
})

for (const way of ['writeHead', 'write', 'end'] as const) {
  t.test(`a handler that answers by ${way} once its HTTP/2 client has left answers nobody, and the others have runs of their own`, async t => {
    const opening = gate()
    const left = gate()
    let runs = 0
    const { app, ask } = await http2(t, async (_request, reply) => {
      if (++runs > 1) return `run ${runs}`
      reply.raw.once('close', () => { left.open() })
      await opening.promise
      if (way === 'writeHead') reply.raw.writeHead(200)
      else reply.raw[way]('by hand')
      return await new Promise<never>(() => {})
    })
    const [leader, ...others] = await ask(3)
    await leave(leader)
    await left.promise
    opening.open()
    t.strictSame(await Promise.all(others.map(async ({ text }) => await text)), ['run 2', 'run 3'])
    t.strictSame(await outcomes(app), { 'leader unrecorded': 1, 'alone unrecorded': 2 })
    await grounded(app)
  })
}

t.test('the run of an HTTP/2 client that has left goes on for the others', async t => {
  const opening = gate()
  let runs = 0
  let left = false
  const { app, ask } = await http2(t, async (_request, reply) => {
    runs++
    reply.raw.once('close', () => { left = true })
    await opening.promise
    return `run ${runs}`
  })
  const [leader, ...others] = await ask(3)
  await leave(leader)
  await until(() => left, 'its leaving')
  opening.open()
  t.strictSame(await Promise.all(others.map(async ({ text }) => await text)), ['run 1', 'run 1'])
  await grounded(app)
})

t.test('a body that is compressed once is let go, though the HTTP/2 stream of who ran for it was reset before', async t => {
  const opening = gate()
  let left = false
  const { app, ask } = await http2(t, async (_request, reply) => {
    reply.raw.once('close', () => { left = true })
    await opening.promise
    return reply.type('text/plain').send(LARGE)
  }, {}, async app => { await app.register(compress, { threshold: 0, zlib: sharedZlib }) })
  const [leader, other] = await ask(2, { 'accept-encoding': 'gzip' })
  await leave(leader)
  await until(() => left, 'its leaving')
  opening.open()
  t.not(await other?.text, '')
  await until(() => sharedBodies.size === 0, 'the end of all bodies')
  await grounded(app)
})

t.test('a kept body that is compressed once is let go, though the connection closes before it is its reply\'s turn', async t => {
  const app = Fastify() as unknown as FastifyInstance
  await app.register(compress, { threshold: 0, zlib: sharedZlib })
  await app.register(coalesce, { clock: new TestClock(), metrics: { path: false } })
  const served = gate()
  app.addHook('onSend', async (request, _reply, payload) => {
    if (request.headers['x-request-id'] !== undefined) served.open()
    return payload
  })
  app.get('/kept', { config: { coalesce: { ttl: '1m' } } }, async (_request, reply) => reply.type('text/plain').send(LARGE))
  app.get('/never', async () => await new Promise<never>(() => {}))
  const server = await listen(t, app)
  await server.get('/kept', { headers: { 'accept-encoding': 'gzip' } })
  await until(() => sharedBodies.size === 0, 'the first reply')
  const socket = connect({ port: server.port, host: '127.0.0.1' })
  const host = `HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n`
  socket.write(`GET /never ${host}\r\nGET /kept ${host}Accept-Encoding: gzip\r\nX-Request-Id: 1\r\n\r\n`)
  await served.promise
  t.equal(sharedBodies.size, 1)
  socket.destroy()
  await until(() => sharedBodies.size === 0, 'the end of all bodies')
})
