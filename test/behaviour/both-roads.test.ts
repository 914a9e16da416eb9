/**
 * "Whether hooks of others see a response or not, a client is given the same bytes": what is replayed on a route without `onSend` hooks of
 * others, and on one that has such a hook, which changes nothing.
 *
 * Each case is run for a follower and for a hit, on both roads. What comes over the socket is compared with test/fixtures/both-roads.txt, which
 * `ROADS=write node --import ./test/typescript.js test/behaviour/both-roads.test.ts` writes anew, as it comes on the road with hooks.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { readFile, writeFile } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerOptions, type onSendHookHandler } from 'fastify'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'
import { grounded, outcomes, waiting } from '../fixtures/endings.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { listen, type TestServer } from '../fixtures/server.js'

const ROADS = ['fast', 'hooks'] as const
type Road = typeof ROADS[number]

const THEN = 'Sun, 06 Nov 1994 08:49:37 GMT'
const LARGE = 'serendipity '.repeat(40_000)
const BINARY = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

interface Options {
  readonly route?: CoalesceRouteOptions
  readonly options?: CoalesceOptions
  readonly fastify?: FastifyServerOptions
  readonly before?: (app: FastifyInstance) => unknown
}

interface Roads extends TestServer {
  readonly clock: TestClock
  runs (): number
  /** Lets the handler answer. */
  open (): void
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

const unchanged: onSendHookHandler = (_request, _reply, payload, done) => { done(null, payload) }

/** When what is kept was made, by the app's clock. What Node says in `Date` is another time. */
const MADE = Date.parse('Sat, 01 Jan 2101 00:00:00 GMT')

/** Serves `/`, which is kept for a minute; its handler waits until it is told to answer. */
async function on (t: Test, road: Road, handler: Handler, { route = {}, options = {}, fastify = {}, before = () => {} }: Options = {}): Promise<Roads> {
  const clock = Object.assign(new TestClock(), { wall: () => MADE + clock.now() })
  const opening = gate()
  let runs = 0
  const app = Fastify({ forceCloseConnections: true, ...fastify }) as unknown as FastifyInstance
  await app.register(coalesce, { clock, metrics: { path: false }, ...options })
  if (road === 'hooks') app.addHook('onSend', unchanged)
  await before(app)
  app.get('/', { config: { coalesce: { ttl: '60s', ...route } } }, async (request, reply) => {
    runs++
    await opening.promise
    return await handler(request, reply)
  })
  return Object.assign(await listen(t, app), { clock, runs: () => runs, open: () => { opening.open() } })
}

/** What a server writes until it closes the connection, or until `enough` is in it. The moment in Node's `Date` is left out. */
async function bytes (port: number, text: string, enough?: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(text, 'latin1')
  let received = ''
  await new Promise<void>(resolve => {
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      received += chunk
      if (enough !== undefined && received.includes(enough)) socket.destroy()
    }).on('error', () => {}).on('close', () => { resolve() })
  })
  return received.replace(/^date: .* 20\d\d [^\r]*/gim, 'date: now')
}

const START = 'GET / HTTP/1.1\r\nHost: localhost\r\n'
const HEAD = 'HEAD / HTTP/1.1\r\nHost: localhost\r\n'
const asking = (headers: Record<string, string> = {}, start = START): string =>
  `${start}${Object.entries({ connection: 'close', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`

/** A follower's response, and a hit's five seconds later. */
async function both (server: Roads, request: string, enough?: string): Promise<readonly [follower: string, hit: string]> {
  const leader = bytes(server.port, asking())
  await server.arrived(1)
  const following = bytes(server.port, request, enough)
  await server.arrived(2)
  server.open()
  const [follower] = await Promise.all([following, leader])
  server.clock.advance(5000)
  return [follower, await bytes(server.port, request, enough)]
}

interface Case extends Options {
  readonly handler: Handler
  /** What the follower and the hit ask with. */
  readonly request?: string
}

const document: Handler = (_request, reply) => {
  reply.headers({ etag: '"a"', 'last-modified': THEN, 'cache-control': 'max-age=60', 'content-language': 'en' }).type('text/plain')
  return '0123456789'
}

const CASES: Record<string, Case> = {
  // What is in the response.
  'an object': { handler: () => ({ hello: 'world' }) },
  'a string': { handler: () => 'hello' },
  'a string that is not ASCII': { handler: () => 'Übergröße 🐘' },
  'a Buffer': { handler: () => BINARY },
  'a Buffer with a type': { handler: (_request, reply) => reply.type('image/png').send(BINARY) },
  'an empty string': { handler: (_request, reply) => reply.type('text/plain').send('') },
  'an empty Buffer': { handler: () => Buffer.alloc(0) },
  'a stream that has ended': { handler: (_request, reply) => reply.type('text/plain').send(Readable.from(['one ', 'two'])) },
  'a response of the Web': { handler: () => new Response('hello', { headers: { 'content-type': 'text/plain', 'x-web': 'yes' } }) },
  'a stream without a type': { handler: () => Readable.from(['one ', 'two']) },
  'a large body': { handler: () => LARGE.slice(0, 100_000) },
  'a Content-Length of the handler': { handler: (_request, reply) => reply.header('content-length', '5').send('hello') },
  'a Date and an Age of the handler': { handler: (_request, reply) => reply.headers({ date: 'Sat, 01 Jan 2101 00:00:00 GMT', age: '7' }).send('hello') },
  'a serialized object': { handler: (_request, reply) => reply.serializer(() => '<hello/>').type('text/xml').send({ hello: 'world' }) },
  'headers of several lines': { handler: (_request, reply) => reply.headers({ link: ['</a>', '</b>'], 'x-one': 'one', 'X-Upper': 'yes' } as never).send('hello') },
  'a header that is not ASCII': { handler: (_request, reply) => reply.header('x-name', 'Größe').send('hello') },
  'a number as a header': { handler: (_request, reply) => reply.header('x-count', 7).send('hello') },
  'what hooks set for their client': {
    before: app => { app.addHook('onRequest', async (request, reply) => { reply.header('x-for', request.id).header('x-twice', ['a', request.id]) }) },
    handler: (_request, reply) => reply.header('x-own', 'yes').send('hello')
  },
  'a header of a hook that the handler removes': {
    before: app => { app.addHook('onRequest', async (_request, reply) => { reply.headers({ 'x-powered-by': 'us', 'x-stays': 'yes' }) }) },
    handler: (_request, reply) => reply.removeHeader('x-powered-by').send('hello')
  },
  'a header of a hook that the handler changes': {
    before: app => { app.addHook('onRequest', async (_request, reply) => { reply.headers({ 'cache-control': 'no-cache', 'x-stays': 'yes' }) }) },
    handler: (_request, reply) => reply.header('cache-control', 'max-age=60').send('hello')
  },
  'a cookie that a hook sets for its client': {
    before: app => { app.addHook('onRequest', async (request, reply) => { reply.header('set-cookie', request.id) }) },
    handler: () => 'hello'
  },
  'a Connection header of a hook': {
    before: app => { app.addHook('onRequest', async (_request, reply) => { reply.header('connection', 'close') }) },
    handler: () => 'hello',
    request: asking({ connection: 'keep-alive' })
  },
  'a header of a hook that cannot be sent': {
    before: app => { app.addHook('onRequest', async (request, reply) => { if (request.headers['x-break'] !== undefined) reply.header('x-broken', 'a\nb') }) },
    handler: () => 'hello',
    request: asking({ 'x-break': '1' })
  },
  'a header that a hook sets past Fastify': {
    before: app => { app.addHook('onRequest', async (request, reply) => { reply.raw.setHeader('X-Past', request.id) }) },
    handler: (_request, reply) => reply.header('x-own', 'yes').send('hello')
  },
  'a type that a hook sets': {
    before: app => { app.addHook('onRequest', async (_request, reply) => { reply.type('text/html') }) },
    handler: () => 'hello'
  },
  'a status that a hook sets': {
    before: app => { app.addHook('onRequest', async (_request, reply) => { reply.code(202) }) },
    handler: (_request, reply) => reply.code(200).send('hello')
  },
  'a serializer that a hook sets': {
    before: app => { app.addHook('onRequest', async (_request, reply) => { reply.serializer(() => '"of the hook"') }) },
    handler: () => ({ hello: 'world' })
  },
  'a trailer that a hook sets': {
    // Not for the leader, whose response would be nobody else's.
    before: app => { app.addHook('onRequest', async (request, reply) => { if (request.id !== 'req-1') reply.trailer('x-check', async () => 'yes') }) },
    handler: () => 'hello',
    request: asking({ te: 'trailers' })
  },
  'a reason phrase that a hook sets': {
    before: app => { app.addHook('onRequest', async (_request, reply) => { reply.raw.statusMessage = 'Fine' }) },
    handler: () => 'hello'
  },
  'no Date, as a hook wants it': {
    before: app => { app.addHook('onRequest', async (_request, reply) => { reply.raw.sendDate = false }) },
    handler: () => 'hello'
  },
  // What the status is.
  'a redirect': { handler: (_request, reply) => reply.redirect('/elsewhere', 301) },
  'a 404 of the handler': { handler: (_request, reply) => reply.code(404).send({ error: 'not here' }) },
  'a 203': { handler: (_request, reply) => reply.code(203).send('hello') },
  'a status with Cache-Status': { route: { cacheStatus: true }, handler: () => 'hello' },
  'a 204 with a body': { handler: (_request, reply) => reply.code(204).send('hello') },
  'a 204': { handler: (_request, reply) => reply.code(204).send() },
  'a 500 of the handler': { handler: (_request, reply) => reply.code(500).send({ error: 'broken' }) },
  'an error that the handler throws': { handler: () => { throw new Error('broken') } },
  'an error that the app handles': {
    before: app => { app.setErrorHandler((error: Error, _request, reply) => { reply.code(418).header('x-handled', 'yes').send({ error: error.message }) }) },
    handler: () => { throw new Error('broken') }
  },
  // What the request asks for.
  'If-None-Match that matches': { handler: document, request: asking({ 'if-none-match': '"b", W/"a"' }) },
  'If-None-Match that does not match': { handler: document, request: asking({ 'if-none-match': '"b"' }) },
  'If-Modified-Since that holds': { handler: document, request: asking({ 'if-modified-since': THEN }) },
  'If-Match that fails': { handler: document, request: asking({ 'if-match': '"b"' }) },
  'a range': { handler: document, request: asking({ range: 'bytes=2-4' }) },
  'a range from the end': { handler: document, request: asking({ range: 'bytes=-3' }) },
  'a range that is not there': { handler: document, request: asking({ range: 'bytes=10-' }) },
  'a range if it is still that one': { handler: document, request: asking({ range: 'bytes=2-4', 'if-range': '"a"' }) },
  'a range if it is still another': { handler: document, request: asking({ range: 'bytes=2-4', 'if-range': '"b"' }) },
  HEAD: { handler: document, request: asking({}, HEAD) },
  'HEAD of an object': { handler: () => ({ hello: 'world' }), request: asking({}, HEAD) },
  'HEAD with a condition': { handler: document, request: asking({ 'if-none-match': '"a"' }, HEAD) },
  'HTTP/1.0': { handler: () => 'hello', request: 'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n' },
  'HTTP/1.0 of a stream': { handler: (_request, reply) => reply.type('text/plain').send(Readable.from(['one ', 'two'])), request: 'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n' },
  'HTTP/1.0 with Connection: keep-alive': { handler: () => 'hello', request: 'GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\nGET /none HTTP/1.0\r\n\r\n' },
  'a GET with a body': { handler: () => 'hello', request: `${asking({ 'content-length': '2', 'content-type': 'application/json' })}{}` },
  'Connection: keep-alive': { handler: () => 'hello', request: `${asking({ connection: 'keep-alive' })}${asking({}, 'GET /none HTTP/1.1\r\nHost: localhost\r\n')}` },
  'Cache-Control: no-cache': { handler: () => 'hello', request: asking({ 'cache-control': 'no-cache' }) },
  'Cache-Control: only-if-cached': { handler: () => 'hello', request: asking({ 'cache-control': 'only-if-cached' }) },
  'Accept-Encoding': { handler: document, request: asking({ 'accept-encoding': 'gzip, br' }) },
  // Where it waits.
  'the hook preHandler': { route: { hook: 'preHandler' }, handler: document }
}

const FILE = new URL('../fixtures/both-roads.txt', import.meta.url)
const expected = new Map((await readFile(FILE, 'utf8').catch(() => '')).split(/^=== /m).slice(1).map(section => [section.slice(0, section.indexOf('\n')), `=== ${section}`]))
const sections: string[] = []

/** What was seen, in lines. Of the bytes that are no characters the numbers are shown. */
function sectionOf (name: string, answers: readonly [string, string], all: Record<string, number>, runs: number): string {
  const [follower, hit] = answers.map(answer => answer.replaceAll('\r\n', '\n').replace(/[^\n -~]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`))
  return `=== ${name}\n${Object.entries(all).map(([outcome, count]) => `${outcome}: ${count}, `).sort().join('')}runs: ${runs}\n` +
    `--- follower\n${follower}\n--- hit\n${hit}\n`
}

for (const road of ROADS) {
  for (const [name, { handler, request = asking(), ...options }] of Object.entries(CASES)) {
    t.test(`${name} is given to a follower and to a hit, byte for byte (${road})`, async t => {
      const server = await on(t, road, handler, options)
      const section = sectionOf(name, await both(server, request), await outcomes(server.app), server.runs())
      if (road === 'hooks') sections.push(section)
      if (process.env.ROADS !== 'write') t.equal(section, expected.get(name))
      await grounded(server.app)
    })
  }
}

if (process.env.ROADS === 'write') t.teardown(async () => { await writeFile(FILE, sections.join('')) })

// What is not in the bytes of one response.

for (const road of ROADS) {
  /** Two hits, and a follower before them. */
  async function replayed (server: Roads): Promise<void> {
    await both(server, asking())
    await bytes(server.port, asking())
  }

  t.test(`hooks onResponse of the app and of the route are run once for each, in its context, and see its response (${road})`, async t => {
    const context = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const server = await on(t, road, (_request, reply) => reply.code(203).header('x-own', 'yes').send('hello'), {
      before: app => {
        app.addHook('onRequest', (request, _reply, done) => { context.run(`context of ${request.id}`, done) })
        app.addHook('onResponse', async (request, reply) => {
          const { raw, sent, statusCode } = reply
          seen.push([request.id, context.getStore(), statusCode, sent, raw.statusCode, raw.writableFinished, reply.getHeader('x-own'), reply.getHeader('content-length')])
        })
        app.addHook('onRoute', route => { route.onResponse = [async request => { seen.push([request.id, 'of the route']) }] })
      }
    })
    await replayed(server)
    await until(() => seen.length >= 8, 'the last hook')
    t.strictSame(seen.sort(), ['req-1', 'req-2', 'req-3', 'req-4'].flatMap(id =>
      [[id, `context of ${id}`, 203, true, 203, true, 'yes', '5'], [id, 'of the route']]).sort())
  })

  t.test(`hooks before the handler run for each, and the handler and what serializes it for one (${road})`, async t => {
    const seen: Record<string, number> = {}
    const count = (name: string) => async (): Promise<void> => { seen[name] = (seen[name] ?? 0) + 1 }
    const server = await on(t, road, () => ({ hello: 'world' }), {
      before: app => {
        app.addHook('onRequest', count('onRequest'))
        app.addHook('preSerialization', count('preSerialization'))
        app.addHook('onError', count('onError'))
        app.addHook('onTimeout', count('onTimeout'))
        app.addHook('onRequestAbort', async _request => { seen.aborted = 1 })
        app.setReplySerializer(payload => {
          seen.serializer = (seen.serializer ?? 0) + 1
          return JSON.stringify(payload)
        })
      }
    })
    await replayed(server)
    t.strictSame(seen, { onRequest: 4, preSerialization: 1, serializer: 1 })
    t.equal(server.runs(), 1)
  })

  t.test(`each has its two lines in the log, with its status (${road})`, async t => {
    const lines: Array<Record<string, any>> = []
    const server = await on(t, road, (_request, reply) => reply.code(203).send('hello'), {
      fastify: { logger: { level: 'info', stream: { write (line: string) { lines.push(JSON.parse(line)) } } } }
    })
    await replayed(server)
    await until(() => lines.filter(({ msg }) => msg === 'request completed').length === 4, 'the last line')
    t.strictSame(lines.filter(({ reqId, level }) => reqId !== undefined && level >= 30).map(({ reqId, msg, res }) => [reqId, msg, res?.statusCode]).sort(),
      ['req-1', 'req-2', 'req-3', 'req-4'].flatMap(id => [[id, 'incoming request', undefined], [id, 'request completed', 203]]).sort())
    t.ok(lines.filter(({ msg }) => msg === 'request completed').every(({ responseTime }) => responseTime >= 0))
  })

  t.test(`what is sent on one connection is answered in order, behind a slow one and before it (${road})`, async t => {
    const slow = gate()
    const server = await on(t, road, () => 'hello', { before: app => { app.get('/slow', async () => { await slow.promise; return 'slow' }) } })
    await both(server, asking())
    const alive = (path: string): string => asking({ connection: 'keep-alive' }, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n`)
    const answers = bytes(server.port, `${alive('/')}${alive('/slow')}${alive('/')}${alive('/none')}${asking()}`)
    await until(() => server.app.coalesce.stats().cacheHits === 4, 'the hits')
    slow.open()
    t.strictSame((await answers).match(/HTTP\/1\.1 \d+|hello|slow/g), [
      'HTTP/1.1 200', 'hello', 'HTTP/1.1 200', 'slow', 'HTTP/1.1 200', 'hello', 'HTTP/1.1 404', 'HTTP/1.1 200', 'hello'
    ])
    t.match(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 1, 'hit fresh': 4 })
  })

  t.test(`a connection stays open for the next request, as long as its client wants it (${road})`, async t => {
    const server = await on(t, road, () => 'hello')
    await both(server, asking())
    const socket = connect(server.port, '127.0.0.1').setEncoding('latin1')
    let received = ''
    socket.on('data', (chunk: string) => { received += chunk })
    for (let round = 1; round <= 3; round++) {
      socket.write(asking({ connection: round < 3 ? 'keep-alive' : 'close' }))
      await until(() => received.split('hello').length === round + 1, 'the answer')
    }
    await until(() => socket.readableEnded, 'the end')
    t.strictSame(received.match(/^connection: .*/gim)?.map(line => line.trim().toLowerCase()), ['connection: keep-alive', 'connection: keep-alive', 'connection: close'])
    t.equal(received.match(/^date: /gim)?.length, 3)
    t.equal((await outcomes(server.app))['hit fresh'], 4)
  })

  t.test(`a client that reads slowly gets all of a large body (${road})`, async t => {
    const server = await on(t, road, () => LARGE)
    await both(server, asking())
    const socket = connect(server.port, '127.0.0.1').setEncoding('latin1')
    socket.write(asking())
    await until(() => server.app.coalesce.stats().cacheHits === 2, 'the hit')
    let received = ''
    for await (const chunk of socket) {
      received += chunk as string
      await new Promise(resolve => setImmediate(resolve))
    }
    t.equal(received.slice(received.indexOf('\r\n\r\n') + 4), LARGE)
  })

  t.test(`a client that leaves, waiting or answered, leaves nothing behind and takes nothing from the others (${road})`, async t => {
    const errors: unknown[] = []
    const server = await on(t, road, () => LARGE, {
      fastify: { logger: { level: 'warn', stream: { write (line: string) { errors.push(line) } } } }
    })
    const leader = bytes(server.port, asking())
    await server.arrived(1)
    const leaves = connect(server.port, '127.0.0.1').on('error', () => {})
    leaves.write(asking())
    await server.arrived(2)
    const stays = bytes(server.port, asking())
    await server.arrived(3)
    leaves.destroy()
    await waiting(server.app, 1)
    server.open()
    t.ok((await leader).endsWith(LARGE) && (await stays).endsWith(LARGE))
    for (let each = 1; each <= 3; each++) {
      const socket = connect(server.port, '127.0.0.1').on('error', () => {})
      socket.write(asking({ connection: 'keep-alive' }))
      await server.arrived(3 + each)
      socket.destroy()
    }
    t.ok((await bytes(server.port, asking())).endsWith(LARGE))
    t.match(await outcomes(server.app), { 'leader shared': 1, 'follower client-left': 1, 'follower shared': 1, 'hit fresh': 4 })
    t.strictSame(errors, [])
    await grounded(server.app)
  })

  t.test(`a header of a hook that cannot be sent is that client's trouble only (${road})`, async t => {
    const server = await on(t, road, () => 'hello', {
      before: app => { app.addHook('onRequest', async (request, reply) => { if (['req-2', 'req-3'].includes(request.id)) reply.header('x-wrong', 'a\nb') }) }
    })
    for (const answer of await both(server, asking())) t.notMatch(answer, /^HTTP\/1\.1 200|hello$/)
    t.match(await bytes(server.port, asking()), /hello$/)
    t.match(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 1, 'hit fresh': 2 })
    await grounded(server.app)
  })

  t.test(`over HTTP/2 a follower and a hit are given the same (${road})`, async t => {
    const server = await on(t, road, (_request, reply) => reply.headers({ 'x-own': 'yes', link: ['</a>', '</b>'], etag: '"a"' } as never).send('hello'), {
      fastify: { http2: true } as FastifyServerOptions
    })
    const session = connectHttp2(`http://127.0.0.1:${server.port}`)
    t.teardown(() => { session.destroy() })
    const ask = (headers: Record<string, string> = {}): Promise<{ headers: object, body: string }> => new Promise((resolve, reject) => {
      const stream = session.request({ ':path': '/', ...headers })
      let body = ''
      stream.setEncoding('utf8').on('data', chunk => { body += chunk }).on('error', reject)
      stream.on('response', headers => {
        const date = headers.date?.includes('2101') === true ? 'then' : 'now'
        stream.on('end', () => { resolve({ headers: { ...Object.fromEntries(Object.entries(headers)), date }, body }) })
      })
    })
    const leader = ask()
    await server.arrived(1)
    const follower = ask()
    await server.arrived(2)
    server.open()
    const own = { ':status': 200, 'x-own': 'yes', link: '</a>, </b>', etag: '"a"', 'content-type': 'text/plain; charset=utf-8', 'content-length': '5' }
    await leader
    t.strictSame(await follower, { headers: { ...own, date: 'now' }, body: 'hello' })
    server.clock.advance(5000)
    t.strictSame(await ask(), { headers: { ...own, age: '5', date: 'then' }, body: 'hello' })
    t.match(await ask({ ':method': 'HEAD' }), { headers: { ...own, age: '5', date: 'then' }, body: '' })
    t.match(await ask({ 'if-none-match': '"a"' }), { headers: { ':status': 304, etag: '"a"', age: '5' }, body: '' })
    t.strictSame(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 1, 'hit fresh': 3 })
  })

  t.test(`what is purged, and what has grown old, is not given any more (${road})`, async t => {
    let version = 0
    const server = await on(t, road, () => `version ${++version}`)
    t.match((await both(server, asking()))[1], /version 1$/)
    server.app.coalesce.invalidate({ url: '/' })
    t.match(await bytes(server.port, asking()), /version 2$/)
    t.match(await bytes(server.port, asking()), /version 2$/)
    server.clock.advance(60_001)
    t.match(await bytes(server.port, asking()), /version 3$/)
    t.equal(server.runs(), 3)
  })
}

/** Ways in which an app comes to have an onSend hook for a route. */
const WAYS: Record<string, (app: FastifyInstance, hook: onSendHookHandler, define: (app: FastifyInstance, options?: object) => void, plugin: (app: FastifyInstance) => unknown) => unknown> = {
  'before the plugin': async (app, hook, define, plugin) => { app.addHook('onSend', hook); await plugin(app); define(app) },
  'after the plugin': async (app, hook, define, plugin) => { await plugin(app); app.addHook('onSend', hook); define(app) },
  'after the route': async (app, hook, define, plugin) => { await plugin(app); define(app); app.addHook('onSend', hook) },
  'by the route': async (app, hook, define, plugin) => { await plugin(app); define(app, { onSend: hook }) },
  'by a hook onRoute': async (app, hook, define, plugin) => {
    await plugin(app)
    app.addHook('onRoute', route => { if (route.url === '/') route.onSend = [...[route.onSend ?? []].flat(), hook] })
    define(app)
  },
  'by a hook onRoute before the plugin': async (app, hook, define, plugin) => {
    app.addHook('onRoute', route => { if (route.url === '/') route.onSend = [...[route.onSend ?? []].flat(), hook] })
    await plugin(app)
    define(app)
  },
  'in a context inside': async (app, hook, define, plugin) => { await plugin(app); await app.register(async inner => { inner.addHook('onSend', hook); define(inner) }) },
  'around the context that has the plugin': async (app, hook, define, plugin) => {
    app.addHook('onSend', hook)
    await app.register(async inner => { await plugin(inner); define(inner) })
  },
  'by a plugin that loads late': async (app, hook, define, plugin) => {
    await plugin(app)
    define(app)
    app.register(Object.assign(async (inner: FastifyInstance) => { inner.addHook('onSend', hook) }, { [Symbol.for('skip-override')]: true }))
  }
}

for (const [way, build] of Object.entries(WAYS)) {
  t.test(`a hook onSend sees and changes what a follower and a hit are given: one added ${way}`, async t => {
    const clock = new TestClock()
    const opening = gate()
    let changed = 0
    const hook: onSendHookHandler = (_request, reply, payload, done) => {
      reply.header('x-hook', ++changed)
      done(null, `${payload as string}!`)
    }
    const app = Fastify({ forceCloseConnections: true }) as unknown as FastifyInstance
    const define = (app: FastifyInstance, options: object = {}): void => {
      app.get('/', { ...options, config: { coalesce: { ttl: '60s' } } }, async () => { await opening.promise; return 'hello' })
    }
    await build(app, hook, define, async app => { await app.register(coalesce, { clock, metrics: { path: false } }) })
    await app.listen({ port: 0, host: '127.0.0.1' })
    t.teardown(async () => { await app.close() })
    const { port } = app.addresses()[0] as { port: number }
    let arrived = 0
    app.server.on('request', () => { arrived++ })
    const leader = bytes(port, asking())
    await until(() => arrived === 1, 'the leader')
    const follower = bytes(port, asking())
    await until(() => arrived === 2, 'the follower')
    opening.open()
    for (const answer of [await leader, await follower, await bytes(port, asking())]) t.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*x-hook: \d[^]*\r\n\r\nhello!$/)
    t.equal(changed, 3)
  })
}
