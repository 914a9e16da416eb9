/**
 * Where this plugin reads what Fastify does not tell, a Fastify that keeps it elsewhere leaves it the safe answer.
 */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import coalesce from '../lib/index.js'
import { hasTrailers, dropHook, headersOf, instancesOf, requestAccessor, routeConfigOf, snapshotHeaders, trustsByAddress, watchIncoming, watchRoutes } from '../lib/fastify/internals.js'
import { watchCopies } from '../lib/fastify/hooks/getters.js'
import { held, meet, times } from './fixtures/crowd.js'
import { lines } from './fixtures/lines.js'
import { listen } from './fixtures/server.js'

t.test('an instance that keeps its children elsewhere counts as one without any', t => {
  const instance = {} as FastifyInstance
  t.strictSame(instancesOf(instance), [instance])
  t.end()
})

// Asked first: what was found once is not looked for again.
t.test('a reply that keeps its headers and trailers elsewhere is asked for the former, and may have the latter', t => {
  const reply = { getHeaders: () => ({ 'x-own': 'yes' }), raw: { getHeaderNames: () => [] } } as unknown as FastifyReply
  t.strictSame(headersOf(reply), { 'x-own': 'yes' })
  t.strictSame(snapshotHeaders(reply), { 'x-own': 'yes' })
  t.equal(hasTrailers(reply), true, 'and so its response is its own client\'s')
  t.end()
})

t.test('a request that keeps its route elsewhere is asked for its config, and keeps its hooks', t => {
  const config = { coalesce: true }
  const request = { routeOptions: { config } } as unknown as FastifyRequest
  t.equal(routeConfigOf(request), config)
  t.doesNotThrow(() => { dropHook(request, 'onRequest', () => {}) })
  t.end()
})

t.test('where the hooks of a route cannot be told, it parks right before its handler', async t => {
  const log = lines()
  const handler = held()
  const app = Fastify({ logger: log.logger }) as unknown as FastifyInstance
  // Fastify has put its routes together by then, and the plugin, whose own hook comes later, has not looked at them.
  app.addHook('onReady', async () => {
    const hooks = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.hooks') as symbol
    const known = (app as unknown as Record<symbol, Record<string, unknown>>)[hooks] as Record<string, unknown>
    known.preParsing = undefined
  })
  await app.register(coalesce, { metrics: true })
  app.get('/', { config: { coalesce: true } }, handler)
  const server = await listen(t, app)
  t.match(log.all.find(({ coalesce }) => coalesce?.route === 'GET /')?.coalesce, { hook: 'preHandler', why: 'there are gates: unknown hooks' })
  t.strictSame((await meet(server, handler, times(2, server, '/'))).map(({ status }) => status), [200, 200])
  t.equal(handler.runs, 1)
})

t.test('where the hooks of a route cannot be told, those that are added after the plugin are seen', async t => {
  const handler = held(request => `data of ${String(request.getDecorator('tenant'))}`)
  const app = Fastify() as unknown as FastifyInstance
  const hooks = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.hooks') as symbol
  const known = (app as unknown as Record<symbol, Record<string, unknown>>)[hooks] as Record<string, unknown>
  const { preParsing } = known
  known.preParsing = undefined
  await app.register(coalesce, { metrics: true })
  app.decorateRequest('tenant', undefined)
  app.addHook('onRequest', async request => { request.setDecorator('tenant', request.headers['x-tenant']) })
  app.get('/', { config: { coalesce: true } }, handler)
  await app.after()
  known.preParsing = preParsing
  const server = await listen(t, app)
  const tenants = ['acme', 'umbrella', 'acme']
  const answers = await meet(server, handler, tenants.map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  t.strictSame([answers.map(({ body }) => body), handler.runs], [tenants.map(tenant => `data of ${tenant}`), 2])
})

t.test('an app that keeps its options elsewhere may trust proxies by their addresses', async t => {
  t.equal(trustsByAddress({} as FastifyInstance), true)
  t.strictSame([undefined, false, true, 1, '127.0.0.1', ['::1'], () => true].map(trustProxy =>
    trustsByAddress(Fastify((trustProxy === undefined ? {} : { trustProxy }) as FastifyServerOptions) as unknown as FastifyInstance)), [false, false, false, false, true, true, true])
})

t.test('where requests have no headers that can be set, copies of them are left as they are', async t => {
  const app = Fastify() as unknown as FastifyInstance
  t.type(requestAccessor(app, 'headers')?.get, 'function')
  t.strictSame(['ip', 'getDecorator', 'unheard-of'].map(name => requestAccessor(app, name)), [undefined, undefined, undefined])
  t.equal(requestAccessor({} as FastifyInstance, 'headers'), undefined)
  t.doesNotThrow(() => { watchCopies({} as FastifyInstance, () => undefined) })
})

t.test('where the routes of an app cannot be listed, one that asks and is not heard is warned of at its first request, once, by name', async t => {
  const log = lines()
  const app = Fastify({ logger: log.logger }) as unknown as FastifyInstance
  const symbol = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.404') as symbol
  const notFound = (app as unknown as Record<symbol, { setContext: unknown }>)[symbol] as { setContext: unknown }
  const { setContext } = notFound
  notFound.setContext = undefined
  app.get('/early', { config: { coalesce: true } }, async () => 'ok')
  app.get('/plain', async () => 'ok')
  app.get('/off', { config: { coalesce: false } }, async () => 'ok')
  await app.register(coalesce)
  await app.register(async inner => { await inner.register(coalesce) })
  app.get('/late', { config: { coalesce: true } }, async () => 'ok')
  notFound.setContext = setContext
  const { get } = await listen(t, app)
  t.strictSame(log.event('unheard-route'), [])
  for (const path of ['/early', '/late', '/plain', '/off', '/early', '/late']) t.equal((await get(path)).status, 200)
  t.strictSame(log.event('unheard-route').map(({ coalesce, msg }) => [coalesce?.route, msg.slice(0, 60)]),
    [['GET /early', 'coalesce: GET /early asks for coalescing, but was declared b']])
})

t.test('where an app does not tell what answers 404, its routes cannot be listed', t => {
  t.equal(watchRoutes({} as FastifyInstance, () => {}), false)
  t.end()
})

t.test('where the hooks of a route cannot be told, its ignored cookies stay, and count', async t => {
  const log = lines()
  const handler = held(request => request.headers.cookie)
  const app = Fastify({ logger: log.logger }) as unknown as FastifyInstance
  const hooks = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.hooks') as symbol
  const known = (app as unknown as Record<symbol, Record<string, unknown>>)[hooks] as Record<string, unknown>
  const { preParsing } = known
  app.addHook('onReady', async () => { known.preParsing = undefined })
  await app.register(coalesce, { metrics: true })
  app.get('/', { config: { coalesce: { cookies: { ignore: ['_ga'] } } } }, handler)
  app.addHook('onReady', async () => { known.preParsing = preParsing })
  const server = await listen(t, app)
  t.equal(log.event('cookies-not-ignored').length, 2)
  const answers = await meet(server, handler, times(2, server, '/', { headers: { cookie: '_ga=1' } }))
  t.strictSame([handler.runs, ...answers.map(({ body }) => body)], [2, '_ga=1', '_ga=1'])
})

t.test('where it cannot be seen which route a request comes to, none is explained', async t => {
  const app = Fastify() as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(coalesce)
  app.get('/', { config: { coalesce: true } }, async () => 'ok')
  await app.ready()
  const logs = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.logController') as symbol
  const known = app as unknown as Record<symbol, { incomingRequest: unknown } | undefined>
  const own = known[logs]
  for (const [controller, why] of [[undefined, 'there is no such object'], [{ incomingRequest: undefined }, 'it has no such method']] as const) {
    known[logs] = controller
    await t.rejects(app.coalesce.explain('/'), { code: 'FST_COALESCE_NOT_EXPLAINABLE' }, why)
  }
  known[logs] = own
  t.match(await app.coalesce.explain('/'), { outcome: 'leader' })
})

t.test('an app in which others put more around what logs requests, while somebody watches that, keeps theirs', t => {
  const calls: string[] = []
  const logs: { incomingRequest: (request?: unknown, reply?: unknown) => void } = { incomingRequest () { calls.push('own') } }
  const app = { [Symbol('fastify.logController')]: logs } as unknown as FastifyInstance
  const watch = (): () => void => watchIncoming(app, tell) as () => void
  const tell = (): void => { calls.push('told') }
  const all = [watch(), watch()]
  const below = logs.incomingRequest
  logs.incomingRequest = () => { calls.push('more'); below() }
  for (const unwatch of all) unwatch()
  logs.incomingRequest()
  t.same(calls.splice(0), ['more', 'own'])
  const unwatch = watch()
  logs.incomingRequest()
  unwatch()
  t.same(calls, ['more', 'told', 'own'])
  t.end()
})
