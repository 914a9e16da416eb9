import t from 'tap'
import { distinct } from '../../fixtures/crowd.js'
import { grounded, outcomes } from '../../fixtures/endings.js'
import { answers, both } from '../../fixtures/front-ends.js'

both(t, 'any number that are identical share one run', {}, async (t, front) => {
  front.does = 'hold'
  const asked = await front.askMany(500)
  front.runs[0]?.answer()

  t.strictSame(distinct(await answers(asked)), ['run 1'])
  t.equal(front.runs.length, 1)
  t.match(front.app.coalesce.stats(), { totalRequests: 500, deduplicatedRequests: 499, actualExecutions: 1, deduplicationRate: 0.998 })
  t.strictSame(await outcomes(front.app), { 'leader shared': 1, 'follower shared': 499 })
  await grounded(front.app)
})

both(t, 'one that comes after a run runs afresh', {}, async (t, front) => {
  t.strictSame([await (await front.ask()).answer, await (await front.ask()).answer], ['run 1', 'run 2'])
})

both(t, 'those of different keys run apart', {}, async (t, front) => {
  front.does = 'hold'
  const asked = [await front.ask('a'), await front.ask('b'), await front.ask('a')]
  t.strictSame(front.runs.map(({ key }) => key), ['a', 'b'])
  for (const run of front.runs) run.answer()

  t.strictSame(await answers(asked), ['run 1', 'run 2', 'run 1'])
})
