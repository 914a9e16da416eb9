import t from 'tap'
import { distinct, queue, times } from '../fixtures/crowd.js'
import { gate, TestClock } from '../fixtures/gate.js'
import { metric, serve } from '../fixtures/server.js'
import { deduplicateAt, standalone } from '../../lib/functions/deduplicate.js'

t.test('a hundred whose patience ends before a hung leader does share one more run', async t => {
  const clock = new TestClock()
  const opening = gate()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async () => {
      const run = ++runs
      await (run === 1 ? new Promise(() => {}) : opening.promise)
      return `run ${run}`
    })
  }, { clock, waitTimeout: 100, flightTimeout: 1000 })
  const [leader, ...followers] = await queue(server, times(101, server, '/'))
  leader?.catch(() => {})
  clock.advance(100)
  t.equal(runs, 2)
  opening.open()
  const answers = await Promise.all(followers)
  t.strictSame(distinct(answers.map(({ status, body }) => [status, body])), [[200, 'run 2']])
  t.equal(runs, 2)
  t.equal(await metric(server.app, 'coalesce_requests_total', { outcome: 'follower', reason: 'shared' }), 99)
  leader?.request.destroy()
})

t.test('those whose patience ends a second time run by themselves', async t => {
  const clock = new TestClock()
  const opening = gate()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async () => {
      const run = ++runs
      await (run <= 2 ? new Promise(() => {}) : opening.promise)
      return 'done'
    })
  }, { clock, waitTimeout: 100, flightTimeout: 1000 })
  const [leader, relief, ...rest] = await queue(server, times(5, server, '/'))
  for (const pending of [leader, relief]) pending?.catch(() => {})
  clock.advance(199)
  t.equal(runs, 2)
  clock.advance(1)
  t.equal(runs, 5)
  opening.open()
  t.strictSame(distinct((await Promise.all(rest)).map(({ status }) => status)), [200])
  t.equal(await metric(server.app, 'coalesce_requests_total', { outcome: 'alone', reason: 'wait-timeout' }), 3)
  for (const pending of [leader, relief]) pending?.request.destroy()
})

t.test('calls whose patience ends share one more call of the function', async t => {
  const clock = new TestClock()
  const opening = gate()
  let runs = 0
  const call = deduplicateAt(standalone(clock), async (_word: string) => {
    const run = ++runs
    await (run === 1 ? new Promise(() => {}) : opening.promise)
    return run
  }, { key: word => word, waitTimeout: 100, flightTimeout: 1000 })
  call('a').catch(() => {})
  const others = Array.from({ length: 20 }, async () => await call('a'))
  clock.advance(100)
  t.equal(runs, 2)
  opening.open()
  t.strictSame(distinct(await Promise.all(others)), [2])
  clock.advance(1000)
})
