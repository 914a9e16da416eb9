/**
 * What clients of an observed route are answered is compared with what they would have been given, and nothing of that reaches the clients.
 */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import type { CoalesceRouteOptions, ObserveOptions } from '../../types/index.js'
import { TestClock, until } from '../fixtures/gate.js'
import { lines } from '../fixtures/lines.js'
import { observedRoute, outcomes, session } from '../fixtures/observed.js'
import { metric, serve, type TestServer } from '../fixtures/server.js'

/** So that all is compared, however fast it comes. */
const ALL = { observe: { budget: 1 } }

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

async function app (
  t: Parameters<typeof serve>[0], handler: Handler, observe: true | ObserveOptions = true, config: CoalesceRouteOptions = {}, more: Parameters<typeof serve>[3] = {}
): Promise<TestServer> {
  return await serve(t, app => {
    // A hook's reading of this header does not count by itself.
    app.addHook('onRequest', async request => { Object.assign(request, { mobile: request.headers['user-agent'] === 'phone' }) })
    app.get('/:what', { config: { coalesce: { cookies: { ignore: ['sid'] }, observe, ...config } } }, handler as never)
  }, ALL, more)
}

const isMobile: Handler = request => ({ page: 1, mobile: (request as unknown as { mobile: boolean }).mobile })

/** So many requests of clients of which each third has a phone; each client asks twice. */
async function ask (server: TestServer, count: number, path = '/home'): Promise<void> {
  for (let n = 0; n < count; n++) {
    const client = Math.floor(n / 2) % 9
    await server.get(path, { headers: { ...session(client), 'user-agent': client % 3 === 0 ? 'phone' : 'desk', 'accept-language': client % 2 === 0 ? 'de' : 'fr' } })
  }
}

t.test('what differs between clients is found, with its place and what explains it', async t => {
  const server = await app(t, isMobile)
  await ask(server, 120)
  const { differences: [difference], requests, verdict } = observedRoute(server.app, '/:what').comparison.findings()
  t.same([verdict, requests], ['differs', 120])
  t.equal(difference?.path, '$.mobile')
  t.equal(difference?.causes[0]?.name, 'header user-agent')
  t.ok(await metric(server.app, 'coalesce_observed_pairs_total', { verdict: 'differs' }) > 10)
  t.ok(await metric(server.app, 'coalesce_observer_seconds_total') > 0)
})

t.test('what the handler reads of a request is no difference: it would have been another variant', async t => {
  const server = await app(t, request => ({ language: request.headers['accept-language'] }))
  await ask(server, 120)
  const { differences, verdict } = observedRoute(server.app, '/:what').comparison.findings()
  t.same([verdict, differences], ['equal', []])
})

t.test('a parameter, an identity, a declared header and a param of the path are parts of the key, and what the key leaves out is not', async t => {
  const clock = new TestClock()
  const server = await serve(t, app => {
    app.get('/item/:id', { config: { coalesce: { identity: () => 'all', headers: ['x-shop'], query: { ignore: ['seen'] }, observe: true } } },
      async (request: FastifyRequest) => ({ id: (request.params as { id: string }).id, q: (request.query as { q?: string }).q }))
  }, { ...ALL, clock })
  for (let n = 0; n < 200; n++) {
    await server.get(`/item/${n % 2}?q=${n % 3}&seen=${n}&ref=${n % 5}&ref=${n % 7}`, { headers: { 'x-shop': String(n % 2) } })
  }
  const { differences, inert } = observedRoute(server.app, '/item/:id').comparison.findings()
  t.same(differences, [])
  const names = inert.flatMap(({ names }) => names)
  t.ok(names.includes('?ref'), 'a parameter that makes no difference is found')
  t.notOk(names.includes('?q') || names.includes('param id') || names.includes('?seen'))
})

t.test('a key function stands for path and query, of which the handler sees all', async t => {
  const server = await app(t, request => request.query, true, { key: () => 'one' })
  for (let n = 0; n < 240; n++) await server.get(`/home?n=${Math.floor(n / 3) % 4}`, { headers: session(Math.floor(n / 2) % 7) })
  const { differences: [difference] } = observedRoute(server.app, '/:what').comparison.findings()
  t.equal(difference?.path, '$.n')
  t.equal(difference?.causes[0]?.name, '?n')
})

t.test('a client that varies what the key ignores is no evidence of noise', async t => {
  const server = await app(t, request => request.query, true, { query: { ignore: ['n'] } })
  for (let n = 0; n < 120; n++) await server.get(`/home?n=${n % 4}`, { headers: session(n % 7) })
  const { noise, pairs, verdict } = observedRoute(server.app, '/:what').comparison.findings()
  t.same([verdict, noise, pairs.within.differs], ['differs', [], 0])
})

t.test('a part of the requests is compared, if that is asked for', async t => {
  const server = await app(t, isMobile, { rate: 0.25 }, { ttl: '1m' })
  await ask(server, 40)
  const { comparison: { requests, skipped } } = observedRoute(server.app, '/:what')
  t.same([requests, skipped['not-sampled']], [10, 30])
  t.match(await outcomes(server.app), { 'hit fresh': Number }, 'what would have become of them is counted of all')
})

t.test('what has no whole body, or fails, or is too large, or is for one request only, is not compared, and is counted', async t => {
  const server = await app(t, (request, reply) => {
    switch ((request.params as { what: string }).what) {
      case 'stream': return Readable.from(['a'])
      case 'large': return 'x'.repeat(200)
      case 'fails': throw new Error('no')
      case 'gone': return reply.code(304).send()
      default: return Buffer.from('bytes')
    }
  }, true, { maxBodyBytes: 100 })
  for (const what of ['stream', 'large', 'fails', 'gone', 'bytes']) await server.get(`/${what}`)
  const { comparison: { requests, skipped } } = observedRoute(server.app, '/:what')
  t.equal(requests, 1)
  t.match(skipped, { stream: 1, 'too-large': 0, failed: 1 })
  t.same((await outcomes(server.app))['unshareable too-large'], 1, 'what is larger than may be shared would not have been')
  t.same((await outcomes(server.app))['unshareable status'], 1, 'a 304 would not have been shared')
  t.equal(await metric(server.app, 'coalesce_observer_skipped_total', { reason: 'stream' }), 1)
})

t.test('a response that a hook has spoilt is not compared', async t => {
  const server = await serve(t, app => {
    app.addHook('onSend', async () => { throw new Error('no') })
    app.get('/', { config: { coalesce: { observe: true } } }, async () => 'ok')
  }, ALL)
  t.equal((await server.get('/')).status, 500)
  const { comparison: { requests, skipped } } = observedRoute(server.app, '/')
  t.same([requests, skipped.unfinished], [0, 1])
  t.same(await outcomes(server.app), { 'leader hook-failed': 1 })
})

t.test('a clean that throws costs no client anything, is told once, and is counted', async t => {
  const log = lines('info')
  const server = await app(t, isMobile, { clean: () => { throw new Error('unclean') } }, {}, { logger: log.logger })
  await ask(server, 6)
  t.equal(log.event('observe-failed').length, 1)
  t.equal(log.event('observe-failed')[0]?.err?.message, 'unclean')
  t.equal(observedRoute(server.app, '/:what').comparison.skipped['clean-threw'], 6)
})

t.test('so does whatever else fails in comparing', async t => {
  const log = lines('info')
  const server = await serve(t, app => {
    app.addHook('onResponse', async () => {})
    app.get('/', { config: { coalesce: { observe: true } } }, async (request: FastifyRequest) => {
      Object.defineProperty(request, 'params', { get () { throw new Error('no params') } })
      return 'ok'
    })
  }, ALL, { logger: log.logger })
  for (let n = 0; n < 3; n++) t.equal((await server.get('/')).body, 'ok')
  t.equal(log.event('observe-failed').length, 1)
  t.equal(observedRoute(server.app, '/').comparison.skipped.error, 3)
})

t.test('two clients behind one address are told apart by nothing but what is theirs', async t => {
  const server = await app(t, isMobile, true, { credentials: { remove: ['x-api-key'] }, headers: ['authorization'] })
  for (let n = 0; n < 60; n++) await server.get('/home', { headers: { 'user-agent': n % 2 === 0 ? 'phone' : 'desk' } })
  const { pairs, verdict } = observedRoute(server.app, '/:what').comparison.findings()
  t.equal(verdict, 'unknown')
  t.same(Object.values(pairs.within).reduce((sum, count) => sum + count, 0), 0)
  await server.get('/home', { headers: { authorization: 'Bearer one' } })
  await server.get('/home', { headers: { authorization: 'Bearer one' } })
  t.equal(observedRoute(server.app, '/:what').comparison.findings().pairs.within.equal, 1, 'a credential is')
})

t.test('an app that closes holds nothing to compare with', async t => {
  const clock = new TestClock()
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { observe: true } } }, async () => 'ok') }, { ...ALL, clock })
  await server.get('/')
  t.ok(clock.timers > 0)
  await server.close()
  await until(() => clock.timers === 0)
})

t.test('counts do not go back when a registration ends', async t => {
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { observe: true } } }, async () => 'ok') })
  const { registry } = server.app.coalesce
  await server.get('/')
  await server.close()
  const again = await serve(t, app => { app.get('/', { config: { coalesce: { observe: true } } }, async () => 'ok') }, { metrics: { registry } } as never)
  await again.get('/')
  t.same(await outcomes(again.app), { 'leader shared': 2 })
})

t.test('without metrics routes are observed as well', async t => {
  const server = await serve(t, app => { app.get('/', async () => 'ok') }, { metrics: false, observe: true, global: true })
  await server.get('/')
  t.equal(observedRoute(server.app, '/').comparison.requests, 1)
})
