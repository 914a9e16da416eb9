/**
 * An app as people have it: twenty official plugins at once, and ten typical routes. Each shares what the table of reasons says that it
 * shares, and nothing is warned of that is well.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import accepts from '@fastify/accepts'
import auth from '@fastify/auth'
import basicAuth from '@fastify/basic-auth'
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
import replyFrom from '@fastify/reply-from'
import { fastifyRequestContext } from '@fastify/request-context'
import sensible from '@fastify/sensible'
import session from '@fastify/session'
import staticFiles from '@fastify/static'
import swagger from '@fastify/swagger'
import underPressure from '@fastify/under-pressure'
import view from '@fastify/view'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { gate, until, type Gate } from '../fixtures/gate.js'
import { lines, WARN } from '../fixtures/lines.js'
import { listen, type GetOptions } from '../fixtures/server.js'

// Plugins of many makes: their own types for what they add to Fastify are not the point here.

type Anything = any

const CLIENTS = 6
const SECRET = 'a secret of more than thirty-two characters'
const ejs = createRequire(import.meta.url)('ejs') as object
const folder = mkdtempSync(join(tmpdir(), 'coalesce-twenty-'))
writeFileSync(join(folder, 'file.txt'), 'a file\n'.repeat(500))
writeFileSync(join(folder, 'page.ejs'), '<p><%= word %></p>')
t.teardown(() => { rmSync(folder, { recursive: true }) })

const plugins: ReadonlyArray<readonly [plugin: unknown, options?: object]> = [
  [accepts], [auth], [basicAuth, { validate: async () => {} }], [caching, { privacy: 'public', expiresIn: 60 }], [circuitBreaker],
  [compress, { threshold: 0 }], [cookie], [cors, { origin: 'https://a.example' }], [etag], [formbody], [helmet], [jwt, { secret: SECRET }],
  [multipart], [rateLimit, { max: 10_000 }], [replyFrom], [fastifyRequestContext], [sensible],
  [session, { secret: SECRET, saveUninitialized: false, rolling: false }], [staticFiles, { root: folder, serve: false }],
  [swagger, { openapi: {} }], [underPressure, { maxEventLoopDelay: 0 }], [view, { engine: { ejs }, root: folder }], [websocket]
]

interface Route {
  readonly method?: 'GET' | 'POST'
  readonly url: string
  readonly path?: string
  readonly config?: CoalesceRouteOptions | true
  readonly options?: (app: Anything) => Record<string, unknown>
  readonly answer: (request: Anything, reply: Anything) => unknown
  readonly client?: (index: number, app: Anything) => GetOptions
  /** How many runs that is, and the reasons that are told of all clients. */
  readonly runs: number
  readonly reasons: readonly string[]
}

const SHARED = ['follower shared', 'leader shared']

const routes: readonly Route[] = [
  { url: '/words', answer: () => [{ word: 'serendipity' }], runs: 1, reasons: SHARED },
  {
    url: '/words/:id',
    path: '/words/7',
    options: () => ({ schema: { params: { type: 'object', properties: { id: { type: 'integer' } } }, response: { 200: { type: 'object', properties: { id: { type: 'integer' } } } } } }),
    answer: request => ({ id: request.params.id }),
    runs: 1,
    reasons: SHARED
  },
  { url: '/search', path: '/search?q=a&page=1', answer: request => request.query, client: index => index % 2 === 0 ? {} : { headers: { origin: 'https://a.example' } }, runs: 1, reasons: SHARED },
  { url: '/page', answer: (_request, reply) => reply.viewAsync('page.ejs', { word: 'serendipity' }), runs: 1, reasons: SHARED },
  { url: '/download', config: { learnVary: false }, answer: (_request, reply) => reply.sendFile('file.txt'), runs: 1, reasons: SHARED },
  { url: '/report', answer: (_request, reply) => reply.type('text/csv').send(Readable.from(['a,b\n', '1,2\n'])), client: index => ({ headers: { 'accept-encoding': ['gzip', 'br', 'identity'][index % 3] as string } }), runs: 1, reasons: SHARED },
  {
    url: '/me',
    config: { identity: request => (request as Anything).user?.sub },
    options: () => ({ onRequest: async (request: Anything) => { await request.jwtVerify() } }),
    answer: request => `the account of ${request.user.sub}`,
    client: (index, app) => ({ headers: { authorization: `Bearer ${app.jwt.sign({ sub: index % 2 === 0 ? 'ada' : 'grace', iat: 1 })}` } }),
    runs: 2,
    reasons: SHARED
  },
  { method: 'POST', url: '/lookup', config: { body: true }, answer: request => request.body.q, client: () => ({ method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'q=a' }), runs: 1, reasons: SHARED },
  { url: '/negotiated', answer: request => request.accepts().type(['json', 'html']), client: index => ({ headers: { accept: index % 2 === 0 ? 'text/html' : 'application/json' } }), runs: 2, reasons: ['follower shared', 'leader shared'] },
  { url: '/guarded', options: app => ({ preHandler: app.circuitBreaker() }), answer: () => 'guarded', runs: 1, reasons: SHARED }
]

async function build (first: boolean, held: { gate: Gate, runs: number }, told: string[], logger: object): Promise<FastifyInstance> {
  const app: Anything = Fastify({ logger })
  if (first) await app.register(coalesce)
  for (const [plugin, options] of plugins) await app.register(plugin, options)
  if (!first) await app.register(coalesce)
  app.addHook('onResponse', async (request: Anything) => { told.push(`${request.coalesce?.outcome} ${request.coalesce?.reason}`) })
  for (const { method = 'GET', url, config = true, options, answer } of routes) {
    app.route({
      method,
      url,
      ...options?.(app),
      config: { coalesce: config },
      handler: async (request: Anything, reply: Anything) => {
        held.runs++
        await held.gate.promise
        return answer(request, reply)
      }
    })
  }
  return app as FastifyInstance
}

for (const first of [true, false]) {
  t.test(`with twenty plugins registered ${first ? 'after' : 'before'} this one, ten typical routes share as they should, and nothing is warned of`, async t => {
    t.ok(plugins.length >= 20)
    const log = lines()
    const told: string[] = []
    const held = { gate: gate(), runs: 0 }
    const app = await build(first, held, told, log.logger)
    const server = await listen(t, app)
    for (const { method = 'GET', url, path = url, client, runs, reasons } of routes) {
      const name = `${method} ${url}`
      Object.assign(held, { gate: gate(), runs: 0 })
      told.length = 0
      const before = app.coalesce.stats().totalRequests
      const answers = Array.from({ length: CLIENTS }, (_, index) => server.get(path, client?.(index, app)))
      await server.arrived(before + CLIENTS)
      held.gate.open()
      const statuses = (await Promise.all(answers)).map(({ status }) => status)
      await until(() => told.length === CLIENTS, `${name} told of`)
      t.same([...new Set(statuses)], [200], name)
      t.equal(held.runs, runs, `runs of ${name}`)
      t.same([...new Set(told)].sort(), reasons, `reasons of ${name}`)
    }
    t.same(log.coalesce().filter(({ level }) => level >= WARN).map(({ coalesce, msg }) => ({ ...coalesce, msg })), [])
  })
}
