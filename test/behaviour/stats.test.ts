/**
 * "`stats()` says of each route how its requests were served, what its responses vary on, where requests wait, and how long all that took."
 */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceOptions, RouteFigures, VariesOn } from '../../types/index.js'
import { gate, TestClock, until } from '../fixtures/gate.js'

const ON = { config: { coalesce: true } }

async function start (t: Test, options: CoalesceOptions = {}): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify({ exposeHeadRoutes: false })
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, options)
  return app
}

function figures (app: FastifyInstance, route: string): RouteFigures {
  return app.coalesce.stats().routes.find(each => each.route === route) as RouteFigures
}

t.test('reasons are counted with their causes, the most frequent first', async t => {
  const app = await start(t)
  const opening = gate()
  app.get('/word', ON, async () => { await opening.promise })
  const all = [app.inject('/word'), app.inject('/word'), app.inject('/word'),
    app.inject({ url: '/word', headers: { cookie: 'a=1' } }), app.inject({ url: '/word', headers: { authorization: 'x' } })]
  await until(() => app.coalesce.stats().totalRequests === 5)
  t.strictSame(figures(app, '/word').reasons, [
    { outcome: 'bypass', reason: 'credentials', cause: 'cookie', count: 1 },
    { outcome: 'bypass', reason: 'credentials', cause: 'authorization', count: 1 }
  ])
  opening.open()
  await Promise.all(all)
  t.strictSame(figures(app, '/word').reasons, [
    { outcome: 'follower', reason: 'shared', count: 2 },
    { outcome: 'leader', reason: 'shared', count: 1 },
    { outcome: 'bypass', reason: 'credentials', cause: 'cookie', count: 1 },
    { outcome: 'bypass', reason: 'credentials', cause: 'authorization', count: 1 }
  ])
})

t.test('waits and runs are told in milliseconds, with estimated percentiles, and with what was saved', async t => {
  const clock = new TestClock()
  const app = await start(t, { clock })
  const opening = gate()
  app.get('/word', ON, async () => { await opening.promise })
  app.get('/idle', ON, async () => 'body')
  const all = [app.inject('/word'), app.inject('/word'), app.inject('/word')]
  await until(() => app.coalesce.stats().totalRequests === 3)
  t.equal('waits' in figures(app, '/word'), false)
  t.equal('handlerTime' in figures(app, '/word'), false)
  clock.advance(200)
  opening.open()
  await Promise.all(all)
  const { waits, handlerTime, handlerTimeSaved } = figures(app, '/word')
  // In the bucket from 100 to 250 ms.
  t.strictSame(waits, { count: 2, p50: 175, p90: 235, p99: 248.5 })
  t.strictSame(handlerTime, { count: 1, mean: 200, p50: 175, p99: 248.5 })
  t.equal(handlerTimeSaved, 400)
  t.equal(app.coalesce.stats().handlerTimeSaved, 400)
  t.equal(figures(app, '/idle').handlerTimeSaved, 0)
})

t.test('it says where requests wait, why, and what followers skip because of that', async t => {
  const app = await start(t)
  app.get('/early', ON, async () => 'body')
  app.get('/guarded', { ...ON, preHandler: async () => {} }, async () => 'body')
  app.get('/forced', { config: { coalesce: { hook: 'onRequest' } }, preHandler: async () => {} }, async () => 'body')
  app.coalesce.deduplicate(async () => 1, { key: () => 'k', name: 'lookUp' })
  t.match(figures(app, '/early').parking, { at: 'preHandler', why: 'the app is not complete yet', skips: [] })
  await app.ready()
  t.strictSame(figures(app, '/early').parking, { at: 'onRequest', why: 'there are no later gates', skips: [] })
  t.strictSame(figures(app, '/guarded').parking, { at: 'preHandler', why: 'there are gates: preHandler', skips: [] })
  t.strictSame(figures(app, '/forced').parking, { at: 'onRequest', why: 'the hook option', skips: ['preHandler'] })
  t.equal('parking' in figures(app, 'lookUp'), false)
  t.strictSame(figures(app, 'lookUp').variesOn, [])
})

t.test('it says what responses vary on, and where that was seen', async t => {
  const app = await start(t)
  const handlers: Record<string, (request: FastifyRequest, reply: FastifyReply) => void> = {
    '/reads': ({ headers, ip }) => [headers['accept-language'], headers['accept-encoding'], ip],
    '/hooked': ({ headers }) => headers['x-tenant'],
    '/says': (_request, reply) => reply.header('vary', 'X-Flavour, Accept-Encoding'),
    '/declares': ({ coalesce }) => coalesce?.varyOn('X-Plan'),
    '/nothing': () => {}
  }
  app.addHook('onRequest', async ({ headers, url }) => { if (url === '/hooked') headers['x-tenant']?.toString() })
  for (const [url, handler] of Object.entries(handlers)) {
    app.get(url, ON, async (request, reply) => {
      handler(request, reply)
      return 'body'
    })
  }
  const learned = async (url: string): Promise<VariesOn[]> => {
    await app.inject({ url, headers: { 'x-tenant': 'a' } })
    return [...figures(app, url).variesOn].sort((one, other) => one.name < other.name ? -1 : 1)
  }
  t.strictSame(await learned('/reads'), [
    { name: 'accept-encoding', learnedFrom: 'handler' }, { name: 'accept-language', learnedFrom: 'handler' }, { name: 'ip', learnedFrom: 'handler' }
  ])
  t.strictSame(await learned('/hooked'), [{ name: 'x-tenant', learnedFrom: 'hook' }])
  t.strictSame(await learned('/says'), [{ name: 'accept-encoding', learnedFrom: 'vary' }, { name: 'x-flavour', learnedFrom: 'vary' }])
  t.strictSame(await learned('/declares'), [{ name: 'x-plan', learnedFrom: 'varyOn' }])
  t.strictSame(await learned('/nothing'), [])
})

t.test('what a cached response was stored with is known of an earlier one', async t => {
  const entries = new Map()
  const store = { get: (key: string) => entries.get(key), set: (entry: { key: string }) => { entries.set(entry.key, entry) }, delete: () => {} }
  const apps = await Promise.all([0, 1].map(async () => {
    const app = await start(t, { store, ttl: '1m' })
    app.get('/word', ON, async (_request, reply) => {
      reply.header('vary', 'x-flavour')
      return 'body'
    })
    await app.inject({ url: '/word', headers: { 'x-flavour': 'a' } })
    return app
  }))
  const later = await start(t, { store, ttl: '1m' })
  later.get('/word', ON, async () => 'body')
  await later.inject({ url: '/word', headers: { 'x-flavour': 'a' } })
  t.strictSame(figures(apps[0] as FastifyInstance, '/word').variesOn, [{ name: 'x-flavour', learnedFrom: 'vary' }])
  t.strictSame(figures(later, '/word').variesOn, [{ name: 'x-flavour', learnedFrom: 'earlier' }])
})

t.test('what clients make up stays bounded', async t => {
  const app = await start(t)
  app.get('/word', ON, async ({ headers }) => headers[String(headers['x-name'])] ?? 'none')
  for (let index = 0; index < 70; index++) {
    await app.inject({ url: `/word?q=${index % 50}`, headers: { 'x-name': `x-${index}-${'a'.repeat(80)}` } })
  }
  const { variesOn } = figures(app, '/word')
  t.equal(variesOn.length, 64)
  t.equal(Math.max(...variesOn.map(({ name }) => name.length)), 64)
  t.equal(variesOn[0]?.name, 'x-name')
})
