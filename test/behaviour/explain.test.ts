/**
 * `explain` tells what would happen to a request, runs the hooks of its route and no handler, and leaves everything as it was.
 */
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { errorOf, held, times } from '../fixtures/crowd.js'
import { gate, TestClock } from '../fixtures/gate.js'
import { mapStore } from '../fixtures/kept.js'
import { lines } from '../fixtures/lines.js'
import { metric, serve } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }

async function build (t: { teardown (fn: () => unknown): unknown }, routes: (app: FastifyInstance) => unknown, options = {}, fastify = {}): Promise<FastifyInstance> {
  const app = Fastify(fastify) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(coalesce, options)
  await routes(app)
  await app.ready()
  return app
}

t.test('the hooks of the route run, and its handler does not', async t => {
  const ran: string[] = []
  const app = await build(t, app => {
    for (const name of ['onRequest', 'preHandler', 'onSend', 'onResponse'] as const) app.addHook(name, async () => { ran.push(name) })
    app.get('/', ON, async () => { ran.push('handler'); return 'ok' })
  })
  const { coalesced, outcome, parking, route } = await app.coalesce.explain('/')
  t.same({ coalesced, outcome, route }, { coalesced: true, outcome: 'leader', route: { method: 'GET', url: '/' } })
  t.same(parking, { at: 'preHandler', why: 'there are gates: preHandler', skips: [] })
  t.same(ran, ['onRequest', 'preHandler', 'onSend', 'onResponse'])
})

t.test('where a hook takes the reply and never ends it, the explanation says so and comes all the same', async t => {
  const app = await build(t, app => {
    app.get('/', { ...ON, onRequest: (_request, reply, _done) => { reply.hijack() } }, async () => 'ok')
  })
  const { outcome, steps, summary } = await app.coalesce.explain('/')
  t.same({ outcome, steps, summary }, { outcome: undefined, steps: [], summary: 'a hook takes the reply (reply.hijack) before it comes to coalescing' })
})

t.test('of a route that is not coalesced neither a hook nor the handler runs, in whatever context it is, and it is told why', async t => {
  const ran: string[] = []
  const app = Fastify({ handlerTimeout: 60_000 }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  const note = (name: string) => async (): Promise<string> => { ran.push(name); return name }
  const hooks = (app: FastifyInstance): void => {
    for (const name of ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const) app.addHook(name as 'onRequest', async () => { ran.push(name) })
    app.addHook('onResponse', async () => { ran.push('onResponse') })
  }
  await app.register(async app => {
    hooks(app)
    app.get('/outside', note('outside'))
    app.post('/outside', note('post outside'))
  })
  await app.register(async app => {
    await app.register(coalesce)
    hooks(app)
    app.get('/plain', note('plain'))
    app.get('/never', { config: { coalesce: false } }, note('never'))
    app.delete('/plain', note('delete'))
    const { explain } = app.coalesce
    app.get('/explain/*', async request => (await explain({ url: request.url.slice('/explain'.length), method: 'GET' })).summary)
    Object.assign(app.server, { explain })
  })
  await app.register(async app => {
    await app.register(coalesce, { global: true })
    hooks(app)
    app.delete('/all', note('all'))
  })
  app.setNotFoundHandler(async () => { ran.push('not found') })
  await app.ready()
  const { explain } = app.server as unknown as { explain: FastifyInstance['coalesce']['explain'] }
  const told = async (method: 'GET' | 'POST' | 'DELETE', url: string): Promise<unknown> => {
    const { coalesced, gate, outcome, route, steps, summary } = await explain({ method, url, headers: { connection: 'keep-alive' } })
    t.same({ coalesced, gate, outcome, steps }, { coalesced: false, gate: undefined, outcome: undefined, steps: [] })
    return [route?.url, summary]
  }
  t.same(await told('GET', '/outside'), ['/outside', 'the route is not coalesced: fastify-coalesce is not registered in its context'])
  t.same(await told('POST', '/outside'), ['/outside', 'the route is not coalesced: fastify-coalesce is not registered in its context'])
  t.same(await told('GET', '/plain?a=1'), ['/plain', 'the route is not coalesced: it does not ask for it (config: { coalesce: true })'])
  t.same(await told('GET', '/never'), ['/never', 'the route is not coalesced: it says coalesce: false'])
  t.same(await told('DELETE', '/plain'), ['/plain', 'the route is not coalesced: it does not ask for it (config: { coalesce: true })'])
  t.same(await told('DELETE', '/all'), ['/all', 'the route is not coalesced: it answers neither GET nor HEAD, or was declared before fastify-coalesce was loaded'])
  t.same(await told('GET', '/none'), [undefined, 'no route of the app matches'])
  t.same(ran, [])
  t.equal((await app.inject('/plain')).body, 'plain', 'a client is served as ever')
})

t.test('a hook that answers, or fails, before the request comes to coalescing is told', async t => {
  const app = await build(t, app => {
    app.addHook('onRequest', async (request, reply) => {
      if (request.headers.authorization === undefined) return await reply.code(401).send('who?')
      if (request.headers.authorization === 'wrong') throw Object.assign(new Error('secret'), { statusCode: 403, code: 'NO_ENTRY' })
      if (request.headers.authorization === 'broken') throw new TypeError('secret')
    })
    app.get('/:id', { config: { coalesce: { identity: () => 'a' } }, schema: { querystring: { type: 'object', required: ['q'] } } }, async () => 'ok')
  })
  const told = async (authorization?: string, url = '/1?q=1'): Promise<unknown> => {
    const { coalesced, gate, outcome, steps, summary } = await app.coalesce.explain({ url, headers: authorization === undefined ? {} : { authorization } })
    return { coalesced, gate, outcome, steps: steps.length, summary }
  }
  const gated = (status: number, error?: string): unknown => ({
    coalesced: true, gate: { status, error }, outcome: undefined, steps: 0, summary: `it is answered ${status} before it comes to coalescing`
  })
  t.same(await told(), gated(401))
  t.same(await told('wrong'), gated(403, 'NO_ENTRY'))
  t.same(await told('broken'), gated(500, 'TypeError'))
  t.same(await told('right', '/1'), gated(400, 'FST_ERR_VALIDATION'))
  t.match(await told('right'), { gate: undefined, outcome: 'leader' })
  t.match(await app.coalesce.explain('/%'), { route: undefined, coalesced: false, gate: { status: 400 } })
})

t.test('a URL that is none is answered by the app\'s own handler of such errors', async t => {
  const app = await build(t, app => { app.get('/:id', ON, async () => 'ok') }, {}, {
    frameworkErrors: (_error: Error, _request: unknown, reply: { code (status: number): { send (payload: string): void } }) => { reply.code(418).send('no') }
  })
  t.match(await app.coalesce.explain('/%'), { route: undefined, gate: { status: 418 } })
})

t.test('the parts of the key are named, and their values told only if asked for', async t => {
  const app = await build(t, app => {
    app.post('/:id', { config: { coalesce: { body: true, identity: () => 7, headers: ['x-tenant'], cookies: ['lang'] } } }, async () => 'ok')
    app.get('/own', { config: { coalesce: { key: () => ['a', 1] } } }, async () => 'ok')
  }, {}, { rewriteUrl: ({ url }: { url: string }) => url.replace('/old', '/1') })
  const request = {
    method: 'POST', url: '/old?b=2&a=1&c', payload: { secret: 1 }, headers: { 'x-tenant': 't', cookie: 'lang=de', host: 'example.org' }
  } as const
  const { key } = await app.coalesce.explain(request)
  t.same(key, [
    { part: 'route' }, { part: 'method' }, { part: 'protocol' }, { part: 'host' }, { part: 'path' }, { part: 'query', name: 'a' },
    { part: 'query', name: 'b' }, { part: 'query', name: 'c' }, { part: 'original-url' }, { part: 'identity' }, { part: 'header', name: 'x-tenant' },
    { part: 'cookie', name: 'lang' }, { part: 'body' }
  ])
  const { key: whole } = await app.coalesce.explain(request, { values: true })
  t.same(whole?.slice(1, 12).map(({ value }) => value), ['POST', 'http', 'example.org', '/1', '1', '2', '', '/old?b=2&a=1&c', 7, 't', ['de']])
  t.same((await app.coalesce.explain('/own', { values: true })).key?.at(-1), { part: 'key', value: ['a', 1] })
})

t.test('what the key leaves out is told with how it is treated', async t => {
  const app = await build(t, app => {
    app.addHook('onRequest', async request => { String(request.headers['x-seen'] ?? request.headers['user-agent']) })
    app.get('/', { config: { coalesce: { headers: ['x-tenant'], query: ['q'], learnVary: { ignore: ['x-noise', '?noise'] } } } }, async request => request.headers['x-lang'])
    app.get('/trusting', { config: { coalesce: { learnVary: false } } }, async () => 'ok')
    app.get('/reading', { config: { coalesce: { query: { ignore: ['*'] } } }, preHandler: async request => { String(request.url) } }, async () => 'ok')
  })
  const headers = { 'x-tenant': 't', 'x-seen': '1', 'x-noise': '1', 'x-lang': 'de', 'x-other': '1', 'user-agent': 'test', host: 'a' }
  await app.inject({ url: '/?q=1', headers })
  const { key, outside, variant } = await app.coalesce.explain({ url: '/?q=1&noise=1&sig=2', headers })
  t.ok(key?.some(({ part }) => part === 'header'))
  t.same(Object.fromEntries(outside.map(({ kind, name, treated }) => [`${kind} ${name}`, treated])), {
    'header x-seen': 'variant',
    'header x-noise': 'ignored',
    'header x-lang': 'variant',
    'header x-other': 'unread',
    'header user-agent': 'infrastructure',
    'address ip': 'unread',
    'query noise': 'ignored',
    'query sig': 'unread'
  })
  t.same(variant, [{ name: 'x-lang', learnedFrom: 'handler' }, { name: 'x-seen', learnedFrom: 'hook' }])
  t.same((await app.coalesce.explain({ url: '/?q=1', headers }, { values: true })).variant[0], { name: 'x-lang', learnedFrom: 'handler', value: 'de' })
  t.match((await app.coalesce.explain({ url: '/?q=2', headers })).outside.find(({ name }) => name === 'x-seen'), { treated: 'read' })
  t.ok((await app.coalesce.explain({ url: '/trusting', headers })).outside.every(({ treated }) => treated === 'trusted'))
  t.match((await app.coalesce.explain('/reading?a=1')).outside.at(-1), { kind: 'query', name: 'a', treated: 'read' })
  await app.inject('/reading?a=1')
  t.match((await app.coalesce.explain('/reading?a=1')).variant, [{ name: '?', learnedFrom: 'hook' }])
})

t.test('an address that responses depend on is told as ip', async t => {
  const app = await build(t, app => { app.get('/', ON, async request => request.ip) })
  await app.inject('/')
  const { outside, variant } = await app.coalesce.explain({ url: '/', remoteAddress: '192.0.2.7' }, { values: true })
  t.same(variant, [{ name: 'ip', learnedFrom: 'handler', value: '192.0.2.7' }])
  t.match(outside.find(({ kind }) => kind === 'address'), { treated: 'variant' })
})

t.test('a run in the air is told with its leader, its followers and its time', async t => {
  const clock = new TestClock()
  const handler = held()
  const server = await serve(t, app => { app.get('/', ON, handler) }, { clock })
  const answers = times(3, server, '/').map(send => send())
  await server.arrived(3)
  clock.advance(1500)
  const { flight, outcome, summary } = await server.app.coalesce.explain({ url: '/', headers: { host: `127.0.0.1:${server.port}` } })
  t.match(flight, { leaderId: /./, followers: 2, since: 1500 })
  t.equal(outcome, 'follower')
  t.match(summary, /^follower: request \S+ runs the handler/)
  handler.gate.open()
  await Promise.all(answers)
  t.equal(handler.runs, 1)
})

t.test('what is cached is told with its age and times, and what is remembered with how long', async t => {
  const clock = new TestClock()
  const app = await build(t, app => {
    app.get('/', { config: { coalesce: { ttl: '10s', staleWhileRevalidate: '5s', staleIfError: '1m', tags: ['a'] } } }, async () => 'hello')
    app.get('/private', ON, async (_request, reply) => { reply.header('cache-control', 'private') })
    app.get('/wide', ON, async request => { for (let index = 0; index < 100; index++) String(request.headers[`x-${index}`]) })
  }, { clock })
  await app.inject('/wide')
  t.same((await app.coalesce.explain('/wide')).unshareable, { cause: 'varies-too-much', remaining: 120_000 })
  for (const url of ['/', '/private']) await app.inject(url)
  clock.advance(4_000)
  const { cached } = await app.coalesce.explain('/')
  t.same(cached, { status: 200, bytes: cached?.bytes, tags: ['a'], age: 4000, fresh: 6000, staleWhileRevalidate: 5000, staleIfError: 60_000 })
  const { summary, unshareable } = await app.coalesce.explain('/private')
  t.same(unshareable, { cause: 'private', remaining: 116_000 })
  t.equal(summary, 'bypass/unshareable/private: the last response could not be shared (private), which is remembered for 116.0 s more')
  t.same((await app.coalesce.explain('/wide')).unshareable, { cause: 'varies-too-much', remaining: 116_000 })
  clock.advance(115_100)
  t.match((await app.coalesce.explain('/private')).summary, / 900 ms more$/)
})

t.test('a store that answers with promises is asked and told nothing of', async t => {
  const clock = new TestClock()
  const app = await build(t, app => {
    app.get('/', { config: { coalesce: { ttl: '10s', respectRequestCacheControl: true } } }, async request => request.headers['x-lang'] ?? 'none')
    app.get('/free', { config: { coalesce: { ttl: '10s' } } }, async () => 'ok')
  }, { clock, store: mapStore(), metrics: true })
  const explain = async (method: 'GET' | 'HEAD', headers = {}, url = '/'): Promise<unknown[]> => {
    const before = [app.coalesce.stats(), await metric(app, 'coalesce_cache_lookup_seconds')]
    const { outcome, reason } = await app.coalesce.explain({ method, url, headers })
    t.same([app.coalesce.stats(), await metric(app, 'coalesce_cache_lookup_seconds')], before)
    return [outcome, reason]
  }
  t.same(await explain('GET'), ['leader', undefined])
  t.same(await explain('HEAD'), ['bypass', 'head'])
  t.same(await explain('GET', { 'cache-control': 'only-if-cached' }), ['bypass', 'only-if-cached'])
  await app.inject({ url: '/', headers: { 'x-lang': 'de' } })
  t.same(await explain('GET', { 'x-lang': 'de' }), ['hit', 'fresh'])
  t.same(await explain('HEAD', { 'x-lang': 'de' }), ['hit', 'fresh'])
  t.same(await explain('GET', { 'x-lang': 'en' }), ['leader', undefined])
  await app.inject('/free')
  t.same(await explain('GET', {}, '/free'), ['hit', 'fresh'])
})

t.test('a store that fails, or holds something else, is no part of it', async t => {
  const log = lines('warn')
  for (const get of [() => { throw new Error('down') }, async () => { throw new Error('down') }, () => ({ key: 'x' }), async () => 'x', async () => await new Promise(() => {})] as const) {
    const clock = new TestClock()
    const app = await build(t, app => { app.get('/', { config: { coalesce: { ttl: '10s' } } }, async () => 'ok') },
      { clock, storeTimeout: 10, metrics: true, store: { get: get as () => undefined, set: () => {}, delete: () => {} } }, { logger: log.logger })
    const explained = app.coalesce.explain('/')
    await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
    clock.advance(10)
    t.match(await explained, { outcome: 'leader', cached: undefined })
    t.equal(await metric(app, 'coalesce_cache_errors_total') + await metric(app, 'coalesce_cache_rejected_total'), 0)
  }
  t.same(log.all, [])
})

t.test('variants that only a shared store knows are found, and not learned', async t => {
  for (const slow of [false, true]) {
    const clock = new TestClock()
    const entries = new Map()
    const store = slow ? mapStore(entries) : { get: (key: string) => entries.get(key), set: (entry: { key: string }) => { entries.set(entry.key, entry) }, delete: (key: string) => { entries.delete(key) } }
    const routes = (app: FastifyInstance): void => {
      app.get('/', { config: { coalesce: { ttl: '10s' } } }, async request => `${String(request.headers['x-a'])}${String(request.headers['x-b'])}`)
    }
    const first = await build(t, routes, { clock, store })
    const headers = { 'x-a': '1', 'x-b': '1' }
    await first.inject({ url: '/', headers })
    const second = await build(t, routes, { clock, store })
    for (const turn of [1, 2]) {
      const { outcome, variant } = await second.coalesce.explain({ url: '/', headers })
      t.same([outcome, variant], ['hit', ['x-a', 'x-b'].map(name => ({ name, learnedFrom: 'earlier' }))], `turn ${turn}`)
    }
    t.match(await second.coalesce.explain({ url: '/', headers: { 'x-a': '2' } }), { outcome: 'leader' })
  }
})

t.test('what is cached under names that nobody can remember is of no use, as for a client', async t => {
  for (const [count, slow, expected] of [[1, true, 'alone/vary'], [1, false, 'leader'], [100, false, 'leader'], [300, true, 'alone/vary']] as const) {
    const vary = Array.from({ length: count }, (_, index) => `x-${index}`)
    const entry = (key: string): object => ({
      version: 1, key, since: Date.now(), storedAt: Date.now(), freshFor: 1e6, staleWhileRevalidate: 0, staleIfError: 0, labels: [], bytes: 0, value: { vary }
    })
    const get = slow ? async (key: string) => entry(key) : entry
    const app = await build(t, app => {
      app.addHook('onResponse', async ({ coalesce }) => { told.push(`${String(coalesce?.outcome)}/${String(coalesce?.reason)}`) })
      app.get('/', { config: { coalesce: { ttl: '10s' } } }, async () => 'ok')
    }, { store: { get, set: () => {}, delete: () => {} } })
    const told: string[] = []
    const { outcome, reason, summary } = await app.coalesce.explain('/')
    t.equal([outcome, reason].filter(part => part !== undefined).join('/'), expected)
    if (expected !== 'leader') t.match(summary, /again and again/)
    told.length = 0
    await app.inject('/')
    t.match(told[0], expected, `${count} names`)
  }
})

t.test('what would be learned to tell requests apart is told, and not learned', async t => {
  const app = await build(t, app => {
    app.get('/', ON, async (request, reply) => { if (request.headers['accept-language'] === 'en') reply.header('cache-control', 'private') })
  })
  const told = async (language: string): Promise<unknown> => {
    const { reason, variant } = await app.coalesce.explain({ url: '/', headers: { 'accept-language': language } })
    return [reason, variant.map(({ name }) => name)]
  }
  await app.inject({ url: '/', headers: { 'accept-language': 'en' } })
  for (const turn of [1, 2]) {
    t.same(await told('en'), ['unshareable', []], `turn ${turn}`)
    t.same(await told('de'), [undefined, ['accept-language']], `turn ${turn}`)
  }
})

t.test('what hooks have replaced is a part of the key', async t => {
  const app = await build(t, app => {
    app.get('/', { ...ON, preHandler: async request => { if (request.headers['x-a'] !== undefined) delete request.headers['x-a'] } }, async () => 'ok')
  })
  t.same((await app.coalesce.explain({ url: '/', headers: { 'x-a': '1' } })).key?.at(-1), { part: 'hooks' })
})

t.test('a request that is only explained ends no other, and is no write', async t => {
  const handler = held()
  const server = await serve(t, app => {
    app.post('/', { config: { coalesce: { body: true } } }, handler)
    app.get('/', { config: { coalesce: { ttl: '10s' } } }, async () => 'ok')
  })
  await server.get('/')
  const host = `127.0.0.1:${server.port}`
  t.match(await server.app.coalesce.explain({ method: 'POST', url: '/', payload: { a: 1 }, headers: { host } }), { outcome: 'leader' })
  t.match(await server.app.coalesce.explain({ url: '/', headers: { host } }), { outcome: 'hit' })
  handler.gate.open()
})

t.test('nothing that a client sends passes for a request that is only explained', async t => {
  const waits = gate()
  const app = await build(t, app => {
    app.addHook('onRequest', async request => { if (request.headers['x-wait'] !== undefined) await waits.promise })
    app.get('/', ON, async request => ({ outcome: request.coalesce?.outcome }))
  })
  const explained = app.coalesce.explain({ url: '/', headers: { 'x-wait': '1' } })
  t.same((await app.inject('/')).json(), { outcome: 'leader' }, 'while one is under way')
  waits.open()
  t.match(await explained, { outcome: 'leader' })
})

t.test('several at a time are told apart, and what logs requests is put back', async t => {
  const log = lines('info')
  const app = await build(t, app => {
    app.get('/a', ON, async () => 'ok')
    app.get('/b', async () => 'ok')
  }, {}, { logger: log.logger })
  const symbol = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.logController') as symbol
  const logs = (app as unknown as Record<symbol, { incomingRequest: unknown }>)[symbol]
  const own = logs?.incomingRequest
  const told = await Promise.all(['/a', '/b', '/none', '/a'].map(url => app.coalesce.explain(url)))
  t.same(told.map(({ summary }) => summary.slice(0, 8)), ['leader: ', 'the rout', 'no route', 'leader: '])
  t.equal(logs?.incomingRequest, own)
  await app.inject('/b')
  t.same(log.all.map(({ msg }) => msg).slice(-2), ['incoming request', 'request completed'])
})

t.test('wrong options, and an app that is closing, are told of', async t => {
  const app = await build(t, app => { app.get('/', ON, async () => 'ok') })
  t.match(await errorOf(() => app.coalesce.explain('/', { vlaues: true } as never)), { code: 'FST_COALESCE_INVALID_OPTION' })
  t.match(await errorOf(() => app.coalesce.explain('/', 5 as never)), { code: 'FST_COALESCE_INVALID_OPTION', message: /explain options must be an object/ })
  t.ok(await errorOf(() => app.coalesce.explain({ url: '/', method: 'NONSENSE' as never })))
  await app.close()
  t.match(await errorOf(() => app.coalesce.explain('/')), { code: 'FST_ERR_REOPENED_CLOSE_SERVER' })
})

t.test('an app that is not ready is made ready first', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(coalesce)
  app.get('/', ON, async () => 'ok')
  t.match(await app.coalesce.explain('/'), { parking: { at: 'onRequest', why: 'there are no later gates' }, outcome: 'leader' })
})
