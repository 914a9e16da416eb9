import { AsyncLocalStorage } from 'node:async_hooks'
import cors from '@fastify/cors'
import rateLimit from '@fastify/rate-limit'
import { fastifyRequestContext } from '@fastify/request-context'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { distinct, held, meet, queue, times } from '../fixtures/crowd.js'
import { lines, DEBUG, WARN } from '../fixtures/lines.js'
import { listen, metric, serve } from '../fixtures/server.js'

declare module '@fastify/request-context' {
  interface RequestContextData {
    client: string
  }
}

const ON = { config: { coalesce: true } }
const pass = async (): Promise<void> => {}

/** Where the routes of an app park and why, as its log tells at boot. */
async function placesOf (
  build: (app: FastifyInstance) => unknown,
  before: (app: FastifyInstance) => unknown = () => {}
): Promise<Record<string, unknown>> {
  const log = lines()
  const app = Fastify({ logger: log.logger }) as unknown as FastifyInstance
  await before(app)
  await app.register(coalesce)
  await build(app)
  await app.ready()
  await app.close()
  return Object.fromEntries(log.all.filter(({ msg }) => msg === 'coalesce route')
    .map(({ coalesce }) => [coalesce?.route, [coalesce?.hook, coalesce?.why]]))
}

t.test("'auto' parks at onRequest where nothing stands between it and the handler", async t => {
  const places = await placesOf(app => {
    app.addHook('onRequest', pass)
    app.addHook('preSerialization', async (_request, _reply, payload) => payload)
    app.addHook('onSend', async (_request, _reply, payload) => payload)
    app.addHook('onResponse', pass)
    app.get('/plain', ON, async () => 'fine')
    app.get('/own-hooks', { ...ON, onRequest: pass, onSend: async (_request, _reply, payload) => payload }, async () => 'fine')
    app.get('/response-schema', { ...ON, schema: { response: { 200: { type: 'string' } } } }, async () => 'fine')
  })
  const free = ['onRequest', 'there are no later gates']
  t.strictSame(places, Object.fromEntries(['/plain', '/own-hooks', '/response-schema'].flatMap(path => [[`HEAD ${path}`, free], [`GET ${path}`, free]])))
})

t.test("'auto' parks before the handler where a gate of the route stands", async t => {
  const get = (options: object) => (app: FastifyInstance) => { app.get('/', { exposeHeadRoute: false, ...ON, ...options }, async () => 'fine') }
  const gates: ReadonlyArray<readonly [string, object]> = [
    ['preParsing', { preParsing: async (_request: unknown, _reply: unknown, payload: unknown) => payload }],
    ['preValidation', { preValidation: [pass] }],
    ['preHandler', { preHandler: pass }],
    ['schema', { schema: { querystring: { type: 'object' } } }],
    ['schema', { schema: { params: { type: 'object' } } }],
    ['schema', { schema: { headers: { type: 'object' } } }],
    ['preValidation, preHandler, schema', { preValidation: pass, preHandler: [pass, pass], schema: { querystring: { type: 'object' } } }]
  ]
  const places = await Promise.all(gates.map(async ([, options]) => (await placesOf(get(options)))['GET /']))
  t.strictSame(places, gates.map(([gate]) => ['preHandler', `there are gates: ${gate}`]))
})

t.test("'auto' sees an instance's gates wherever they were registered", async t => {
  const route = (app: FastifyInstance) => { app.get('/', { exposeHeadRoute: false, ...ON }, async () => 'fine') }
  const gate = (app: FastifyInstance) => { app.addHook('preHandler', pass) }
  const gated = ['preHandler', 'there are gates: preHandler']
  t.strictSame(await placesOf(route, gate), { 'GET /': gated }, 'before the plugin')
  t.strictSame(await placesOf(app => { gate(app); route(app) }), { 'GET /': gated }, 'after the plugin')
  t.strictSame(await placesOf(app => { route(app); gate(app) }), { 'GET /': gated }, 'after the route')
  t.strictSame(await placesOf(async app => { route(app); await app.register(fp(async inner => { gate(inner) })) }), { 'GET /': gated },
    'by a later plugin')
  t.strictSame(await placesOf(async app => { await app.register(async inner => { gate(inner); route(inner) }) }), { 'GET /': gated },
    'in a child context')
  t.strictSame(await placesOf(async app => { await app.register(async inner => { gate(inner) }); route(app) }),
    { 'GET /': ['onRequest', 'there are no later gates'] }, 'in a context that the route is not in')
})

t.test("'auto' sees what a later plugin puts on the route in its onRoute hook", async t => {
  type Change = (options: { onRequest?: unknown, preHandler?: unknown, handler: unknown }) => void
  const build = (change: Change) => async (app: FastifyInstance) => {
    app.addHook('onRoute', options => { change(options) })
    app.get('/', { exposeHeadRoute: false, ...ON }, async () => 'fine')
  }
  const place = async (change: Change): Promise<unknown> => (await placesOf(build(change)))['GET /']
  t.strictSame(await place(options => { options.onRequest = [...options.onRequest as unknown[], pass] }), ['preHandler', 'there are gates: onRequest'])
  t.strictSame(await place(options => { options.preHandler = pass }), ['preHandler', 'there are gates: preHandler'])
  t.strictSame(await place(options => {
    const own = options.handler as (request: FastifyRequest, reply: FastifyReply) => unknown
    options.handler = function (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
      return own.call(this, request, reply)
    }
  }), ['preHandler', 'there are gates: handler'])
})

t.test('the hook option forces a place, and forcing followers past a gate is warned of', async t => {
  const log = lines()
  const choose = (hook: CoalesceRouteOptions['hook']) => ({ exposeHeadRoute: false, config: { coalesce: { hook } } })
  const app = Fastify({ logger: log.logger })
  await app.register(coalesce)
  app.get('/late', choose('preHandler'), async () => 'fine')
  app.get('/early', choose('onRequest'), async () => 'fine')
  app.get('/past', { ...choose('onRequest'), preHandler: pass, schema: { querystring: { type: 'object' } } }, async () => 'fine')
  await app.ready()
  await app.close()
  t.strictSame(log.coalesce().map(({ level, coalesce }) => [level, coalesce]), [
    [DEBUG, { route: 'GET /late', hook: 'preHandler', why: 'the hook option' }],
    [DEBUG, { route: 'GET /early', hook: 'onRequest', why: 'the hook option' }],
    [DEBUG, { route: 'GET /past', hook: 'onRequest', why: 'the hook option' }],
    [WARN, { event: 'skips-gates', route: 'GET /past', hook: 'onRequest', skips: ['preHandler', 'schema'] }]
  ])
})

t.test("hook: 'onRequest' lets followers skip the gates that follow, as its documentation says", async t => {
  const handler = held()
  const passed: string[] = []
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { hook: 'onRequest' } }, preHandler: async request => { passed.push(request.id) } }, handler)
  })
  await meet(server, handler, times(3, server, '/'))
  t.strictSame([handler.runs, passed.length], [1, 1])
})

/** A gate that asks for a token that is not a credential by name. */
const gatekeeper = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> =>
  request.headers['x-token'] === 'good' ? undefined : await reply.code(401).send({ error: 'who are you?' })

for (const name of ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const) {
  const places: ReadonlyArray<readonly [string, (app: FastifyInstance) => void, object]> = [
    ['of the instance, before the route', app => { (app.addHook as (name: string, hook: unknown) => void)(name, gatekeeper) }, {}],
    ['of the route', () => {}, { [name]: gatekeeper }]
  ]
  for (const [place, before, options] of places) {
    t.test(`a follower that ${name} ${place} refuses does not get the leader's response`, async t => {
      const handler = held(() => 'secret')
      const server = await serve(t, app => {
        before(app)
        app.get('/', { ...ON, ...options }, handler)
      })
      const ask = (token: string) => () => server.get('/', { headers: { 'x-token': token } })
      const [leader] = await queue(server, [ask('good')])
      const refused = await ask('bad')()
      t.strictSame([refused.status, refused.body], [401, '{"error":"who are you?"}'])
      const answers = await meet(server, handler, [ask('good'), ask('good')])
      t.strictSame([(await leader)?.body, ...answers.map(({ body }) => body)], ['secret', 'secret', 'secret'])
      t.equal(handler.runs, 1)
    })
  }
}

t.test('a gate of the instance that is registered after the route runs for every client', async t => {
  const handler = held(() => 'secret')
  const server = await serve(t, app => {
    app.get('/', ON, handler)
    app.addHook('onRequest', gatekeeper)
  })
  const [leader] = await queue(server, [() => server.get('/', { headers: { 'x-token': 'good' } })])
  t.equal((await server.get('/')).status, 401)
  handler.gate.open()
  t.equal((await leader)?.body, 'secret')
})

t.test('validation runs for every client', async t => {
  const handler = held(request => request.query)
  const server = await serve(t, app => {
    const headers = { type: 'object', properties: { 'x-count': { type: 'integer' } } }
    app.get('/', { ...ON, schema: { headers } }, handler)
  })
  const ask = (count: string) => () => server.get('/', { headers: { 'x-count': count } })
  const leader = await queue(server, [ask('1')])
  t.equal((await ask('many')()).status, 400)
  await meet(server, handler, [ask('2')])
  t.equal((await leader[0])?.status, 200)
  t.equal(handler.runs, 1)
})

for (const when of ['before', 'after'] as const) {
  t.test(`a rate limit that is registered ${when} the plugin counts every client`, async t => {
    const handler = held()
    const app = Fastify() as unknown as FastifyInstance
    const limit = async (): Promise<unknown> => await app.register(rateLimit, { max: 3, timeWindow: '1 minute' })
    if (when === 'before') await limit()
    await app.register(coalesce, { metrics: true })
    if (when === 'after') await limit()
    app.get('/', ON, handler)
    const server = await listen(t, app)
    const waiting = await queue(server, times(3, server, '/'))
    const refused = await Promise.all(times(2, server, '/').map(send => send()))
    t.strictSame(refused.map(({ status }) => status), [429, 429])
    handler.gate.open()
    const answers = await Promise.all(waiting)
    t.strictSame(answers.map(({ status, headers }) => [status, headers['x-ratelimit-remaining']]), [[200, '2'], [200, '1'], [200, '0']])
    t.equal(handler.runs, 1)
  })
}

t.test('what hooks set for a client stays that client\'s', async t => {
  const handler = held((_request, reply) => {
    reply.header('x-from-handler', 'one run')
    return 'shared'
  })
  const server = await serve(t, app => {
    app.addHook('onRequest', async (request, reply) => {
      reply.headers({ 'x-request-id': request.headers['x-request-id'], 'x-frame-options': 'DENY' })
    })
    app.addHook('onSend', async (request, reply, payload) => {
      reply.header('x-sent-to', request.headers['x-request-id'])
      return payload
    })
    app.get('/', ON, handler)
  })
  const answers = await meet(server, handler, ['a', 'b', 'c'].map(client => () => server.get('/', { headers: { 'x-request-id': client } })))
  t.strictSame(answers.map(({ headers, body }) => [headers['x-request-id'], headers['x-frame-options'], headers['x-sent-to'], headers['x-from-handler'], body]),
    ['a', 'b', 'c'].map(client => [client, 'DENY', client, 'one run', 'shared']))
  t.equal(handler.runs, 1)
})

t.test('an onSend hook of a child context, and a route\'s own, run for every client', async t => {
  const handler = held(() => 'body')
  const server = await serve(t, async app => {
    await app.register(async inner => {
      inner.addHook('onSend', async (request, _reply, payload) => `${String(payload)} for ${String(request.headers['x-request-id'])}`)
      inner.get('/', { ...ON, onSend: async (_request, _reply, payload) => `<${String(payload)}>` }, handler)
    })
  })
  const answers = await meet(server, handler, ['a', 'b'].map(client => () => server.get('/', { headers: { 'x-request-id': client } })))
  t.strictSame(answers.map(({ body }) => body), ['<body for a>', '<body for b>'])
  t.equal(handler.runs, 1)
})

t.test('headers that the handler changes or removes are changed and removed for all', async t => {
  const handler = held((_request, reply) => {
    reply.removeHeader('x-powered-by').header('x-level', 'handler').type('text/csv')
    return 'a,b'
  })
  const server = await serve(t, app => {
    app.addHook('onRequest', async (_request, reply) => { reply.headers({ 'x-powered-by': 'hook', 'x-level': 'hook', 'x-kept': 'hook' }) })
    app.get('/', ON, handler)
  })
  const answers = await meet(server, handler, times(3, server, '/'))
  t.strictSame(distinct(answers.map(({ headers }) => [headers['x-powered-by'], headers['x-level'], headers['x-kept'], headers['content-type']])),
    [[undefined, 'handler', 'hook', 'text/csv']])
  t.equal(handler.runs, 1)
})

for (const when of ['before', 'after'] as const) {
  t.test(`CORS headers are each client's own, with @fastify/cors registered ${when} the plugin`, async t => {
    const handler = held(() => 'shared')
    const app = Fastify() as unknown as FastifyInstance
    if (when === 'before') await app.register(cors, { origin: true })
    await app.register(coalesce, { metrics: true })
    if (when === 'after') await app.register(cors, { origin: true })
    app.get('/', ON, handler)
    const server = await listen(t, app)
    const origins = ['https://a.example', 'https://b.example', 'https://a.example']
    const answers = await meet(server, handler, origins.map(origin => () => server.get('/', { headers: { origin } })))
    t.strictSame(answers.map(({ headers, body }) => [headers['access-control-allow-origin'], body]), origins.map(origin => [origin, 'shared']))
    t.ok(handler.runs <= 2, 'no more than one run an origin')
  })
}

for (const hook of ['onRequest', 'preHandler'] as const) {
  t.test(`each client's asynchronous context is its own after a wait at ${hook}`, async t => {
    const clients = new AsyncLocalStorage<string>()
    const handler = held()
    const seen: unknown[] = []
    const server = await serve(t, async app => {
      // First: the plugin returns to the context that it found.
      app.addHook('onRequest', (request, _reply, done) => { clients.run(String(request.headers['x-request-id']), done) })
      await app.register(fastifyRequestContext)
      app.addHook('onRequest', async request => { request.requestContext.set('client', String(request.headers['x-request-id'])) })
      app.get('/', {
        config: { coalesce: { hook } },
        onSend: async (request, _reply, payload) => {
          seen.push([request.headers['x-request-id'], request.requestContext.get('client'), clients.getStore()])
          return payload
        }
      }, handler)
    })
    await meet(server, handler, ['a', 'b', 'c'].map(client => () => server.get('/', { headers: { 'x-request-id': client } })))
    t.same(new Set(seen.map(each => JSON.stringify(each))), new Set(['a', 'b', 'c'].map(client => JSON.stringify([client, client, client]))))
    t.equal(handler.runs, 1)
  })

  t.test(`who runs for itself after a wait at ${hook} does so in its own asynchronous context`, async t => {
    const clients = new AsyncLocalStorage<string>()
    const handler = held((_request, reply) => {
      reply.header('cache-control', 'private')
      return [clients.getStore()]
    })
    const server = await serve(t, app => {
      app.addHook('onRequest', (request, _reply, done) => { clients.run(String(request.headers['x-request-id']), done) })
      app.get('/', { config: { coalesce: { hook } } }, handler)
    })
    const answers = await meet(server, handler, ['a', 'b', 'c'].map(client => () => server.get('/', { headers: { 'x-request-id': client } })))
    t.strictSame(answers.map(({ body }) => body), ['a', 'b', 'c'].map(client => JSON.stringify([client])))
    t.equal(await metric(server.app, 'coalesce_requests_total', { outcome: 'alone', reason: 'private' }), 2)
  })
}
