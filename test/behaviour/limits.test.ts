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

t.test('a follower whose patience ends runs for itself, and the flight goes on', async t => {
  const { server, clock, handler } = await still(t, { waitTimeout: 100 })
  const [leader, early] = await queue(server, times(2, server, '/a'))
  clock.advance(60)
  const [late] = await queue(server, times(1, server, '/a'))
  clock.advance(39)
  t.equal(handler.runs, 1)
  clock.advance(1)
  t.equal(handler.runs, 2, 'the one that came early')
  handler.gate.open()
  const answers = await Promise.all([leader, early, late])
  t.strictSame(distinct(answers.map(answer => [answer?.status, answer?.body])), [[200, '{"hello":"world"}']])
  t.equal(handler.runs, 2)
  t.strictSame([await served(server, 'leader', 'shared'), await served(server, 'follower', 'shared')], [2, 1])
  await timersGone(clock)
})

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

t.test('flightTimeout promotes exactly one, and the late leader answers its own client only', async t => {
  const gates = [gate<string>(), gate<string>()]
  let runs = 0
  const signals: AbortSignal[] = []
  const clock = new TestClock()
  const server = await serve(t, app => {
    app.get('/', ON, async request => {
      signals.push(request.signal)
      return await gates[runs++]?.promise
    })
  }, { clock, flightTimeout: 1000, waitTimeout: 10_000 })
  const [leader, ...followers] = await queue(server, times(6, server, '/'))
  clock.advance(999)
  t.equal(runs, 1)
  clock.advance(1)
  t.equal(runs, 2, 'one was promoted')
  t.strictSame(signals.map(({ aborted }) => aborted), [true, false], 'the late run is told, the new one is not')
  t.match(signals[0]?.reason, { code: 'FST_COALESCE_FLIGHT_TIMEOUT' })

  gates[0]?.open('late')
  t.equal((await leader)?.body, 'late')
  const [newcomer] = await queue(server, times(1, server, '/'))
  t.equal(runs, 2, 'the late leader did not take its successor\'s flight down')
  gates[1]?.open('in time')
  t.strictSame(distinct((await Promise.all([...followers, newcomer])).map(answer => answer?.body)), ['in time'])
  t.equal(runs, 2)
  t.strictSame([await served(server, 'leader', 'flight-timeout'), await served(server, 'leader', 'shared')], [1, 1])
  await timersGone(clock)
})

t.test('a flight that nobody waits for frees its key when it takes too long', async t => {
  const { server, clock, handler } = await still(t, { flightTimeout: 1000 })
  const [leader] = await queue(server, times(1, server, '/a'))
  clock.advance(1000)
  t.equal(await metric(server.app, 'coalesce_flights'), 0)
  const [next] = await queue(server, times(1, server, '/a'))
  t.equal(handler.runs, 2)
  handler.gate.open()
  t.strictSame([(await leader)?.status, (await next)?.status], [200, 200])
  await timersGone(clock)
})

t.test('leaders that take too long one after the other do not make a queue', async t => {
  const { server, clock, handler } = await still(t, { flightTimeout: 1000, waitTimeout: 60_000 })
  const answers = await queue(server, times(10, server, '/a'))
  for (let expired = 0; expired < 2; expired++) clock.advance(1000)
  t.equal(handler.runs, 10, 'after one promotion the rest runs for itself')
  handler.gate.open()
  t.strictSame(distinct((await Promise.all(answers)).map(({ status }) => status)), [200])
  await timersGone(clock)
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
