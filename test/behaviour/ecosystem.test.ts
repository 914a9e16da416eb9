/**
 * Life with other plugins: each is registered before and after this one, and each client of a burst is given what it would
 * be given without coalescing.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import accepts from '@fastify/accepts'
import auth from '@fastify/auth'
import basicAuth from '@fastify/basic-auth'
import bearerAuth from '@fastify/bearer-auth'
import caching from '@fastify/caching'
import circuitBreaker from '@fastify/circuit-breaker'
import compress from '@fastify/compress'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import etag from '@fastify/etag'
import formbody from '@fastify/formbody'
import helmet from '@fastify/helmet'
import jwt from '@fastify/jwt'
import multipart from '@fastify/multipart'
import rateLimit from '@fastify/rate-limit'
import { fastifyRequestContext } from '@fastify/request-context'
import sensible from '@fastify/sensible'
import session from '@fastify/session'
import staticFiles from '@fastify/static'
import swagger from '@fastify/swagger'
import underPressure from '@fastify/under-pressure'
import view from '@fastify/view'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { gate, PATIENCE, until } from '../fixtures/gate.js'
import { lines } from '../fixtures/lines.js'
import { listen, metric, type Answer, type GetOptions } from '../fixtures/server.js'

// Plugins of many makes: their own types for what they add to Fastify are not the point here.

type Anything = any

interface Case {
  readonly register: (app: Anything) => unknown
  /** What the handler does once the clients have met. */
  readonly answer?: (request: Anything, reply: Anything) => unknown
  readonly route?: Record<string, unknown> | ((app: Anything) => Record<string, unknown>)
  readonly config?: CoalesceRouteOptions | true
  readonly clients: readonly GetOptions[]
  /** Runs of the handler for all clients, and why if it is not 1. */
  readonly runs: number
  /** Headers that differ between any two responses. */
  readonly differs?: readonly string[]
}

const ejs = createRequire(import.meta.url)('ejs') as object
const folder = mkdtempSync(join(tmpdir(), 'coalesce-ecosystem-'))
writeFileSync(join(folder, 'file.txt'), 'a file\n'.repeat(500))
writeFileSync(join(folder, 'page.ejs'), '<p><%= word %></p>')
t.teardown(() => { rmSync(folder, { recursive: true }) })

const TEXT = 'serendipity '.repeat(500)
const anonymous: GetOptions[] = [{}, {}, {}, {}]
const headers = (...all: Array<Record<string, string>>): GetOptions[] => all.map(each => ({ headers: each }))
const basic = (name: string): string => `Basic ${Buffer.from(`${name}:secret`).toString('base64')}`
const SECRET = 'a secret of more than thirty-two characters'
// {"sub":"ada"} and {"sub":"grace"}, signed by the app at its boot.
const tokens: Record<string, string> = {}

const cases: Record<string, Case> = {
  accepts: { register: app => app.register(accepts), answer: request => request.accepts().type(['json', 'html']), clients: headers({ accept: 'text/html' }, { accept: 'application/json' }, { accept: 'text/html' }), runs: 2 },
  auth: {
    register: app => app.register(auth),
    route: app => ({ preHandler: app.auth([async (request: FastifyRequest) => { if (request.headers['x-user'] === undefined) throw new Error('who are you?') }]) }),
    // What a hook reads may be what the handler answers with.
    clients: headers({ 'x-user': 'ada' }, {}, { 'x-user': 'grace' }, { 'x-user': 'ada' }),
    runs: 2
  },
  'basic-auth': {
    register: app => app.register(basicAuth, { validate: async (name: string, _password: string, request: Anything) => { if (name === 'nobody') throw new Error('no'); request.user = name }, authenticate: true }),
    route: app => ({ onRequest: app.basicAuth }),
    answer: request => request.user,
    config: { identity: (request: Anything) => request.user },
    clients: headers({ authorization: basic('ada') }, { authorization: basic('grace') }, { authorization: basic('ada') }, { authorization: basic('nobody') }),
    runs: 2
  },
  'bearer-auth': {
    register: app => app.register(bearerAuth, { keys: new Set(['a', 'b']), addHook: 'onRequest' }),
    config: { headers: ['authorization'] },
    clients: headers({ authorization: 'Bearer a' }, { authorization: 'Bearer b' }, { authorization: 'Bearer a' }, {}, { authorization: 'Bearer c' }),
    runs: 2
  },
  caching: { register: app => app.register(caching, { expiresIn: 300, privacy: 'public' }), clients: anonymous, runs: 1 },
  'circuit-breaker': { register: app => app.register(circuitBreaker), route: app => ({ preHandler: app.circuitBreaker() }), clients: anonymous, runs: 1 },
  compress: { register: app => app.register(compress, { threshold: 0 }), clients: headers({ 'accept-encoding': 'gzip' }, { 'accept-encoding': 'br' }, {}, { 'accept-encoding': 'zstd' }, { 'accept-encoding': 'gzip, br' }), runs: 1 },
  'compress, of a stream': {
    register: app => app.register(compress, { threshold: 0 }),
    answer: (_request, reply) => reply.type('text/plain').send(Readable.from([TEXT])),
    clients: headers({ 'accept-encoding': 'gzip' }, { 'accept-encoding': 'br' }, {}, { 'accept-encoding': 'gzip' }),
    runs: 1
  },
  cookie: {
    register: app => app.register(cookie),
    answer: request => request.cookies.theme ?? 'none',
    config: { cookies: ['theme'] },
    clients: headers({ cookie: 'theme=dark' }, { cookie: 'theme=light' }, {}, { cookie: 'theme=dark' }),
    runs: 3
  },
  cors: { register: app => app.register(cors, { origin: 'https://a.example', credentials: true }), clients: headers({ origin: 'https://a.example' }, { origin: 'https://b.example' }, {}), runs: 1 },
  // With more than one origin it says Vary: Origin, so that there is one run for each.
  'cors, several origins': { register: app => app.register(cors, { origin: [/\.example$/] }), clients: headers({ origin: 'https://a.example' }, { origin: 'https://b.example' }, { origin: 'https://a.example' }, {}), runs: 3 },
  etag: { register: app => app.register(etag), clients: anonymous, runs: 1 },
  formbody: { register: app => app.register(formbody), answer: request => request.body.q, config: { body: true }, clients: ['a', 'b', 'a'].map(q => ({ method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: `q=${q}` })), runs: 2 },
  helmet: { register: app => app.register(helmet, { enableCSPNonces: true }), clients: anonymous, runs: 1, differs: ['content-security-policy'] },
  jwt: {
    register: async app => {
      await app.register(jwt, { secret: SECRET })
      for (const sub of ['ada', 'grace']) tokens[sub] = app.jwt.sign({ sub, iat: 1 })
    },
    route: { onRequest: (request: Anything) => request.jwtVerify() },
    answer: request => request.user.sub,
    config: { identity: (request: Anything) => request.user.sub },
    clients: ['ada', 'grace', 'ada', undefined].map(sub => ({ get headers () { return sub === undefined ? {} : { authorization: `Bearer ${tokens[sub]}` } } })),
    runs: 2
  },
  // A file part has no form to compare: each upload runs by itself.
  multipart: {
    register: app => app.register(multipart),
    answer: async request => (await (await request.file()).toBuffer()).toString(),
    config: { body: true },
    clients: ['a', 'a'].map(text => ({ method: 'POST', headers: { 'content-type': 'multipart/form-data; boundary=x' }, body: `--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n${text}\r\n--x--\r\n` })),
    runs: 2
  },
  'rate-limit': { register: app => app.register(rateLimit, { max: 2, keyGenerator: (request: FastifyRequest) => String(request.headers['x-real-ip']) }), clients: headers({ 'x-real-ip': 'a' }, { 'x-real-ip': 'a' }, { 'x-real-ip': 'a' }, { 'x-real-ip': 'b' }), runs: 1, differs: ['x-ratelimit-reset', 'retry-after'] },
  'request-context': {
    register: async app => {
      await app.register(fastifyRequestContext)
      app.addHook('onRequest', async (request: Anything) => { request.requestContext.set('client', request.headers['x-client']) })
      app.addHook('onSend', async (request: Anything, reply: FastifyReply) => { reply.header('x-seen', request.requestContext.get('client')) })
    },
    clients: headers({ 'x-client': 'a' }, { 'x-client': 'b' }, { 'x-client': 'a' }),
    runs: 2
  },
  sensible: { register: app => app.register(sensible), answer: (_request, reply) => { reply.cacheControl('max-age', 60); reply.vary('accept-language'); return reply.notFound('no such word') }, clients: anonymous, runs: 1 },
  // Each session is a client's own: its cookie is a credential, and a response that sets one is its client's.
  session: {
    register: async app => { await app.register(cookie); await app.register(session, { secret: SECRET, cookie: { secure: false } }) },
    answer: request => { request.session.seen = true; return 'seen' },
    clients: anonymous,
    runs: 4,
    differs: ['set-cookie']
  },
  static: { register: app => app.register(staticFiles, { root: folder, serve: false }), answer: (_request, reply) => reply.sendFile('file.txt'), config: { learnVary: false }, clients: anonymous, runs: 1 },
  swagger: { register: app => app.register(swagger), route: { schema: { summary: 'A word' } }, answer: (_request, reply) => reply.server.swagger().paths, clients: anonymous, runs: 1 },
  'under-pressure': { register: app => app.register(underPressure, { maxHeapUsedBytes: 1e12 }), clients: anonymous, runs: 1 },
  view: { register: app => app.register(view, { engine: { ejs }, root: folder }), answer: (_request, reply) => reply.view('page.ejs', { word: 'serendipity' }), clients: anonymous, runs: 1 },
  websocket: { register: app => app.register(websocket), clients: anonymous, runs: 1 }
}

type Order = 'before' | 'after' | 'without'

/** What the clients of a case are given who have all met before the handler answers. */
async function burst (t: Anything, plugin: Case, order: Order): Promise<{ answers: Answer[], runs: number, warnings: unknown[] }> {
  const log = lines('warn')
  const app: Anything = Fastify({ logger: log.logger })
  if (order === 'after') await app.register(coalesce, { metrics: { path: false } })
  await plugin.register(app)
  if (order === 'before') await app.register(coalesce, { metrics: { path: false } })
  const opening = gate()
  let runs = 0
  let arrived = 0
  let answered = 0
  const method = plugin.clients[0]?.method ?? 'GET'
  await app.after()
  const route = typeof plugin.route === 'function' ? plugin.route(app) : plugin.route
  app.route({
    method,
    url: '/',
    ...route,
    config: order === 'without' ? {} : { coalesce: plugin.config ?? true },
    handler: async (request: FastifyRequest, reply: FastifyReply) => {
      runs++
      await opening.promise
      return await (plugin.answer === undefined ? TEXT : plugin.answer(request, reply))
    }
  })
  const server = await listen(t, app as FastifyInstance)
  app.server.on('request', () => { arrived++ })
  const asked: Array<Promise<Answer>> = []
  for (const [index, client] of plugin.clients.entries()) {
    const pending = server.get('/', client)
    pending.then(() => { answered++ }, () => {})
    asked.push(pending)
    // One after the other, so that rate limits and the like fall upon the same clients in every order.
    await until(() => arrived > index, 'the arrival of a request')
  }
  // Each is at the handler, waits for it, or did not pass its own gates.
  const deadline = performance.now() + PATIENCE
  while (runs + answered + (order === 'without' ? 0 : await metric(app, 'coalesce_waiters')) < asked.length) {
    if (performance.now() > deadline) throw new Error('not all clients met')
    await new Promise(resolve => setImmediate(resolve))
  }
  opening.open()
  const answers = await Promise.all(asked)
  return { answers, runs, warnings: log.coalesce().map(({ coalesce, msg }) => ({ ...coalesce, msg })) }
}

for (const [name, plugin] of Object.entries(cases)) {
  t.test(`@fastify/${name}`, async t => {
    const comparable = ({ status, headers, body }: Answer): unknown => {
      const { date, ...rest } = headers
      for (const field of plugin.differs ?? []) if (rest[field] !== undefined) rest[field] = 'differs' as never
      // A known length is another framing of the same bytes; they are compared themselves.
      delete rest['content-length']
      delete rest['transfer-encoding']
      return { status, headers: rest, body }
    }
    const alone = await burst(t, plugin, 'without')
    for (const order of ['before', 'after'] as const) {
      const together = await burst(t, plugin, order)
      t.strictSame(together.answers.map(comparable), alone.answers.map(comparable), `${order}: each client's own reply`)
      t.equal(together.runs, plugin.runs, `${order}: runs`)
      t.same(together.warnings, [], `${order}: nothing is warned of`)
    }
    t.ok(alone.runs >= plugin.runs, 'without coalescing there are no fewer runs')
  })
}
