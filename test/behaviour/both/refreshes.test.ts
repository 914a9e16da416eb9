import t from 'tap'
import { distinct } from '../../fixtures/crowd.js'
import { outcomes } from '../../fixtures/endings.js'
import { answerOf, answers, both, turn, type FrontEnd } from '../../fixtures/front-ends.js'
import { until } from '../../fixtures/gate.js'
import { metric } from '../../fixtures/server.js'

const refreshed = async ({ app }: FrontEnd, result: string, count: number): Promise<void> => {
  for (let turns = 0; await metric(app, 'coalesce_cache_refreshes_total', { result }) < count; turns++) {
    if (turns > 1000) throw new Error(`no refresh was ${result}`)
    await turn()
  }
}

both(t, 'while a stale result may be served nobody waits, and one run refreshes it', {
  ttl: '10s', staleWhileRevalidate: '10s'
}, async (t, front) => {
  await answerOf(front)
  front.clock.advance(15_000)
  front.does = 'hold'
  t.strictSame(distinct(await answers(await front.askMany(20))), ['run 1'])
  await until(() => front.runs.length === 2)
  t.equal(await answerOf(front), 'run 1')
  front.runs[1]?.answer()
  await refreshed(front, 'refreshed', 1)
  t.equal(await answerOf(front), 'run 2')
  t.equal(front.runs.length, 2)
  t.strictSame(await outcomes(front.app), { 'leader shared': 1, 'stale stale-while-revalidate': 21, 'hit fresh': 1 })

  front.does = 'answer'
  front.clock.advance(20_000)
  t.equal(await answerOf(front), 'run 3', 'too stale')
})

both(t, 'a fresh result is refreshed early, once', { ttl: '10s', eagerRefresh: 0.8 }, async (t, front) => {
  await answerOf(front)
  front.clock.advance(8_000)
  t.equal(await answerOf(front), 'run 1')
  t.equal(front.runs.length, 1)
  front.clock.advance(1)
  front.does = 'hold'
  t.strictSame(distinct(await answers(await front.askMany(5))), ['run 1'])
  await until(() => front.runs.length === 2)
  front.runs[1]?.answer()
  await refreshed(front, 'refreshed', 1)
  t.equal(front.runs.length, 2)
  front.clock.advance(5_000)
  t.equal(await answerOf(front), 'run 2')
})

both(t, 'a refresh that fails reaches nobody, and is tried again later and later', { ttl: '1s', staleWhileRevalidate: '1h' }, async (t, front) => {
  await answerOf(front)
  front.does = 'fail'
  const tries: number[] = []
  for (let second = 1; second <= 20; second++) {
    front.clock.advance(1_000)
    const before = front.runs.length
    t.equal(await answerOf(front), 'run 1')
    if (![1, 2, 4, 8, 16].includes(second)) await turn()
    else await refreshed(front, 'failed', tries.length + 1)
    if (front.runs.length > before) tries.push(second)
  }
  t.strictSame(tries, [1, 2, 4, 8, 16])
})

both(t, 'a refresh that takes too long is given up, and what it comes to is not cached', {
  ttl: '1s', staleWhileRevalidate: '1h', flightTimeout: '5s'
}, async (t, front) => {
  await answerOf(front)
  front.clock.advance(2_000)
  front.does = 'hold'
  t.equal(await answerOf(front), 'run 1')
  await until(() => front.runs.length === 2)
  t.equal(front.runs[1]?.signal.aborted, false)
  front.clock.advance(5_000)
  t.equal((front.runs[1]?.signal.reason as { code?: string }).code, 'FST_COALESCE_FLIGHT_TIMEOUT')
  await refreshed(front, 'failed', 1)
  front.runs[1]?.answer()
  await turn()
  t.equal(await answerOf(front), 'run 1')
})

both(t, 'a refresh whose key is purged meanwhile is not cached', { ttl: '1s', staleWhileRevalidate: '1h' }, async (t, front) => {
  await answerOf(front)
  front.clock.advance(2_000)
  front.does = 'hold'
  t.equal(await answerOf(front), 'run 1')
  await until(() => front.runs.length === 2)
  front.purge()
  front.runs[1]?.answer()
  await refreshed(front, 'not-kept', 1)
  front.does = 'answer'
  t.equal(await answerOf(front), 'run 3')
})
