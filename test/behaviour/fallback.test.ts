/**
 * "Who is refused a run gets what is cached and stale, or what the fallback makes, or 503 that says when to come again: in this order,
 * and nobody gets what is for somebody else."
 */
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import coalesce, { circuitBreaker } from '../../lib/index.js'
import type { CoalesceRouteOptions, Entry, RequestCoalesce, Store } from '../../types/index.js'
import { distinct, errorOf, times } from '../fixtures/crowd.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

interface Told {
  readonly handler: number
  readonly fallback: string[]
  readonly served: Array<Pick<RequestCoalesce, 'outcome' | 'reason'>>
}
type Answering = (request: FastifyRequest, reply: FastifyReply) => unknown

/** A route behind a breaker, over a store that answers once its gate, if it has one, is open. */
async function behind (t: Test, route: CoalesceRouteOptions = {}, handler: Answering = () => 'fine') {
  const clock = new TestClock()
  const breaker = circuitBreaker({ clock, consecutive: 1, openFor: '5s' })
  const told: { handler: number, fallback: string[], served: Told['served'] } = { handler: 0, fallback: [], served: [] }
  const entries = new Map<string, Entry>()
  const slow: { gate: Gate | undefined } = { gate: undefined }
  const store: Store = {
    get: key => slow.gate === undefined ? entries.get(key) : slow.gate.promise.then(() => entries.get(key)),
    set: entry => { entries.set(entry.key, entry) },
    delete: key => { entries.delete(key) }
  }
  const { fallback, ...rest } = route
  const server = await serve(t, app => {
    app.addHook('onResponse', async ({ coalesce }) => {
      if (coalesce !== undefined) told.served.push({ outcome: coalesce.outcome, reason: coalesce.reason })
    })
    const own: CoalesceRouteOptions = {}
    if (fallback !== undefined) {
      own.fallback = (request, reply, reason) => {
        told.fallback.push(reason)
        return fallback.call(app, request, reply, reason)
      }
    }
    app.get('/thing/:id', { config: { coalesce: { ttl: '10s', breaker, ...rest, ...own } } }, (request, reply) => {
      told.handler++
      return handler(request, reply)
    })
  }, { clock, store, cacheStatus: true, storeTimeout: '1h' })
  /** So many requests that all wait for the store, until `opening` is open. */
  const board = async (asks: ReadonlyArray<Parameters<typeof server.get>[1]>): Promise<Array<ReturnType<typeof server.get>>> => {
    slow.gate = gate()
    const asked = []
    for (const ask of asks) {
      const before = server.app.coalesce.stats().totalRequests
      asked.push(server.get('/thing/1', ask))
      await server.arrived(before + 1)
    }
    breaker.open()
    slow.gate.open()
    slow.gate = undefined
    return asked
  }
  return Object.assign(server, { breaker, clock, told, board })
}

const STALE = { staleIfError: '10m' } as const

t.test('without anything else it is 503, with the rest of the time in Retry-After', async t => {
  const on = await behind(t, {}, (_request, reply) => reply.code(500).send('down'))
  t.equal((await on.get('/thing/1')).status, 500)
  on.clock.advance(2_100)
  const answer = await on.get('/thing/2')
  t.match(answer, { status: 503, headers: { 'retry-after': '3', 'cache-status': 'fastify-coalesce; detail=breaker-open' } })
  t.match(JSON.parse(answer.body), { code: 'FST_COALESCE_BREAKER_OPEN', statusCode: 503 })
  t.equal(on.told.handler, 1)
  t.strictSame(on.told.served.at(-1), { outcome: 'shed', reason: 'breaker-open' })
  t.match(on.app.coalesce.stats().routes[0]?.reasons, [{}, { outcome: 'shed', reason: 'breaker-open', count: 1 }])
  for (const options of [{ method: 'HEAD' }, { headers: { authorization: 'Bearer me' } }, { headers: { range: 'bytes=0-' } }]) {
    t.match(await on.get('/thing/2', options), { status: 503, headers: { 'retry-after': '3' } })
  }
  t.equal(on.told.handler, 1)
  t.equal(on.breaker.figures().shed.open, 4)
})

t.test('what is stale comes first, with its reason, and the fallback where that is too old', async t => {
  const on = await behind(t, { ...STALE, fallback: (_request, _reply, reason) => `instead, ${reason}` })
  await on.get('/thing/1')
  on.clock.advance(11_000)
  on.breaker.open()
  t.match(await on.get('/thing/1'), { status: 200, body: 'fine', headers: { age: '11', 'cache-status': 'fastify-coalesce; hit; ttl=-1; detail=breaker-open' } })
  t.strictSame([on.told.served.at(-1), on.told.fallback], [{ outcome: 'stale', reason: 'breaker-open' }, []])
  on.clock.advance(600_000)
  t.match(await on.get('/thing/1'), { status: 200, body: 'instead, breaker-open', headers: { 'cache-status': 'fastify-coalesce; detail=fallback' } })
  await until(() => on.told.served.length === 3)
  t.strictSame([on.told.served.at(-1), on.told.fallback, on.told.handler], [{ outcome: 'shed', reason: 'fallback' }, ['breaker-open'], 1])
})

t.test('the fallback answers a flight once, whoever waits, and is no run and not cached', async t => {
  const opening = gate()
  const on = await behind(t, {
    fallback: async (_request, reply) => {
      await opening.promise
      reply.header('cache-control', 'max-age=60')
      return 'instead'
    }
  })
  const asked = await on.board([{}, {}, {}])
  await until(() => on.told.fallback.length === 1)
  // A newcomer joins as well.
  asked.push(on.get('/thing/1'))
  await on.arrived(4)
  opening.open()
  t.strictSame(distinct((await Promise.all(asked)).map(({ status, body }) => [status, body])), [[200, 'instead']])
  await until(() => on.told.served.length === 4)
  t.strictSame(distinct(on.told.served), [{ outcome: 'shed', reason: 'fallback' }])
  t.strictSame([on.told.fallback, on.told.handler, on.app.coalesce.stats().actualExecutions], [['breaker-open'], 0, 0])
  t.strictSame(on.breaker.figures().runs, { good: 0, failed: 0, neutral: 0 })
  on.breaker.close()
  t.equal((await on.get('/thing/1')).body, 'fine')
})

t.test('who waited for a refused run gets the same error', async t => {
  const on = await behind(t)
  const answers = await Promise.all(await on.board([{}, {}, {}]))
  t.strictSame(distinct(answers.map(({ status, headers }) => [status, headers['retry-after']])), [[503, '60']])
  t.strictSame([on.told.handler, on.breaker.figures().shed.open], [0, 1])
})

t.test('hits and what is stale while it is revalidated are served, no refresh begins, and that is no failure', async t => {
  const on = await behind(t, { staleWhileRevalidate: '10m' })
  await on.get('/thing/1')
  on.breaker.open()
  t.match(await on.get('/thing/1'), { body: 'fine' })
  on.clock.advance(11_000)
  for (let round = 0; round < 3; round++) t.match(await on.get('/thing/1'), { body: 'fine', headers: { 'cache-status': /stale-while-revalidate/ } })
  t.equal(on.told.handler, 1)
  on.breaker.close()
  await on.get('/thing/1')
  await until(() => on.told.handler === 2, 'a refresh, at once')
})

t.test('what must be revalidated is not served stale', async t => {
  const on = await behind(t, STALE, (_request, reply) => reply.header('cache-control', 'max-age=10, must-revalidate').send('fine'))
  await on.get('/thing/1')
  on.clock.advance(11_000)
  on.breaker.open()
  t.equal((await on.get('/thing/1')).status, 503)
})

t.test('what is stale reaches nobody who asked for something else, leader or follower', async t => {
  const on = await behind(t, { ...STALE, respectRequestCacheControl: true })
  await on.get('/thing/1')
  on.clock.advance(11_000)
  const fussy = { headers: { 'cache-control': 'no-cache' } }
  t.strictSame((await Promise.all(await on.board([{}, fussy, {}]))).map(({ status }) => status), [200, 503, 200])
  t.strictSame((await Promise.all(await on.board([fussy, {}]))).map(({ status }) => status), [503, 503], 'and of a leader who may not have it nobody is given it')
  t.equal((await on.get('/thing/1', fussy)).status, 503)
  t.equal(on.told.handler, 1)
})

t.test('what is stale reaches only its variant', async t => {
  const on = await behind(t, { ...STALE, fallback: () => 'instead' }, ({ headers }) => `in ${headers['accept-language']}`)
  const speaks = (language: string) => ({ headers: { 'accept-language': language } })
  await on.get('/thing/1', speaks('de'))
  on.clock.advance(11_000)
  on.breaker.open()
  t.equal((await on.get('/thing/1', speaks('de'))).body, 'in de')
  t.equal((await on.get('/thing/1', speaks('fr'))).body, 'instead')
  const crowd = await Promise.all(await on.board(['de', 'fr', 'de', 'en'].map(speaks)))
  t.strictSame(crowd.map(({ body }) => body), ['in de', 'instead', 'in de', 'instead'])
})

t.test('a request with credentials gets nothing that is cached, and a fallback of its own', async t => {
  const on = await behind(t, { ...STALE, fallback: ({ headers }) => `instead, for ${headers.authorization ?? 'anybody'}` })
  await on.get('/thing/1')
  on.clock.advance(11_000)
  on.breaker.open()
  const users = ['Bearer a', 'Bearer b'].map(authorization => on.get('/thing/1', { headers: { authorization } }))
  t.strictSame((await Promise.all(users)).map(({ body }) => body), ['instead, for Bearer a', 'instead, for Bearer b'])
  await until(() => on.told.served.length === 3)
  t.strictSame(distinct(on.told.served.slice(1)), [{ outcome: 'shed', reason: 'fallback' }])
})

for (const [name, fallback] of Object.entries<Answering>({
  'sets a cookie': ({ headers }, reply) => reply.header('set-cookie', `id=${String(headers['x-user'])}`).send(`for ${String(headers['x-user'])}`),
  'is private': ({ headers }, reply) => reply.header('cache-control', 'private').send(`for ${String(headers['x-user'])}`),
  'reads a header': ({ headers }) => `for ${String(headers['x-user'])}`,
  'says that it varies': ({ headers }, reply) => reply.header('vary', 'x-user').send(`for ${String(headers['x-user'])}`)
})) {
  t.test(`a fallback whose response ${name} answers each user by itself`, async t => {
    const on = await behind(t, { fallback, ...(name === 'says that it varies' ? { learnVary: false } : {}) })
    const users = ['a', 'b', 'c', 'a']
    const answers = await Promise.all(await on.board(users.map(user => ({ headers: { 'x-user': user } }))))
    t.strictSame(answers.map(({ body }) => body), users.map(user => `for ${user}`))
    t.equal(on.told.handler, 0)
    on.breaker.close()
    t.strictSame((await Promise.all(times(2, on, '/thing/9').map(send => send()))).map(({ body }) => body), ['fine', 'fine'])
    t.equal((await on.get('/thing/1', { headers: { 'x-user': 'a' } })).body, 'fine')
    await until(() => on.told.served.length === users.length + 3)
    t.equal(on.told.served.at(-1)?.outcome, 'leader', 'nothing is remembered of it')
  })
}

t.test('a fallback may answer with a stream, for all who wait', async t => {
  const on = await behind(t, { fallback: (_request, reply) => reply.send(Readable.from(['in', 'stead'])) })
  t.strictSame(distinct((await Promise.all(await on.board([{}, {}, {}]))).map(({ body }) => body)), ['instead'])
  t.equal(on.told.fallback.length, 1)
})

t.test('a fallback that fails is an error for all who wait, and nothing that the breaker or the cache knows of', async t => {
  const on = await behind(t, { onError: 'promote', fallback: () => { throw new Error('of the fallback') } })
  const answers = await Promise.all(await on.board([{}, {}]))
  t.strictSame(distinct(answers.map(({ status, body }) => [status, (JSON.parse(body) as Error).message])), [[500, 'of the fallback']])
  t.strictSame([on.told.fallback.length, on.breaker.figures().runs.failed], [1, 0])
  on.breaker.close()
  t.equal((await on.get('/thing/1')).body, 'fine')
})

t.test('a fallback is not asked whether what is cached is still good', async t => {
  const on = await behind(t, {
    ttl: '10s',
    fallback: ({ headers }, reply) => headers['if-none-match'] === undefined ? 'instead' : reply.code(304).send()
  }, (_request, reply) => reply.header('etag', '"a"').send('fine'))
  await on.get('/thing/1')
  on.clock.advance(11_000)
  on.breaker.open()
  t.match(await on.get('/thing/1'), { status: 200, body: 'instead' })
})

t.test('what a fallback answers to HEAD says nothing of the response that is cached', async t => {
  const on = await behind(t, { fallback: (_request, reply) => reply.header('etag', '"a"').send('fine') }, (_request, reply) => reply.header('etag', '"a"').send('fine'))
  await on.get('/thing/1')
  on.clock.advance(11_000)
  on.breaker.open()
  t.equal((await on.get('/thing/1', { method: 'HEAD' })).status, 200)
  on.breaker.close()
  await on.get('/thing/1')
  t.equal(on.told.handler, 2, 'it is as old as it was')
})

t.test('calls of a function: stale, its fallback with reason and arguments, an error', async t => {
  const clock = new TestClock()
  const app: FastifyInstance = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { clock })
  const breaker = circuitBreaker({ clock })
  let runs = 0
  const fn = async (word: string): Promise<string> => {
    runs++
    return `meaning of ${word}`
  }
  const options = { key: (word: string) => word, breaker, ttl: '10s', staleIfError: '1m' } as const
  const bare = app.coalesce.deduplicate(fn, { ...options, name: 'bare' })
  const falling = app.coalesce.deduplicate(fn, { ...options, name: 'falling', fallback: (reason, word) => `${word}: ${reason}` })
  await Promise.all([bare('a'), falling('a')])
  clock.advance(11_000)
  breaker.open()
  t.strictSame([await bare('a'), await falling('a')], ['meaning of a', 'meaning of a'])
  t.strictSame(await Promise.all([falling('b'), falling('b'), falling('c')]), ['b: breaker-open', 'b: breaker-open', 'c: breaker-open'])
  t.match(await errorOf(async () => await bare('b')), { code: 'FST_COALESCE_BREAKER_OPEN', statusCode: 503 })
  t.equal(runs, 2)
  breaker.close()
  t.equal(await falling('b'), 'meaning of b')
})
