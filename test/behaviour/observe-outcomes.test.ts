/**
 * An observed route shares nothing, and counts what would have become of its requests.
 */
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import replyFrom from '@fastify/reply-from'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Registry } from 'prom-client'
import t from 'tap'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { held, meet, queue, times } from '../fixtures/crowd.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { observedRoute, outcomes } from '../fixtures/observed.js'
import { serve, type TestServer } from '../fixtures/server.js'

const OBSERVE = { observe: true } as const

/** An app with one observed route. */
async function app (
  t: Parameters<typeof serve>[0], handler: (request: FastifyRequest, reply: FastifyReply) => unknown, config: CoalesceRouteOptions = {}, more: Parameters<typeof serve>[2] = {}
): Promise<TestServer> {
  return await serve(t, app => { app.get('/', { config: { coalesce: { ...OBSERVE, ...config } } }, handler as never) }, more)
}

/** Waits until it is known what would have become of so many requests. */
async function counted (server: TestServer, count = 1): Promise<void> {
  const { outcomes } = observedRoute(server.app, '/')
  await until(() => [...outcomes.values()].reduce((sum, each) => sum + each, 0) >= count)
}

t.test('of requests at the same time each runs its handler, one would have led and the others followed', async t => {
  const handler = held()
  const told: unknown[] = []
  const server = await serve(t, app => {
    app.addHook('onResponse', async ({ coalesce }) => { told.push([coalesce?.outcome, coalesce?.reason]) })
    app.get('/', { config: { coalesce: { ...OBSERVE, cacheStatus: true } } }, handler)
  })
  const answers = await meet(server, handler, times(10, server, '/'))
  t.equal(handler.runs, 10)
  t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 9 })
  t.same(answers.map(({ headers }) => headers['cache-status']), Array(10).fill('fastify-coalesce; fwd=bypass; detail=observed'))
  t.same(told, Array(10).fill(['bypass', 'observed']))
  const { actualExecutions, deduplicatedRequests, routes: [route] } = server.app.coalesce.stats()
  t.same([actualExecutions, deduplicatedRequests], [10, 0])
  t.same(route?.reasons, [{ outcome: 'bypass', reason: 'observed', count: 10 }])
})

t.test('who comes after the one that would have led was answered would lead itself, although others still run', async t => {
  const gates = [gate(), gate(), gate()]
  let runs = 0
  const server = await app(t, async () => { await gates[runs++]?.promise })
  const first = await queue(server, times(2, server, '/'))
  gates[0]?.open()
  await first[0]
  const [third] = await queue(server, times(1, server, '/'))
  gates[1]?.open()
  gates[2]?.open()
  await Promise.all([first[1], third])
  t.same(await outcomes(server.app), { 'leader shared': 2, 'follower shared': 1 })
})

t.test('a client that reads slowly keeps nobody from leading: its response is there already', async t => {
  const server = await app(t, () => 'x'.repeat(30_000_000), { maxBodyBytes: 100_000_000 })
  const slow = connect(server.port, '127.0.0.1')
  t.teardown(() => { slow.destroy() })
  slow.pause()
  slow.write(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`)
  await server.arrived(1)
  await server.get('/')
  await counted(server)
  t.same(await outcomes(server.app), { 'leader shared': 1 })
})

t.test('who comes within ttl would have hit', async t => {
  const clock = new TestClock()
  const server = await app(t, () => 'ok', { ttl: '1m' }, { clock })
  for (const pause of [0, 59_999, 1]) {
    clock.advance(pause)
    await server.get('/')
  }
  t.same(await outcomes(server.app), { 'leader shared': 2, 'hit fresh': 1 })
  t.equal(server.app.coalesce.stats().cacheHits, 0)
  t.same(server.app.coalesce.entries(), [], 'nothing is cached')
})

t.test('what would be cached for no time is none to hit', async t => {
  const server = await app(t, (_request, reply) => reply.header('cache-control', 'no-cache').send('ok'), { ttl: 'headers' })
  await server.get('/')
  await server.get('/')
  t.same(await outcomes(server.app), { 'leader shared': 2 })
})

t.test('of so many responses it is known whether they would be cached, and the oldest is forgotten', async t => {
  const server = await app(t, () => 'ok', { ttl: '1m' })
  const get = async (n: number): Promise<unknown> => await server.app.inject(`/?n=${n}`)
  for (let n = 0; n < 4_097; n++) await get(n)
  await get(4_096)
  await get(0)
  t.same(await outcomes(server.app), { 'leader shared': 4_098, 'hit fresh': 1 })
})

t.test('what may not join is told with its reason, and is observed all the same', async t => {
  const reasons: unknown[] = []
  const server = await app(t, (request: FastifyRequest) => { reasons.push(request.coalesce?.reason); return 'ok' })
  await server.get('/', { headers: { authorization: 'Bearer x' } })
  await server.get('/', { headers: { range: 'bytes=0-1' } })
  await server.get('/', { method: 'HEAD' })
  t.same(await outcomes(server.app), { 'bypass credentials': 1, 'bypass range': 1 })
  t.same(await outcomes(server.app, 'HEAD'), { 'bypass head': 1 })
  await server.get('/', { headers: { range: 'bytes=0-1' } })
  t.same(server.app.coalesce.report().routes[0]?.would, [{ outcome: 'bypass', reason: 'range', count: 2 }, { outcome: 'bypass', reason: 'credentials', count: 1 }], 'the most frequent first')
  t.same(reasons, Array(4).fill('observed'))
})

t.test('a HEAD and a part would have followed a GET, or hit', async t => {
  const handler = held(() => 'ok')
  const server = await app(t, handler, { ttl: '1m' })
  const heads = [() => server.get('/', { method: 'HEAD' }), () => server.get('/', { headers: { range: 'bytes=0-1' } })]
  const answers = await queue(server, [() => server.get('/'), ...heads])
  handler.gate.open()
  await Promise.all(answers)
  for (const head of heads) await head()
  t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 1, 'hit fresh': 1 })
  t.same(await outcomes(server.app, 'HEAD'), { 'follower shared': 1, 'hit fresh': 1 })
})

const unshareable: Readonly<Record<string, (request: FastifyRequest, reply: FastifyReply) => unknown>> = {
  'set-cookie': (_request, reply) => reply.header('set-cookie', 'a=1').send('ok'),
  private: () => new Response('ok', { headers: { 'cache-control': 'private' } }),
  'reads-all-headers': request => Object.keys(request.headers),
  'vary-any': request => { request.coalesce?.varyOn('*'); return 'ok' },
  'vary-malformed': (_request, reply) => reply.header('vary', 'a b').send('ok'),
  'request-id': request => request.id.repeat(1) + ' is the id',
  'csp-nonce': (_request, reply) => reply.header('content-security-policy', "script-src 'nonce-abcdefgh'").send('<script nonce="abcdefgh">'),
  'event-stream': (_request, reply) => reply.type('text/event-stream').send(Readable.from(['data: 1\n\n'])),
  'too-large': () => 'x'.repeat(2_000),
  hijacked: (_request, reply) => { reply.hijack(); reply.raw.end('by hand') },
  unrecorded: (_request, reply) => { reply.raw.end('past it') },
  status: (_request, reply) => reply.code(400).send('no')
}

t.test('what nobody else would have been given is told with its reason', async t => {
  for (const [reason, handler] of Object.entries(unshareable)) {
    const server = await app(t, handler, { maxBodyBytes: 1_000 })
    await server.get('/')
    await until(() => server.app.coalesce.stats().totalRequests === 1)
    t.same(await outcomes(server.app), { [`unshareable ${reason}`]: 1 })
  }
})

t.test('so is what was forwarded for one user only', async t => {
  const upstream = await serve(t, app => { app.get('/', async () => 'ok') })
  const server = await serve(t, async app => {
    await app.register(replyFrom, { base: `http://127.0.0.1:${upstream.port}` })
    app.get('/', { config: { coalesce: { ...OBSERVE, identity: () => 'ada' } } }, (_request, reply) => reply.from('/'))
  })
  await server.get('/', { headers: { authorization: 'Bearer x' } })
  await server.get('/', { headers: { 'x-any': '1' } })
  t.same(await outcomes(server.app), { 'unshareable authorization': 1, 'leader shared': 1 })
})

t.test('so is what a hook of others makes unshareable after the handler', async t => {
  const server = await serve(t, app => {
    app.addHook('onSend', async (_request, reply) => { reply.header('set-cookie', 'a=1') })
    app.get('/', { config: { coalesce: OBSERVE } }, async () => 'ok')
  })
  await server.get('/')
  t.same(await outcomes(server.app), { 'unshareable set-cookie': 1 })
})

t.test('a response that depends on more than can be remembered would not have been shared', async t => {
  const server = await app(t, request => {
    for (let n = 0; n < 300; n++) if (request.headers[`x-${n}`] === 'never') return 'no'
    return 'ok'
  })
  await server.get('/')
  t.same(await outcomes(server.app), { 'unshareable varies-too-much': 1 })
})

t.test('a failure would have been shared as such, and a client that leaves is told as such', async t => {
  const arrived = gate()
  const server = await app(t, async (request: FastifyRequest) => {
    if (request.query !== null && 'wait' in (request.query as object)) {
      arrived.open()
      await new Promise(() => {})
    }
    throw new Error('no')
  })
  t.equal((await server.get('/')).status, 500)
  const waiting = server.get('/?wait')
  await arrived.promise
  waiting.request.destroy()
  await t.rejects(waiting)
  await until(() => server.app.coalesce.stats().totalRequests === 2)
  await counted(server, 2)
  t.same(await outcomes(server.app), { 'leader failed': 1, 'leader client-left': 1 })
})

t.test('a Response that is a failure would have been shared as such', async t => {
  const server = await app(t, () => new Response('no', { status: 503 }))
  t.equal((await server.get('/')).status, 503)
  await counted(server)
  t.same(await outcomes(server.app), { 'leader failed': 1 })
  t.equal(observedRoute(server.app, '/').comparison.skipped.failed, 1)
})

t.test('runs pass protection, and what is refused is told as such', async t => {
  const handler = held()
  const server = await app(t, handler, { queue: { maxRuns: 1, maxQueued: 1 }, priority: () => undefined, query: { ignore: ['utm_*'] } })
  const answers = await queue(server, times(3, server, '/?utm_source=1'))
  t.equal((await answers[2])?.status, 503)
  t.equal(handler.runs, 1)
  handler.gate.open()
  await Promise.all(answers)
  t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 1, 'shed queue-full': 1 })
})

t.test('a client that leaves before it has a slot would have followed', async t => {
  const handler = held()
  const server = await app(t, handler, { queue: { maxRuns: 1 } })
  const [first, second] = await queue(server, times(2, server, '/'))
  second?.request.destroy()
  await t.rejects(second as never)
  await until(() => server.app.coalesce.stats().routes[0]?.reasons[0]?.count === 2)
  handler.gate.open()
  await first
  t.same(await outcomes(server.app), { 'leader shared': 1, 'follower client-left': 1 })
})

t.test('a route that is switched off is not observed', async t => {
  const server = await app(t, (request: FastifyRequest) => request.coalesce?.reason)
  server.app.coalesce.disable({ url: '/' })
  t.equal((await server.get('/')).body, 'disabled')
  t.same(await outcomes(server.app), {})
})

t.test('values of headers that a handler reads would have told responses apart', async t => {
  let handler = held((request: FastifyRequest) => request.headers['accept-language'])
  const server = await app(t, (request, reply) => handler(request, reply))
  const clients = ['de', 'fr', 'de', 'fr'].map(lang => () => server.get('/', { headers: { 'accept-language': lang } }))
  await meet(server, handler, clients)
  t.match(await outcomes(server.app), { 'leader shared': 2, 'follower shared': 2 }, 'also before that was known')
  handler = held((request: FastifyRequest) => request.headers['accept-language'])
  await meet(server, handler, clients)
  t.same(await outcomes(server.app), { 'leader shared': 4, 'follower shared': 4 })
  t.same(server.app.coalesce.stats().routes[0]?.variesOn, [{ name: 'accept-language', learnedFrom: 'handler' }])
})

for (const reads of [false, true]) {
  t.test(`cookies that the route ignores are seen by its handler, and do not count${reads ? ', although a hook reads them' : ''}`, async t => {
    const handler = held((request: FastifyRequest) => request.headers.cookie ?? 'none')
    const seen: unknown[] = []
    const server = await serve(t, app => {
      if (reads) app.addHook('onRequest', async request => { seen.push(request.headers.cookie) })
      app.get('/', { config: { coalesce: { ...OBSERVE, cookies: { ignore: ['_ga'] } } } }, handler)
    })
    const answers = await meet(server, handler, ['_ga=1', '_ga=2', 'b=1'].map(cookie => () => server.get('/', { headers: { cookie } })))
    t.same(answers.map(({ body }) => body), ['_ga=1', '_ga=2', 'b=1'])
    t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 1, 'bypass credentials': 1 })
    t.equal(seen.length, reads ? 3 : 0)
  })
}

t.test('explain says that the route is observed, and what the key is made of', async t => {
  const server = await app(t, () => 'ok')
  const { summary, key, steps } = await server.app.coalesce.explain('/?q=1', { values: true })
  t.match(summary, /^bypass\/observed: the route is observed/)
  t.match(key?.at(-1), { part: 'query', name: 'q', value: '1' })
  t.same(steps.map(({ step, decides }) => [step, decides]), [['enabled', true]])
  t.equal((await server.app.coalesce.explain({ url: '/', headers: { authorization: 'x' } })).reason, 'observed')
})

t.test('an app that observes nothing has no metrics of that', async t => {
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, async () => 'ok') })
  t.notMatch((await server.get('/metrics')).body, /observe/)
})

t.test('what has ended is not told of in a registry that was cleared', async t => {
  const routes = (app: FastifyInstance): void => { app.get('/', { config: { coalesce: OBSERVE } }, async () => 'ok') }
  const first = await serve(t, routes)
  const registry = first.app.coalesce.registry as Registry
  await first.get('/')
  await first.close()
  registry.clear()
  const second = await serve(t, routes, { metrics: { registry } })
  await second.get('/')
  t.same(await outcomes(second.app), { 'leader shared': 1 })
})
