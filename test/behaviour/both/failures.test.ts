import t from 'tap'
import { until } from '../../fixtures/gate.js'
import { grounded, outcomes } from '../../fixtures/endings.js'
import { answers, both } from '../../fixtures/front-ends.js'

both(t, 'a failure reaches all who wait for it, and the next one runs afresh', {}, async (t, front) => {
  front.does = 'hold'
  const asked = await front.askMany(3)
  front.runs[0]?.fail()

  t.strictSame(await answers(asked), ['failed 1', 'failed 1', 'failed 1'])
  t.strictSame(await outcomes(front.app), { 'leader failed': 1, 'follower failed': 2 })
  front.does = 'answer'
  t.equal(await (await front.ask()).answer, 'run 2')
  await grounded(front.app)
})

both(t, "with onError: 'promote' one who waits runs once more, for all", { onError: 'promote' }, async (t, front) => {
  front.does = 'hold'
  const asked = [await front.ask(), await front.ask(), await front.ask()]
  front.runs[0]?.fail()
  await until(() => front.runs.length === 2)
  front.runs[1]?.answer()

  t.strictSame(await answers(asked), ['failed 1', 'run 2', 'run 2'])
  t.strictSame(await outcomes(front.app), { 'leader failed': 1, 'leader shared': 1, 'follower shared': 1 })
  await grounded(front.app)
})

both(t, "with onError: 'promote' a second failure is shared", { onError: 'promote' }, async (t, front) => {
  front.does = 'hold'
  const asked = [await front.ask(), await front.ask(), await front.ask(), await front.ask()]
  front.runs[0]?.fail()
  await until(() => front.runs.length === 2)
  front.runs[1]?.fail()

  t.strictSame(await answers(asked), ['failed 1', 'failed 2', 'failed 2', 'failed 2'])
  t.equal(front.runs.length, 2)
})

both(t, "with onError: 'promote' a failure that nobody waits for costs no other run", { onError: 'promote' }, async (t, front) => {
  front.does = 'fail'
  t.equal(await (await front.ask()).answer, 'failed 1')
  t.equal(front.runs.length, 1)
  await grounded(front.app)
})
