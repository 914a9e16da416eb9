import t from 'tap'
import { grounded, outcomes } from '../../fixtures/endings.js'
import { answers, both } from '../../fixtures/front-ends.js'

both(t, 'one that leaves ends its own wait only, be it the leader or a follower', {}, async (t, front) => {
  front.does = 'hold'
  const [leader, follower, other] = [await front.ask(), await front.ask(), await front.ask()]
  await leader.leave()
  await follower.leave()
  t.equal(front.runs[0]?.signal.aborted, false)
  const late = await front.ask()
  front.runs[0]?.answer()

  t.strictSame(await answers([leader, follower, other, late]), ['left', 'left', 'run 1', 'run 1'])
  t.equal(front.runs.length, 1)
  await grounded(front.app)
})

both(t, "the run's signal aborts once the last one has left, and the next one runs afresh", {}, async (t, front) => {
  front.does = 'hold'
  const [leader, follower] = [await front.ask(), await front.ask()]
  await leader.leave()
  t.equal(front.runs[0]?.signal.aborted, false)
  await follower.leave()
  t.equal((front.runs[0]?.signal.reason as { code?: string }).code, 'FST_COALESCE_NOBODY_WAITS')

  const next = await front.ask()
  front.runs[0]?.answer()
  front.runs[1]?.answer()
  t.strictSame(await answers([leader, follower, next]), ['left', 'left', 'run 2'])
  t.strictSame(await outcomes(front.app), { 'leader client-left': 1, 'follower client-left': 1, 'leader shared': 1 })
  await grounded(front.app)
})

both(t, 'one that leads alone and leaves aborts its run', {}, async (t, front) => {
  front.does = 'hold'
  const leader = await front.ask()
  await leader.leave()
  t.equal(front.runs[0]?.signal.aborted, true)
  t.strictSame(await outcomes(front.app), { 'leader client-left': 1 })
  front.runs[0]?.answer()
  await grounded(front.app)
})
