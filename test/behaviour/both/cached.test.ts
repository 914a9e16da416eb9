import t from 'tap'
import { nullStore } from '../../../lib/index.js'
import { distinct } from '../../fixtures/crowd.js'
import { grounded, outcomes } from '../../fixtures/endings.js'
import { answerOf, both } from '../../fixtures/front-ends.js'
import { until } from '../../fixtures/gate.js'
import { metric } from '../../fixtures/server.js'

both(t, 'a result is cached for its ttl, and answers those who come later without a run', { ttl: '60s' }, async (t, front) => {
  t.equal(await answerOf(front, 'a'), 'run 1')
  front.clock.advance(59_999)
  t.equal(await answerOf(front, 'a'), 'run 1')
  t.equal(await answerOf(front, 'b'), 'run 2')
  front.clock.advance(1)
  t.equal(await answerOf(front, 'a'), 'run 3')

  t.match(front.app.coalesce.stats(), { totalRequests: 4, cacheHits: 1, deduplicatedRequests: 0, actualExecutions: 3 })
  t.strictSame(await outcomes(front.app), { 'leader shared': 3, 'hit fresh': 1 })
  t.equal(await metric(front.app, 'coalesce_cache_misses_total'), 3)
})

both(t, 'a failure is never cached', { ttl: '60s' }, async (t, front) => {
  front.does = 'fail'
  t.strictSame([await answerOf(front), await answerOf(front)], ['failed 1', 'failed 2'])
  t.equal(front.runs.length, 2)
})

both(t, 'a result is cached before the first one is answered, so no number around the landing makes a second run', { ttl: '60s' }, async (t, front) => {
  front.does = 'hold'
  let sent = 0
  const got = await Promise.all(Array.from({ length: 6 }, async () => {
    const own: string[] = []
    for (let count = 0; count < 50; count++) {
      sent++
      own.push(await answerOf(front))
    }
    return own
  }).concat((async () => {
    await until(() => sent === 6 && front.runs.length === 1)
    front.runs[0]?.answer()
    return []
  })()))

  t.equal(sent, 300)
  t.strictSame(distinct(got.flat()), ['run 1'])
  t.equal(front.runs.length, 1)
  await grounded(front.app)
})

both(t, 'the jitter shortens a ttl, and never lengthens it', { ttl: 10_000, ttlJitter: 0.5 }, async (t, front) => {
  const keys = Array.from({ length: 100 }, (_, index) => String(index))
  const ask = async (): Promise<number> => {
    const before = front.runs.length
    for (const key of keys) await answerOf(front, key)
    return front.runs.length - before
  }
  t.equal(await ask(), 100)
  front.clock.advance(4_999)
  t.equal(await ask(), 0)
  front.clock.advance(2_500)
  const again = await ask()
  t.ok(again > 20 && again < 80, `${again} had had their time`)
})

both(t, 'a store that forgets everything changes nothing', { ttl: '60s' }, async (t, front) => {
  t.strictSame([await answerOf(front), await answerOf(front)], ['run 1', 'run 2'])
}, () => ({ store: nullStore }))
