/**
 * "Whether hooks of others see a response or not, a client is given the same bytes": what is replayed on a route without `onSend` hooks of
 * others, and on one that has such a hook, which changes nothing.
 *
 * Each case is run for a follower and for a hit, on both roads. What comes over the socket is compared with test/fixtures/both-roads.txt, which
 * `ROADS=write node --import ./test/typescript.js test/behaviour/both-roads.test.ts` writes anew, as it comes on the road with hooks.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerOptions, type onSendHookHandler } from 'fastify'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'
import { grounded, outcomes } from '../fixtures/endings.js'
import { gate, TestClock } from '../fixtures/gate.js'
import { listen, type TestServer } from '../fixtures/server.js'

const ROADS = ['fast', 'hooks'] as const
type Road = typeof ROADS[number]

const THEN = 'Sun, 06 Nov 1994 08:49:37 GMT'
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
  for await (const chunk of socket.setEncoding('latin1')) {
    received += chunk as string
    if (enough !== undefined && received.includes(enough)) break
  }
  socket.destroy()
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
  'an object': { handler: () => ({ hello: 'world' }) },
  'a string': { handler: () => 'hello' },
  'a string that is not ASCII': { handler: () => 'Übergröße 🐘' },
  'a Buffer': { handler: () => BINARY },
  'a Buffer with a type': { handler: (_request, reply) => reply.type('image/png').send(BINARY) },
  'an empty string': { handler: (_request, reply) => reply.type('text/plain').send('') },
  'an empty Buffer': { handler: () => Buffer.alloc(0) },
  'a stream that has ended': { handler: (_request, reply) => reply.type('text/plain').send(Readable.from(['one ', 'two'])) },
  'a response of the Web': { handler: () => new Response('hello', { headers: { 'content-type': 'text/plain', 'x-web': 'yes' } }) },
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
  'a redirect': { handler: (_request, reply) => reply.redirect('/elsewhere', 301) },
  'a 404 of the handler': { handler: (_request, reply) => reply.code(404).send({ error: 'not here' }) },
  'a 203': { handler: (_request, reply) => reply.code(203).send('hello') },
  'a status with Cache-Status': { route: { cacheStatus: true }, handler: () => 'hello' },
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
