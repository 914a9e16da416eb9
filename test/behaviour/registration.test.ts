import compress from '@fastify/compress'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import { WebSocket } from 'undici'
import coalesce, { errors } from '../../lib/index.js'
import type { CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'
import { arrivedAt, distinct, errorOf, held, meet, times } from '../fixtures/crowd.js'
import { listen, serve } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }

t.test('a route coalesces whether or not the registration is awaited', async t => {
  for (const awaited of [true, false]) {
    await t.test(awaited ? 'awaited' : 'not awaited', async t => {
      const handler = held()
      const app = Fastify()
      const registration = app.register(coalesce)
      if (awaited) await registration
      // Without the await, routes must come in a plugin, as with every plugin of Fastify's.
      if (awaited) app.get('/', ON, handler)
      else app.register((inner, _options, done) => { inner.get('/', ON, handler); done() })
      const server = await listen(t, app)
      const answers = await meet(server, handler, times(3, server, '/'))
      t.equal(handler.runs, 1)
      t.strictSame(answers.map(({ body }) => body), Array(3).fill('{"hello":"world"}'))
    })
  }
})

t.test('routes of later plugins coalesce, however deep, with their prefix', async t => {
  const shallow = held()
  const deep = held()
  const server = await serve(t, async app => {
    await app.register(async inner => {
      inner.get('/word', ON, shallow)
      await inner.register(async innermost => { innermost.get('/word', ON, deep) }, { prefix: '/deep' })
    }, { prefix: '/api' })
  })
  await meet(server, shallow, times(3, server, '/api/word'))
  await meet(server, deep, times(3, server, '/api/deep/word'))
  t.strictSame([shallow.runs, deep.runs], [1, 1])
  t.strictSame(server.app.coalesce.stats().routes.filter(({ method }) => method === 'GET').map(({ route, totalRequests }) => [route, totalRequests]),
    [['/api/word', 3], ['/api/deep/word', 3]])
})

t.test('the plugin registers with a prefix of its own and applies to the context around it', async t => {
  const handler = held()
  const app = Fastify()
  await app.register(coalesce, { prefix: '/observed', metrics: true })
  app.get('/', ON, handler)
  const server = await listen(t, app)
  await meet(server, handler, times(2, server, '/'))
  t.equal(handler.runs, 1)
})

t.test('a route without the option is left alone', async t => {
  const handler = held()
  const { app, get } = await serve(t, app => {
    app.get('/plain', handler)
    app.get('/off', { config: { coalesce: false } }, handler)
    app.get('/seen', async request => ({ coalesce: request.coalesce === undefined }))
  })
  handler.gate.open()
  await Promise.all(['/plain', '/plain', '/off', '/off'].map(path => get(path)))
  t.equal(handler.runs, 4)
  t.equal(app.coalesce.stats().totalRequests, 0)
  t.equal((await get('/seen')).body, '{"coalesce":true}')
})

t.test('a route that is not coalesced and only reads has no hook of the plugin\'s from its second request on, and its requests nothing', async t => {
  const hooks = (request: FastifyRequest): unknown => {
    const context = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.context') as symbol
    const { onRequest, onSend, onResponse } = (request as unknown as Record<symbol, Record<string, unknown[] | null>>)[context] as Record<string, unknown[] | null>
    const ours = Object.getOwnPropertySymbols(request).filter(({ description }) => description?.startsWith('fastify-coalesce') === true)
    return [onRequest?.length ?? 0, onSend?.length ?? 0, onResponse?.length ?? 0, ours.length]
  }
  const { get } = await serve(t, app => {
    app.get('/plain', async request => hooks(request))
    app.get('/own', { onSend: async (_request, _reply, payload) => payload }, async request => hooks(request))
    app.get('/coalesced', ON, async request => hooks(request))
    app.put('/write', async request => hooks(request))
  })
  for (const [path, method, left] of [
    ['/plain', 'GET', '[0,0,0,0]'], ['/own', 'GET', '[0,1,0,0]'], ['/coalesced', 'GET', '[1,2,1,1]'], ['/write', 'PUT', '[0,1,1,0]']
  ] as const) {
    await get(path, { method })
    t.equal((await get(path, { method })).body, left, path)
  }
})

t.test('global turns it on for every GET route but those that say false', async t => {
  const on = held()
  const { app, get, arrived } = await serve(t, app => {
    app.get('/on', on)
    app.get('/off', { config: { coalesce: false } }, async request => request.coalesce === undefined)
    app.get('/tuned', { config: { coalesce: { query: ['q'] } } }, async request => request.url)
    app.post('/write', async request => request.coalesce === undefined)
    app.options('/other', async request => request.coalesce === undefined)
    app.route({ method: ['PUT', 'DELETE'], url: '/both', handler: async request => request.coalesce === undefined })
  }, { global: true })
  const answers = [get('/on'), get('/on')]
  await arrived(2)
  on.gate.open()
  await Promise.all(answers)
  t.equal(on.runs, 1)
  t.equal((await get('/off')).body, 'true')
  t.equal((await get('/write', { method: 'POST' })).body, 'true')
  t.equal((await get('/other', { method: 'OPTIONS' })).body, 'true')
  t.equal((await get('/both', { method: 'DELETE' })).body, 'true')
  t.equal((await get('/tuned?q=1&page=2')).body, '/tuned?q=1')
  t.strictSame([...new Set(app.coalesce.stats().routes.map(({ route }) => route))], ['/on', '/tuned'])
})

t.test('options of the registration are the defaults of its routes', async t => {
  const handler = held()
  const server = await serve(t, app => {
    app.get('/default', ON, handler)
    app.get('/own', { config: { coalesce: { query: true } } }, async request => request.url)
  }, { query: ['q'] })
  const answers = await meet(server, handler, [() => server.get('/default?q=1&a=1'), () => server.get('/default?q=1&a=2')])
  t.equal(handler.runs, 1)
  t.equal(distinct(answers.map(({ body }) => body)).length, 1)
  t.equal((await server.get('/own?q=1&a=1')).body, '/own?q=1&a=1')
})

t.test('a child context registers with defaults, figures and caps of its own', async t => {
  const outer = held()
  const inner = held()
  const children: FastifyInstance[] = []
  const server = await serve(t, async app => {
    app.get('/outer', ON, outer)
    await app.register(async child => {
      await child.register(coalesce, { query: ['q'], maxWaitersPerKey: 1 })
      child.get('/inner', ON, inner)
      children.push(child)
    })
  })
  const child = children[0] as FastifyInstance
  await meet(server, outer, [() => server.get('/outer?q=1&a=1'), () => server.get('/outer?q=1&a=2')])
  t.equal(outer.runs, 2, 'the outer defaults: the whole query')

  const answers = ['/inner?q=1&a=1', '/inner?q=1&a=2', '/inner?q=1&a=3'].map(path => server.get(path))
  await arrivedAt(child.coalesce.stats, 3)
  inner.gate.open()
  await Promise.all(answers)
  t.equal(inner.runs, 2, 'the inner defaults: one name, and one waiter')
  t.not(child.coalesce, server.app.coalesce)
  t.strictSame(server.app.coalesce.stats().totalRequests, 2)
  t.match(child.coalesce.stats().routes.find(({ method }) => method === 'GET'), {
    method: 'GET', route: '/inner', totalRequests: 3, deduplicatedRequests: 1, cacheHits: 0, actualExecutions: 2, deduplicationRate: 1 / 3
  })
})

t.test('sibling contexts register independently, and a context outside both has nothing', async t => {
  const [one, two] = [held(), held()]
  const app = Fastify()
  const siblings: FastifyInstance[] = []
  for (const [prefix, handler] of [['/one', one], ['/two', two]] as const) {
    await app.register(async sibling => {
      await sibling.register(coalesce, { global: true })
      sibling.get('/', handler)
      siblings.push(sibling)
    }, { prefix })
  }
  app.get('/outside', async request => request.coalesce === undefined)
  const { get } = await listen(t, app)
  const answers = ['/one', '/two', '/one', '/two'].map(path => get(path))
  await Promise.all(siblings.map(({ coalesce }) => arrivedAt(coalesce.stats, 2)))
  one.gate.open()
  two.gate.open()
  await Promise.all(answers)
  t.strictSame([one.runs, two.runs], [1, 1])
  t.equal((await get('/outside')).body, 'true')
  t.notOk(app.hasDecorator('coalesce'))
})

t.test('a second registration in the same context is an error that says what to do', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(coalesce)
  const error = await errorOf(async () => await app.register(coalesce))
  t.type(error, errors.AlreadyRegisteredError)
  t.match(error, { code: 'FST_COALESCE_ALREADY_REGISTERED', message: /child context/ })
})

t.test('wrong options at registration name the option, what it wants and what it got', async t => {
  const wrong: ReadonlyArray<readonly [Record<string, unknown>, RegExp]> = [
    [{ hooks: 'auto' }, /^coalesce options\.hooks is unknown; did you mean hook\?$/],
    [{ max_wait_time: 1 }, /, got "max_wait_time"$/],
    [{ global: 'yes' }, /^coalesce options\.global must be true or false, got "yes"$/],
    [{ hook: 'onSend' }, /^coalesce options\.hook must be 'auto' or 'onRequest' or 'preHandler', got "onSend"$/],
    [{ query: false }, /^coalesce options\.query must be .*, got false$/],
    [{ query: { only: ['a'] } }, /^coalesce options\.query must be made of ignore, got "only"$/],
    [{ query: {} }, /^coalesce options\.query\.ignore must be an array of names, got undefined$/],
    [{ headers: ['a b'] }, /^coalesce options\.headers must be an array of header names, got \["a b"\]$/],
    [{ headers: 'accept' }, /^coalesce options\.headers must be an array of header names, got "accept"$/],
    [{ cookies: [''] }, /^coalesce options\.cookies must be an array of names/],
    [{ identity: 'x-user' }, /^coalesce options\.identity must be a function, got "x-user"$/],
    [{ key: null }, /^coalesce options\.key must be a function, got null$/],
    [{ body: 'yes' }, /^coalesce options\.body must be .*, got "yes"$/],
    [{ body: { maxBytes: 0 } }, /^coalesce options\.body\.maxBytes must be a whole number from 1, got 0$/],
    [{ credentials: [1] }, /^coalesce options\.credentials must be/],
    [{ statuses: [206] }, /^coalesce options\.statuses must be .*, got \[206\]$/],
    [{ waitTimeout: '5 parsecs' }, /^coalesce options\.waitTimeout must be a duration .*, got "5 parsecs"$/],
    [{ waitTimeout: 0 }, /^coalesce options\.waitTimeout must be a duration/],
    [{ flightTimeout: Infinity }, /^coalesce options\.flightTimeout must be .*, got Infinity$/],
    [{ onWaitTimeout: 'wait' }, /^coalesce options\.onWaitTimeout must be 'run' or 'error', got "wait"$/],
    [{ onError: 'retry' }, /^coalesce options\.onError must be/],
    [{ maxBodyBytes: -1 }, /^coalesce options\.maxBodyBytes must be a whole number from 0, got -1$/],
    [{ maxFlights: 1.5 }, /^coalesce options\.maxFlights must be/],
    [{ maxWaiters: '10' }, /^coalesce options\.maxWaiters must be .*, got "10"$/],
    [{ maxWaitersPerKey: NaN }, /^coalesce options\.maxWaitersPerKey must be .*, got NaN$/],
    [{ maxRecordedBytes: null }, /^coalesce options\.maxRecordedBytes must be .*, got null$/],
    [{ releaseConcurrency: 0 }, /^coalesce options\.releaseConcurrency must be a whole number from 1, got 0$/],
    [{ learnVary: 'no' }, /^coalesce options\.learnVary must be/],
    [{ metrics: 'on' }, /^coalesce options\.metrics must be true, false or an object, got "on"$/],
    [{ metrics: { path: 'metrics' } }, /^coalesce options\.metrics\.path must be a path that starts with '\/', or false, got "metrics"$/],
    [{ metrics: { prefix: '1' } }, /^coalesce options\.metrics\.prefix must be/],
    [{ metrics: { registry: {} } }, /^coalesce options\.metrics\.registry must be a prom-client Registry/],
    [{ clock: {} }, /^coalesce options\.clock must be/]
  ]
  const found = await Promise.all(wrong.map(async ([options, message]) => {
    const app = Fastify()
    const error = await errorOf(async () => await app.register(coalesce, options as CoalesceOptions))
    await app.close()
    return error instanceof errors.InvalidOptionError && error.code === 'FST_COALESCE_INVALID_OPTION' && message.test(error.message)
      ? undefined
      : error.message
  }))
  t.strictSame(found.filter(message => message !== undefined), [])
})

t.test('wrong options of a route throw where it is defined, and name the route', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(coalesce)
  const define = (coalesce: unknown, method: 'GET' | 'PUT' | 'POST' = 'GET') => async () => {
    app.route({ method, url: '/word', config: { coalesce: coalesce as CoalesceRouteOptions }, handler: async () => 'never' })
  }
  t.match(await errorOf(define({ waitTimout: '5s' })),
    { code: 'FST_COALESCE_INVALID_OPTION', message: 'config.coalesce.waitTimout of GET /word is unknown; did you mean waitTimeout?' })
  t.match(await errorOf(define({ hook: 'onSend' })),
    { message: "config.coalesce.hook of GET /word must be 'auto' or 'onRequest' or 'preHandler', got \"onSend\"" })
  t.match(await errorOf(define('yes')), { message: 'config.coalesce of GET /word must be true, false or an object, got "yes"' })
  t.match(await errorOf(define(null)), { message: 'config.coalesce of GET /word must be true, false or an object, got null' })
  t.match(await errorOf(define({ global: true })), { message: /^config\.coalesce of GET \/word must be made of .*, got "global"$/ })
  t.match(await errorOf(define(true, 'PUT')), { message: /^config\.coalesce of PUT \/word must be on a GET or HEAD route.*, got PUT$/ })
  t.match(await errorOf(define(true, 'POST')), { message: /^config\.coalesce of POST \/word must be on .*body: true on a QUERY or POST route that only reads .*, got POST$/ })
  t.notOk(app.hasRoute({ method: 'GET', url: '/word' }), 'no half-made route is left')
})

for (const order of ['before', 'after'] as const) {
  t.test(`where all routes are coalesced those for WebSockets only are not, with @fastify/websocket registered ${order}`, async t => {
    const app = Fastify() as unknown as FastifyInstance
    if (order === 'before') await app.register(websocket)
    await app.register(coalesce, { global: true })
    if (order === 'after') await app.register(websocket)
    const handler = held(() => 'answered')
    const { message } = await errorOf(() => { app.get('/asks', { ...ON, websocket: true }, () => {}) })
    t.match(message, /^config\.coalesce of GET \/asks must be on a route that answers requests, got websocket: true$/)
    app.get('/socket', { websocket: true }, socket => {
      socket.send('hello')
      socket.close()
    })
    app.route({
      method: 'GET',
      url: '/socket-too',
      websocket: true,
      handler: ((socket: { send (text: string): void, close (): void }) => {
        socket.send('hello')
        socket.close()
      }) as never,
      wsHandler () {}
    })
    app.route({
      method: 'GET',
      url: '/both',
      handler,
      wsHandler (socket) {
        socket.send('hello')
        socket.close()
      }
    })
    const server = await listen(t, app)
    const greeting = (path: string): Promise<unknown> => new Promise(resolve => {
      const socket = new WebSocket(`ws://127.0.0.1:${server.port}${path}`)
      socket.addEventListener('message', ({ data }) => { resolve(data) })
      socket.addEventListener('close', ({ code }) => { resolve(code) })
      socket.addEventListener('error', () => {})
    })
    t.strictSame([await greeting('/socket'), await greeting('/socket-too'), await greeting('/both')], ['hello', 'hello', 'hello'])
    t.strictSame((await meet(server, handler, times(2, server, '/both'))).map(({ body }) => body), ['answered', 'answered'])
    t.equal(handler.runs, 1)
  })
}

t.test('the config of a route has nothing more to come across than what the app has put there', async t => {
  const seen: unknown[] = []
  const routes: Array<{ config?: object }> = []
  const note = async ({ routeOptions: { config } }: FastifyRequest): Promise<void> => {
    seen.push([Object.getOwnPropertySymbols({ ...config }), Object.keys(config), Object.getOwnPropertySymbols(Object.assign({}, config))])
  }
  const server = await serve(t, app => {
    app.addHook('onRoute', route => { routes.push(route) })
    app.addHook('onRequest', note)
    app.register(async inner => {
      inner.get('/', { config: { coalesce: true, own: 1 } as object }, () => 'a')
      inner.get('/bare', { onRequest: note }, () => 'a')
    }, { prefix: '/inner' })
  }, { global: true })
  for (const path of ['/inner', '/inner/', '/inner/bare', '/inner']) await server.get(path)
  t.equal(seen.length, 5)
  t.strictSame(distinct(seen), [[[], ['coalesce', 'own', 'url', 'method'], []], [[], ['url', 'method'], []]])
  t.strictSame(routes.flatMap(({ config = {} }) => Object.getOwnPropertySymbols({ ...config })), [])
})

t.test('hooks of a route that are null are none, whoever else puts hooks in their place', async t => {
  const handler = held()
  const app = Fastify() as unknown as FastifyInstance
  await app.register(coalesce, { metrics: true })
  await app.register(compress)
  const none = { onRequest: null, preParsing: null, onSend: null } as object
  app.get('/', { ...ON, ...none }, handler)
  const server = await listen(t, app)
  const answers = await meet(server, handler, times(3, server, '/'))
  t.strictSame([handler.runs, distinct(answers.map(({ body }) => body))], [1, ['{"hello":"world"}']])
})
