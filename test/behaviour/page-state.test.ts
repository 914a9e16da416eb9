import { hostname } from 'node:os'
import { Readable } from 'node:stream'
import t from 'tap'
import { memoryStore, runQueue } from '../../lib/index.js'
import { SERIES } from '../../lib/page/state.js'
import type { CoalesceOptions, DashboardOptions, Entry, Store } from '../../types/index.js'
import { held, queue, times } from '../fixtures/crowd.js'
import { gate, TestClock } from '../fixtures/gate.js'
import { ask, rowOf, stateOf } from '../fixtures/page.js'
import { serve } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }

function page (more: Partial<DashboardOptions> = {}, options: CoalesceOptions = {}): CoalesceOptions {
  return { dashboard: { public: true, ...more }, ...options }
}

t.test('the state tells what became of requests, for all and for each route', async t => {
  const clock = new TestClock()
  const handler = held()
  const server = await serve(t, app => {
    app.get('/word/:word', ON, handler)
    app.get('/quiet', ON, async () => 'body')
  }, page({}, { clock }))
  const empty = await stateOf(server)
  t.strictSame([empty.totals, empty.flights, empty.kept, empty.queues, empty.breakers, empty.coordinators, empty.stores, empty.advice], [
    { counts: [0, 0, 0, 0, 0, 0, 0, 0], runs: 0, saved: 0, flights: 0, waiters: 0, bytes: 0 }, [], { entries: 0, bytes: 0, maxBytes: 67_108_864, list: [] }, [], [], [], [], []
  ])
  t.match(empty, {
    version: 1, instance: `${hostname()}:${process.pid}`, mode: 'share', actions: false, reveal: [], limits: { flights: 10_000, waiters: 50_000, bytes: 268_435_456 }
  })
  t.ok(empty.startedAt < empty.at && empty.at <= Date.now() + 1000)

  const waiting = await queue(server, [...times(3, server, '/word/secret?token=abc'), ...times(1, server, '/word/secret', { headers: { cookie: 'session=abc' } })])
  clock.advance(200)
  const during = await stateOf(server)
  t.strictSame([during.totals.flights, during.totals.waiters], [1, 2])
  t.strictSame(during.flights, [{ method: 'GET', route: '/word/:word', age: 200, waiters: 2, phase: 'runs' }])
  handler.gate.open()
  await Promise.all(waiting)

  const after = await stateOf(server)
  const count = (outcome: typeof SERIES[number]): number => after.totals.counts[SERIES.indexOf(outcome)] as number
  t.strictSame([count('leader'), count('follower'), count('bypass'), count('alone')], [1, 2, 1, 0])
  t.match(after.totals, { runs: 2, saved: 400, flights: 0, waiters: 0 })
  t.ok(after.totals.p99 as number > 100 && after.totals.p99 as number <= 250)
  const row = rowOf(after, '/word/:word')
  t.match(row, {
    state: 'shares', totalRequests: 4, actualExecutions: 2, deduplicatedRequests: 2, handlerTimeSaved: 400, counts: after.totals.counts, parking: { at: 'onRequest' }
  })
  t.strictSame(row?.reasons[0], { outcome: 'follower', reason: 'shared', count: 2 })
  t.match(rowOf(after, '/quiet'), { totalRequests: 0, reasons: [] })
  t.notOk(after.routes.some(({ method }) => method === 'HEAD'), 'HEAD routes that nobody asked for are left out')
  t.notMatch(JSON.stringify(after), /secret|abc|req-/)
})

t.test('ids and keys are told only if they are revealed, and the leader of an explained flight as well', async t => {
  for (const reveal of [[], ['ids'], ['keys'], ['ids', 'keys']] as const) {
    const handler = held()
    const server = await serve(t, app => { app.get('/word/:word', ON, handler) }, page({ reveal }), { genReqId: () => 'the-id' })
    const waiting = await queue(server, times(2, server, '/word/secret'))
    const { flights, reveal: told } = await stateOf(server)
    const { flight } = await ask(server, { url: '/word/secret' })
    const [ids, keys] = [reveal.some(each => each === 'ids'), reveal.some(each => each === 'keys')]
    t.strictSame([told, flights[0]?.leaderId, flight?.leaderId], [reveal, ids ? 'the-id' : undefined, ids ? 'the-id' : undefined])
    t.strictSame([flight?.followers, typeof flights[0]?.key, flights[0]?.key?.includes('secret')], [1, keys ? 'string' : 'undefined', keys ? true : undefined])
    handler.gate.open()
    await Promise.all(waiting)
  }
})

t.test('what is cached is told, the most recently used first, without keys and tags unless they are revealed', async t => {
  for (const reveal of [[], ['keys']] as const) {
    const clock = new TestClock()
    const server = await serve(t, app => {
      app.get('/word/:word', { config: { coalesce: { ttl: '1m', tags: ['secret-tag'] } } }, async () => 'body')
    }, page({ reveal }, { clock, store: memoryStore({ clock, maxBytes: 100_000 }) }))
    for (let word = 0; word < 30; word++) await server.get(`/word/secret-${word}`)
    clock.advance(10_000)
    const { kept } = await stateOf(server)
    t.match(kept, { entries: 30, maxBytes: 100_000 })
    t.equal(kept.list.length, 20)
    t.match(kept.list[0], { route: '/word/:word', status: 200, age: 10_000, fresh: 50_000, tags: reveal.length > 0 ? ['secret-tag'] : [] })
    const explained = await ask(server, { url: '/word/secret-29' })
    t.strictSame(explained.cached?.tags, reveal.length > 0 ? ['secret-tag'] : [])
    if (reveal.length > 0) t.match(kept.list[0]?.key, 'secret-29')
    else t.notMatch(JSON.stringify(kept), 'secret')
  }
})

t.test('stores that cannot tell, or fail, have nothing to tell, and one of several users counts once', async t => {
  const broken: Store = {
    get: () => undefined,
    set: () => {},
    delete: () => {},
    get size (): never { throw new Error('no') },
    entries (): never { throw new Error('no') }
  }
  const shared = memoryStore()
  let three: () => Promise<unknown> = async () => {}
  const endless: Store = { ...shared, size: undefined as never, entries: function * () { for (;;) yield {} as Entry } }
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { ttl: '1m' } } }, async () => 'body')
    app.coalesce.deduplicate(async () => 1, { key: () => 'key', name: 'one', ttl: '1m', store: broken })
    app.coalesce.deduplicate(async () => 1, { key: () => 'key', name: 'two', ttl: '1m', store: endless })
    three = app.coalesce.deduplicate(async () => 1, { key: () => 'key', name: 'three', ttl: '1m' })
  }, page({}, { store: shared, warnings: false }))
  await server.get('/')
  await three()
  const { kept, routes } = await stateOf(server)
  t.match(kept, { entries: 2, list: [{ route: '/' }] }, 'results of functions are counted, and not listed')
  t.equal(kept.list.length, 1)
  t.strictSame(routes.filter(({ method }) => method === 'FUNCTION').map(({ route, state }) => [route, state]), [['one', 'shares'], ['two', 'shares'], ['three', 'shares']])
})

t.test('of very many flights those are told that most wait for', async t => {
  const handler = held()
  const server = await serve(t, app => { app.get('/word/:word', ON, handler) }, page())
  const words = Array.from({ length: 30 }, (_, word) => times(word === 7 ? 5 : word === 22 ? 3 : 1, server, `/word/${word}`)).flat()
  const waiting = words.map(send => send())
  await server.arrived(words.length)
  const { flights } = await stateOf(server)
  t.equal(flights.length, 20)
  t.strictSame(flights.slice(0, 3).map(({ waiters }) => waiters), [4, 2, 0])
  handler.gate.open()
  await Promise.all(waiting)
})

t.test('a run that waits for a slot, one that prepares and one that streams are told apart', async t => {
  const opening = gate()
  const looked = gate<undefined>()
  const slow: Store = { get: async () => await looked.promise, set: () => {}, delete: () => {} }
  const server = await serve(t, app => {
    const queue = runQueue({ maxRuns: 1, name: 'database' })
    app.get('/queued/:word', { config: { coalesce: { queue } } }, async () => { await opening.promise })
    app.get('/slow', { config: { coalesce: { ttl: '1m' } } }, async () => 'body')
    app.get('/stream', ON, async (_request, reply) => {
      reply.type('text/plain')
      return await reply.send(Readable.from((async function * () {
        yield 'begins'
        await opening.promise
        yield 'ends'
      })()))
    })
  }, page({}, { store: slow, storeTimeout: '1m' }))
  const waiting = [server.get('/queued/a')]
  await server.arrived(1)
  waiting.push(server.get('/queued/b'), server.get('/slow'), server.get('/stream'), server.get('/stream'))
  await server.arrived(5)
  let phases: string[] = []
  while (!phases.includes('/stream streams')) phases = (await stateOf(server)).flights.map(({ phase, route }) => `${route} ${phase}`).sort()
  t.strictSame(phases, ['/queued/:word queued', '/queued/:word runs', '/slow prepares', '/stream streams'])
  t.match((await stateOf(server)).queues, [{ name: 'database', running: 1, waiting: 1, limit: 1 }])
  looked.open(undefined)
  opening.open()
  await Promise.all(waiting)
})

t.test('a page that has just been opened has the last five minutes, and one that was open asks for what is new', async t => {
  const clock = new TestClock()
  const server = await serve(t, app => { app.get('/', ON, async () => 'body') }, page({}, { clock }))
  await server.get('/')
  clock.advance(10_000)
  const { history } = await stateOf(server)
  t.equal(history.every, 5_000)
  t.strictSame(history.samples.map(({ runs }) => runs), [0, 1, 1])
  const last = history.samples.at(-1)?.at as number
  t.equal(last - (history.samples[0]?.at as number), 10_000)
  clock.advance(5_000)
  t.equal((await stateOf(server, `/coalesce/state?since=${last}`)).history.samples.length, 1)
  for (const since of ['', 'x', '-1', `${last}&since=1`]) t.equal((await stateOf(server, `/coalesce/state?since=${since}`)).history.samples.length, 4, since)
  clock.advance(600_000)
  t.equal((await stateOf(server)).history.samples.length, 61)
})

t.test('hostile names are JSON like all others', async t => {
  const name = '</script><img src=x onerror=alert(1)>"\u2028\'`__proto__'
  const server = await serve(t, app => {
    app.get(`/${encodeURIComponent(name)}`, ON, async () => 'body')
    app.coalesce.deduplicate(async () => 1, { key: () => 'key', name })
  }, page())
  const answer = await server.get('/coalesce/state')
  t.match(answer.headers, { 'content-type': 'application/json; charset=utf-8', 'x-content-type-options': 'nosniff' })
  t.equal(rowOf(JSON.parse(answer.body), name, 'FUNCTION')?.route, name)
})

t.test('routes of one method and pattern are one row', async t => {
  const server = await serve(t, app => {
    for (const version of ['1.0.0', '2.0.0']) app.get('/', { constraints: { version }, ...ON }, async () => version)
  }, page())
  for (const version of ['1.0.0', '2.0.0', '2.0.0']) await server.get('/', { headers: { 'accept-version': version } })
  const first = rowOf(await stateOf(server), '/')
  t.match(first, { totalRequests: 3, actualExecutions: 3, state: 'shares' })
  t.equal((await stateOf(server)).routes.length, 1)
  server.app.coalesce.disable({ url: '/' })
  t.equal(rowOf(await stateOf(server), '/')?.state, 'off')
})

t.test('routes that are observed or verified say so', async t => {
  const server = await serve(t, app => {
    app.get('/observed', { config: { coalesce: { observe: true } } }, async () => 'body')
    app.get('/verified', { config: { coalesce: { observe: { verify: 0.5 } } } }, async () => 'body')
  }, page())
  const state = await stateOf(server)
  t.strictSame([state.mode, rowOf(state, '/observed')?.state, rowOf(state, '/verified')?.state], ['share', 'observes', 'verifies'])
  const all = await serve(t, app => { app.get('/', ON, async () => 'body') }, page({}, { observe: true }))
  t.equal((await stateOf(all)).mode, 'observe')
})

t.test('of very many queues and breakers those are told that matter most', async t => {
  const server = await serve(t, app => {
    for (let route = 0; route < 60; route++) app.get(`/${route}`, { config: { coalesce: { queue: { maxRuns: 1 }, breaker: {} } } }, async () => 'body')
  }, page({ actions: true }))
  const { breakers: before } = await stateOf(server)
  t.strictSame([before.length, before[0]?.name], [50, 'GET /0'])
  await server.get('/coalesce/actions', { method: 'POST', headers: { 'content-type': 'application/json', 'x-coalesce-page': '1' }, body: '{"action":"open","breaker":"GET /59"}' })
  const { breakers, queues } = await stateOf(server)
  t.strictSame([queues.length, breakers.length, breakers[0]?.name, breakers[0]?.state], [50, 50, 'GET /59', 'open'])
})

t.test('advice and what observing finds are told, worked out every few seconds at most', async t => {
  const clock = new TestClock()
  let names = 0
  const server = await serve(t, app => {
    app.get('/home', { config: { coalesce: { observe: true } } }, async () => ({ name: `name ${names++}` }))
  }, page({}, { clock }))
  t.match(rowOf(await stateOf(server), '/home'), { state: 'observes', observed: { verdict: 'too-few', requests: 0 } })
  for (let request = 0; request < 40; request++) await server.get('/home')
  t.equal(rowOf(await stateOf(server), '/home')?.observed?.requests, 0, 'not worked out anew')
  clock.advance(3_000)
  t.ok(rowOf(await stateOf(server), '/home')?.observed?.requests as number > 0)
  t.ok(Array.isArray((await stateOf(server)).advice))
})

t.test('a request that had come before a look, and ends after it with nothing shared, is told at the next', async t => {
  const handler = held((_request, reply) => {
    reply.header('cache-control', 'private')
    return 'body'
  })
  const server = await serve(t, app => { app.get('/', ON, handler) }, page())
  const [waiting] = await queue(server, times(1, server, '/'))
  t.strictSame(rowOf(await stateOf(server), '/')?.counts, [0, 0, 0, 0, 0, 0, 0, 0])
  handler.gate.open()
  await waiting
  const row = rowOf(await stateOf(server), '/')
  t.equal(row?.counts[SERIES.indexOf('leader')], 1)
  t.match(row?.reasons, [{ outcome: 'leader', reason: 'private', count: 1 }])
})
