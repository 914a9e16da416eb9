import t from 'tap'
import { distinct } from '../../fixtures/crowd.js'
import { grounded, outcomes } from '../../fixtures/endings.js'
import { answerOf, answers, both } from '../../fixtures/front-ends.js'
import { until } from '../../fixtures/gate.js'

const OPTIONS = { ttl: '1s', staleIfError: '1h', waitTimeout: '1h' } as const

both(t, 'a stale result is served instead of a failure, to all who wait, and for a while nothing runs', OPTIONS, async (t, front) => {
  await answerOf(front)
  front.clock.advance(1_000)
  front.does = 'hold'
  const asked = await front.askMany(5)
  front.runs[1]?.fail()
  t.strictSame(distinct(await answers(asked)), ['run 1'])
  t.equal(await answerOf(front), 'run 1')
  t.equal(front.runs.length, 2)
  t.strictSame(await outcomes(front.app), { 'leader shared': 1, 'stale stale-if-error': 6 })
  await grounded(front.app)

  front.does = 'fail'
  front.clock.advance(3_600_000 + 1_000)
  t.equal(await answerOf(front), 'failed 3', 'too stale')
})

both(t, 'in an outage a key is tried more and more seldom, and its recovery is noticed', OPTIONS, async (t, front) => {
  await answerOf(front)
  front.clock.advance(1_000)
  front.does = 'fail'
  const tries: number[] = []
  for (let second = 0; second < 100; second++) {
    const before = front.runs.length
    t.equal(await answerOf(front), 'run 1')
    if (front.runs.length > before) tries.push(second)
    front.clock.advance(1_000)
  }
  t.strictSame(tries, [0, 1, 3, 7, 15, 31, 63])
  front.does = 'answer'
  front.clock.advance(60_000)
  t.equal(await answerOf(front), 'run 9')
  t.equal(await answerOf(front), 'run 9')
})

both(t, 'an outage of one key leaves the others alone', OPTIONS, async (t, front) => {
  await answerOf(front, 'a')
  await answerOf(front, 'b')
  front.clock.advance(1_000)
  front.does = 'fail'
  t.equal(await answerOf(front, 'a'), 'run 1')
  front.does = 'answer'
  t.equal(await answerOf(front, 'a'), 'run 1')
  t.equal(await answerOf(front, 'b'), 'run 4')
})

both(t, 'one whose wait times out gets the stale result that its leader would get', {
  ...OPTIONS, waitTimeout: 200, flightTimeout: 500
}, async (t, front) => {
  await answerOf(front)
  front.clock.advance(1_000)
  front.does = 'hold'
  const [leader, ...followers] = [await front.ask(), ...await front.askMany(10)]
  front.clock.advance(200)
  t.strictSame(distinct(await answers(followers)), ['run 1'])
  front.clock.advance(300)
  front.runs[1]?.fail()
  t.equal(await leader.answer, 'run 1')
  t.equal(front.runs.length, 2)
  await grounded(front.app)
})

both(t, 'one that is promoted, and one that runs alone, get the stale result should their own run fail', {
  ...OPTIONS, flightTimeout: 500
}, async (t, front) => {
  await answerOf(front)
  front.clock.advance(1_000)
  front.does = 'hold'
  const asked = await front.askMany(5)
  front.clock.advance(500)
  t.equal(front.runs.length, 3)
  front.clock.advance(500)
  t.equal(front.runs.length, 6)
  for (const run of front.runs) run.fail()
  t.strictSame(distinct(await answers(asked)), ['run 1'])
  await grounded(front.app)
})

both(t, 'what was purged while a run was in the air is not served instead of its failure', OPTIONS, async (t, front) => {
  await answerOf(front)
  front.clock.advance(1_000)
  front.does = 'hold'
  const asked = await front.ask()
  await until(() => front.runs.length === 2)
  front.purge()
  front.runs[1]?.fail()
  t.equal(await asked.answer, 'failed 2')
})
