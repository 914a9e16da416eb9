import { parseList, type Item, type Parameters } from 'structured-headers'
import t, { type Test } from 'tap'
import type { CoalesceOptions } from '../../types/index.js'
import { held, meet, times } from '../fixtures/crowd.js'
import { TestClock } from '../fixtures/gate.js'
import { serve, type Answer } from '../fixtures/server.js'

/** The members of Cache-Status: names, and their parameters as plain values. */
function members ({ headers }: Answer): Array<readonly [unknown, Record<string, unknown>]> {
  const text = headers['cache-status']
  if (text === undefined) return []
  return parseList(String(text)).map(member => {
    const [name, parameters] = member as Item
    return [String(name), Object.fromEntries([...parameters as Parameters].map(([key, value]) => [key, typeof value === 'object' ? String(value) : value]))]
  })
}

async function start (t: Test, options: CoalesceOptions) {
  const clock = new TestClock()
  const state = { failing: false, runs: 0 }
  const server = await serve(t, app => {
    app.get('/word', async (request, reply) => {
      state.runs++
      reply.header('etag', '"a"')
      if (request.headers['if-none-match'] !== undefined) return await reply.code(304).send()
      return 'word'
    })
    app.get('/failing', async (_request, reply) => {
      if (state.failing) reply.code(503)
      return 'well'
    })
    app.get('/private', async (_request, reply) => await reply.header('cache-control', 'private').send('mine'))
    app.get('/upstream', async (_request, reply) => await reply.header('cache-status', 'origin; hit').send('kept'))
    app.get('/tenant', async request => `tenant ${String(request.headers['x-tenant'])}`)
  }, { clock, global: true, ttl: '10s', cacheStatus: true, learnVary: { ignore: ['if-none-match'] }, ...options })
  return Object.assign(server, { clock, state })
}

t.test('without the option there is no Cache-Status', async t => {
  const server = await start(t, { cacheStatus: false })
  t.strictSame(members(await server.get('/word')), [])
})

t.test('a run says why there was one, and whether what it brought is kept', async t => {
  const server = await start(t, {})
  t.strictSame(members(await server.get('/word')), [['fastify-coalesce', { fwd: 'miss', stored: true, ttl: 10, detail: 'shared' }]])
  t.strictSame(members(await server.get('/private')), [['fastify-coalesce', { fwd: 'miss', detail: 'private' }]])
  server.clock.advance(10_001)
  t.match(members(await server.get('/word')), [['fastify-coalesce', { fwd: 'stale', stored: true }]])
})

t.test('a hit says how long it is fresh yet', async t => {
  const server = await start(t, { cacheStatus: 'edge "1"' })
  await server.get('/word')
  server.clock.advance(3000)
  t.strictSame(members(await server.get('/word')), [['edge "1"', { hit: true, ttl: 7 }]])
  t.strictSame(members(await server.get('/word', { headers: { 'if-none-match': '"a"' } })), [['edge "1"', { hit: true, ttl: 7 }]])
})

t.test('a stale one says so', async t => {
  const server = await start(t, { staleWhileRevalidate: '1m', staleIfError: '1m' })
  await server.get('/word')
  server.clock.advance(13_000)
  t.strictSame(members(await server.get('/word')), [['fastify-coalesce', { hit: true, ttl: -3, detail: 'stale-while-revalidate' }]])
})

t.test('one in the place of an error tells of the run that failed', async t => {
  const server = await start(t, { staleIfError: '1m' })
  await server.get('/failing')
  server.clock.advance(13_000)
  server.state.failing = true
  const answer = await server.get('/failing')
  t.match(answer, { status: 200, body: 'well' })
  t.strictSame(members(answer), [['fastify-coalesce', { fwd: 'stale', 'fwd-status': 503, ttl: -3, detail: 'stale-if-error' }]])
  t.strictSame(members(await server.get('/failing')), [['fastify-coalesce', { hit: true, ttl: -3, detail: 'stale-if-error' }]])
})

t.test('what was asked for anew and is still good says what the handler answered', async t => {
  const server = await start(t, {})
  await server.get('/word')
  server.clock.advance(13_000)
  const answer = await server.get('/word')
  t.match(answer, { status: 200, body: 'word' })
  t.strictSame(members(answer), [['fastify-coalesce', { fwd: 'stale', 'fwd-status': 304, stored: true, ttl: 10, detail: 'shared' }]])
})

t.test('a follower was collapsed', async t => {
  const handler = held()
  const clock = new TestClock()
  const server = await serve(t, app => { app.get('/held', handler) }, { clock, global: true, cacheStatus: true })
  const answers = await meet(server, handler, times(3, server, '/held'))
  t.strictSame(answers.map(answer => members(answer)[0]?.[1]).filter(facts => facts?.collapsed === true), [
    { fwd: 'miss', collapsed: true, detail: 'shared' }, { fwd: 'miss', collapsed: true, detail: 'shared' }
  ])
})

t.test('a bypass names its reason', async t => {
  const server = await start(t, {})
  t.strictSame(members(await server.get('/word', { headers: { authorization: 'Bearer secret' } })),
    [['fastify-coalesce', { fwd: 'bypass', detail: 'credentials' }]])
  await server.get('/private')
  t.strictSame(members(await server.get('/private')), [['fastify-coalesce', { fwd: 'bypass', detail: 'unshareable' }]])
})

t.test('another variant is a vary-miss, or a miss once its key is known', async t => {
  const server = await start(t, {})
  const tenant = (name: string) => ({ headers: { 'x-tenant': name } })
  await server.get('/tenant', tenant('a'))
  t.match(members(await server.get('/tenant', tenant('b'))), [['fastify-coalesce', { fwd: /miss/, stored: true }]])
  t.match(members(await server.get('/tenant', tenant('a'))), [['fastify-coalesce', { hit: true }]])
})

t.test('what an upstream said comes first', async t => {
  const server = await start(t, {})
  t.match(members(await server.get('/upstream')), [['origin', { hit: true }], ['fastify-coalesce', { fwd: 'miss' }]])
  t.match(members(await server.get('/upstream')), [['origin', { hit: true }], ['fastify-coalesce', { hit: true }]])
})

t.test('a request that wants nothing kept is forwarded because it says so', async t => {
  const server = await start(t, { respectRequestCacheControl: true })
  await server.get('/word')
  t.match(members(await server.get('/word', { headers: { 'cache-control': 'no-cache' } })), [['fastify-coalesce', { fwd: 'request' }]])
})
