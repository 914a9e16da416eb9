/**
 * The spans of requests that share a run say so, whichever plugin comes first, and all of them end.
 */
import { connect } from 'node:http2'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { held, queue, times } from '../fixtures/crowd.js'
import { grounded, leave, waiting } from '../fixtures/endings.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { complaints, ORDERS, spans, trace, traced, type First } from '../fixtures/tracing.js'

const SHARED = { role: 'follower', outcome: 'follower', reason: 'shared' }

/** What is known of a run before its response. With @fastify/otel first its span ends before the rest is. */
const leader = (first: First, reason: string, more: object = {}): object =>
  ({ role: 'leader', outcome: 'leader', ...more, ...first === 'ours' && { reason } })

/** A test for both orders. */
function both (name: string, run: (t: Test, first: First) => Promise<void>): void {
  for (const first of ORDERS) {
    t.test(`${name}, with ${first === 'otel' ? '@fastify/otel' : 'this plugin'} first`, async t => {
      await run(t, first)
      await spans.ended()
      t.strictSame(complaints, [])
    })
  }
}

for (const hook of ['auto', 'preHandler'] as const) {
  both(`five clients have five spans, one run, four links to its span and four waits where requests wait at ${hook}`, async (t, first) => {
    trace(t)
    const handler = held()
    const server = await traced(t, first, app => { app.get('/word/:word', { config: { coalesce: { hook } } }, handler) })
    const answers = await queue(server, times(5, server, '/word/secret?q=hidden'))
    handler.gate.open()
    await Promise.all(answers)
    await spans.ended()
    const [one, ...others] = spans.requests()
    t.equal(handler.runs, 1)
    t.strictSame(spans.said([one, ...others] as never), [leader(first, 'shared', { followers: 4 }), SHARED, SHARED, SHARED, SHARED])
    const id = one?.spanContext().spanId
    t.strictSame([one, ...others].map(spans.links), [[], [id], [id], [id], [id]])
    const waits = spans.waits()
    t.strictSame(spans.said(waits), [SHARED, SHARED, SHARED, SHARED])
    t.strictSame(waits.map(spans.links), [[id], [id], [id], [id]])
    t.strictSame(new Set(waits.map(({ parentSpanContext }) => parentSpanContext?.spanId)), new Set(others.map(span => span.spanContext().spanId)))
    t.notMatch(JSON.stringify([spans.said(spans.all()), waits.map(({ attributes, links }) => [attributes, links])]), /hidden|secret/)
  })
}

both('a follower whose client leaves has a span and a wait that end, and so has one that waits in a queue', async (t, first) => {
  trace(t)
  const handler = held()
  const server = await traced(t, first, app => { app.get('/:word', { config: { coalesce: { queue: { maxRuns: 1 } } } }, handler) })
  const [one, two] = await queue(server, times(2, server, '/a'))
  const [queued, bypass] = await queue(server, [() => server.get('/b'), () => server.get('/c', { headers: { cookie: 'a=1' } })])
  for (const gone of [two, queued, bypass]) await leave(gone as NonNullable<typeof gone>)
  await until(() => spans.requests().length === 3)
  t.strictSame(spans.said(spans.requests()), [
    { role: 'follower', outcome: 'follower', reason: 'client-left' },
    { followers: 0, outcome: 'leader', reason: 'client-left' },
    { outcome: 'bypass', reason: 'credentials', cause: 'cookie' }
  ])
  t.strictSame(spans.said(spans.waits()), [{ role: 'follower', outcome: 'follower', reason: 'client-left' }])
  handler.gate.open()
  await one
  await grounded(server.app)
})

both('the span of a leader whose client leaves ends with its run', async (t, first) => {
  trace(t)
  const handler = held()
  const server = await traced(t, first, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const [one, two] = await queue(server, times(2, server, '/'))
  await leave(one as NonNullable<typeof one>)
  handler.gate.open()
  await two
  await spans.ended()
  t.strictSame(spans.said(spans.requests()), [leader(first, 'shared', { followers: 1 }), SHARED])
})

both('a request that is promoted ends its wait and leads, and those who wait on link to it as well', async (t, first) => {
  trace(t)
  const opening = gate()
  let runs = 0
  const server = await traced(t, first, app => {
    app.get('/', { config: { coalesce: { onError: 'promote' } } }, async () => {
      if (++runs > 1) {
        await opening.promise
        return 'second'
      }
      await waiting(server.app, 2)
      throw new Error('failed')
    })
  })
  const answers = await queue(server, times(3, server, '/'))
  await until(() => runs === 2)
  opening.open()
  t.strictSame((await Promise.all(answers)).map(({ status }) => status), [500, 200, 200])
  await spans.ended()
  const [one, two, three] = spans.requests()
  const ids = [one, two].map(span => span?.spanContext().spanId)
  t.strictSame(spans.said([one, two, three] as never), [
    leader(first, 'failed', { followers: 2 }), leader(first, 'shared', first === 'ours' ? { followers: 1 } : {}), SHARED
  ])
  t.strictSame([two, three].map(spans.links), [[ids[0]], ids])
  t.strictSame(spans.waits().map(spans.links), [[ids[0]], ids])
  t.strictSame(spans.said(spans.waits()), [{ role: 'follower' }, SHARED])
})

both('those who run alone, or get an error after their wait, say so', async (t, first) => {
  trace(t)
  const clock = new TestClock()
  const handler = held((_request, reply) => {
    reply.header('cache-control', 'no-store')
    return 'own'
  })
  const slow = held()
  const broken = held(() => { throw new Error('broken') })
  const server = await traced(t, first, app => {
    app.get('/alone', { config: { coalesce: true } }, handler)
    app.get('/slow', { config: { coalesce: { waitTimeout: '1s', onWaitTimeout: 'error' } } }, slow)
    app.get('/broken', { config: { coalesce: true } }, broken)
  }, { clock })
  const alone = await queue(server, times(2, server, '/alone'))
  const late = await queue(server, times(2, server, '/slow'))
  const failed = await queue(server, times(2, server, '/broken'))
  clock.advance(1000)
  t.equal((await late[1])?.status, 503)
  for (const each of [handler, slow, broken]) each.gate.open()
  await Promise.all([...alone, ...late, ...failed])
  await spans.ended()
  t.strictSame(spans.said(spans.requests().filter((_span, index) => index % 2 === 1)), [
    { role: 'follower', outcome: 'alone', reason: 'no-store' },
    { role: 'follower', outcome: 'follower', reason: 'wait-timeout' },
    { role: 'follower', outcome: 'follower', reason: 'failed' }
  ])
  t.equal(spans.waits().length, 3)
})

both('what is cached, a bypass, and a run that is refused have no wait, and say what they are', async (t, first) => {
  trace(t)
  const clock = new TestClock()
  const busy = held()
  const handler = held()
  handler.gate.open()
  const server = await traced(t, first, app => {
    app.get('/', { config: { coalesce: { ttl: '1m', staleWhileRevalidate: '1m' } } }, handler)
    app.get('/busy', { config: { coalesce: { queue: { maxRuns: 1, maxQueued: 0 } } } }, busy)
    app.get('/other', { config: { coalesce: false } }, async () => 'ok')
  }, { clock })
  await server.get('/')
  await server.get('/')
  await server.get('/')
  await server.get('/', { headers: { cookie: 'a=1' } })
  await server.get('/other')
  clock.advance(70_000)
  await server.get('/')
  await until(() => handler.runs === 3, 'the refresh')
  const first1 = server.get('/busy?1')
  await until(() => busy.runs === 1)
  t.equal((await server.get('/busy?2')).status, 503)
  busy.gate.open()
  await first1
  await spans.ended()
  const said = spans.said(spans.requests())
  const hit = { outcome: 'hit', reason: 'fresh', 'http.cache.hit': true }
  t.strictSame(said.filter(each => 'reason' in each && !('role' in each)), [
    hit, hit, { outcome: 'bypass', reason: 'credentials', cause: 'cookie' },
    { outcome: 'stale', reason: 'stale-while-revalidate', 'http.cache.hit': true },
    { outcome: 'shed', reason: 'queue-full' }
  ])
  t.strictSame(said.filter(each => Object.keys(each).length === 0).length, 2, 'a route that is not coalesced, and a refresh')
  t.strictSame(spans.waits(), [])
})

both('streams and HEAD share the span of their run, and end', async (t, first) => {
  trace(t)
  const source = new Readable({ read () {} })
  const server = await traced(t, first, app => { app.get('/', { config: { coalesce: true } }, async () => source) })
  const [one] = await queue(server, times(1, server, '/'))
  source.push('a')
  const two = server.get('/')
  const head = server.get('/', { method: 'HEAD' })
  await server.arrived(3)
  source.push(null)
  t.strictSame((await Promise.all([one, two, head])).map(answer => answer?.body), ['a', 'a', ''])
  await spans.ended()
  const [leading, ...others] = spans.requests()
  const id = leading?.spanContext().spanId
  // @fastify/otel wraps the handler of the HEAD route anew, which then is not known to be that of the GET route.
  t.strictSame(spans.said(others), [SHARED, first === 'ours' ? SHARED : { outcome: 'bypass', reason: 'head' }])
  t.strictSame(others.map(spans.links), [[id], first === 'ours' ? [id] : []])
})

both('requests over HTTP/2 link as well, and end', async (t, first) => {
  trace(t)
  const handler = held()
  const server = await traced(t, first, app => { app.get('/', { config: { coalesce: true } }, handler) }, {}, { http2: true } as FastifyServerOptions)
  const session = connect(`http://127.0.0.1:${server.port}`)
  t.teardown(() => { session.destroy() })
  const streams = Array.from({ length: 4 }, () => session.request({ ':path': '/' }).resume())
  await server.arrived(4)
  streams[2]?.close(8)
  await waiting(server.app, 2)
  handler.gate.open()
  await Promise.all(streams.map(async stream => { if (!stream.closed) await once(stream, 'close') }))
  await spans.ended()
  const [leading, ...others] = spans.requests()
  // Over HTTP/2 Fastify takes a request for answered that its client has reset, and @fastify/otel has ended its span by then.
  t.strictSame(spans.said(others), [SHARED, { role: 'follower' }, SHARED])
  t.strictSame(spans.said(spans.waits().slice(0, 1)), [{ ...SHARED, reason: 'client-left' }])
  t.strictSame(others.map(spans.links), Array(3).fill([leading?.spanContext().spanId]))
})
