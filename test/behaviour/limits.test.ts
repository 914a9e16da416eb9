import t, { type Test } from 'tap'
import type { CoalesceOptions } from '../../types/index.js'
import { distinct, held, queue, times, type HeldHandler } from '../fixtures/crowd.js'
import { gate, TestClock, timersGone } from '../fixtures/gate.js'
import { metric, serve, type TestServer } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }

/** An app with one coalesced route whose time stands still. */
async function still (t: Test, options: CoalesceOptions): Promise<{ server: TestServer, clock: TestClock, handler: HeldHandler }> {
  const handler = held()
  const clock = new TestClock()
  const server = await serve(t, app => { app.get('/:id', { exposeHeadRoute: false, ...ON }, handler) }, { clock, ...options })
  return { server, clock, handler }
}

const served = async (server: TestServer, outcome: string, reason: string): Promise<number> =>
  await metric(server.app, 'coalesce_requests_total', { outcome, reason })

t.test("a follower whose patience ends is answered 503 with Retry-After, with onWaitTimeout: 'error'", async t => {
  const { server, clock, handler } = await still(t, { waitTimeout: 1500, onWaitTimeout: 'error' })
  const [leader, ...followers] = await queue(server, times(4, server, '/a'))
  clock.advance(1500)
  const refused = await Promise.all(followers)
  t.strictSame(distinct(refused.map(({ status, headers }) => [status, headers['retry-after']])), [[503, '2']])
  t.match(JSON.parse(refused[0]?.body ?? ''), { statusCode: 503, code: 'FST_COALESCE_WAIT_TIMEOUT', message: 'no response within 1500 ms' })
  t.equal(handler.runs, 1)
  t.equal(await served(server, 'follower', 'wait-timeout'), 3)
  t.match(server.app.coalesce.stats(), { deduplicatedRequests: 0 })

  const [late] = await queue(server, times(1, server, '/a'))
  handler.gate.open()
  t.strictSame([(await leader)?.status, (await late)?.status], [200, 200])
  t.equal(handler.runs, 1, 'the flight went on, and who came later shares it')
  await timersGone(clock)
})

t.test('waiting is as patient as each route says, in any unit', async t => {
  const clock = new TestClock()
  const handler = held()
  const server = await serve(t, app => {
    app.get('/short', { config: { coalesce: { waitTimeout: '2s' } } }, handler)
    app.get('/default', ON, handler)
  }, { clock, waitTimeout: '1m' })
  const answers = [...await queue(server, times(2, server, '/short')), ...await queue(server, times(2, server, '/default'))]
  clock.advance(1999)
  t.equal(handler.runs, 2)
  clock.advance(1)
  t.equal(handler.runs, 3)
  clock.advance(57_999)
  t.equal(handler.runs, 3)
  clock.advance(1)
  t.ok(handler.runs > 3)
  handler.gate.open()
  await Promise.all(answers)
  await timersGone(clock)
})

t.test('many who lose patience twice at once run a few at a time', async t => {
  const first = gate()
  const own = gate()
  let runs = 0
  let running = 0
  let most = 0
  const clock = new TestClock()
  const server = await serve(t, app => {
    app.get('/', ON, async () => {
      if (++runs <= 2) return await first.promise
      most = Math.max(most, ++running)
      await own.promise
      running--
      return 'body'
    })
  }, { clock, waitTimeout: 100, releaseConcurrency: 4 })
  const answers = await queue(server, times(21, server, '/'))
  clock.advance(200)
  t.equal(running, 4)
  own.open()
  t.strictSame(distinct((await Promise.all(answers.slice(2))).map(({ body }) => body)), ['body'])
  t.strictSame([runs, most], [21, 4])
  first.open()
  await Promise.all(answers)
})

t.test('over maxFlights, a request for another key bypasses, and one for a flight in the air joins', async t => {
  const { server, handler } = await still(t, { maxFlights: 2 })
  const answers = await queue(server, ['/a', '/b', '/c', '/c', '/a', '/b'].map(path => () => server.get(path)))
  t.equal(handler.runs, 4)
  t.equal(await metric(server.app, 'coalesce_flights'), 2)
  t.equal(await served(server, 'bypass', 'max-flights'), 2)
  handler.gate.open()
  t.strictSame(distinct((await Promise.all(answers)).map(({ status }) => status)), [200])
  await server.get('/c')
  t.equal(await served(server, 'bypass', 'max-flights'), 2, 'there is room again')
})

t.test('over maxWaitersPerKey, a request bypasses; other keys have room', async t => {
  const { server, handler } = await still(t, { maxWaitersPerKey: 2 })
  const answers = await queue(server, [...times(5, server, '/a'), ...times(3, server, '/b')])
  t.equal(handler.runs, 4)
  t.equal(await metric(server.app, 'coalesce_waiters'), 4)
  t.equal(await served(server, 'bypass', 'max-waiters-per-key'), 2)
  handler.gate.open()
  t.strictSame(distinct((await Promise.all(answers)).map(({ status }) => status)), [200])
})

t.test('over maxWaiters, a request bypasses whatever its key', async t => {
  const { server, handler } = await still(t, { maxWaiters: 3 })
  const answers = await queue(server, [...times(3, server, '/a'), ...times(3, server, '/b')])
  t.equal(handler.runs, 3)
  t.equal(await metric(server.app, 'coalesce_waiters'), 3)
  t.equal(await served(server, 'bypass', 'max-waiters'), 1)
  handler.gate.open()
  t.strictSame(distinct((await Promise.all(answers)).map(({ status }) => status)), [200])
})

t.test('caps of 0 switch flights, or waiting, off', async t => {
  for (const [options, reason] of [
    [{ maxFlights: 0 }, 'max-flights'], [{ maxWaiters: 0 }, 'max-waiters'], [{ maxWaitersPerKey: 0 }, 'max-waiters-per-key']
  ] as const) {
    const { server, handler } = await still(t, options)
    const answers = await queue(server, times(3, server, '/a'))
    t.equal(handler.runs, 3, reason)
    t.equal(await served(server, 'bypass', reason), reason === 'max-flights' ? 3 : 2)
    handler.gate.open()
    await Promise.all(answers)
  }
})
