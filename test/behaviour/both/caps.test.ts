import t from 'tap'
import { outcomes } from '../../fixtures/endings.js'
import { answers, both } from '../../fixtures/front-ends.js'

both(t, 'over maxFlights and over maxWaiters each runs for itself', {}, async (t, front) => {
  front.does = 'hold'
  const asked = [await front.ask('a'), await front.ask('a'), await front.ask('a'), await front.ask('b')]
  t.equal(front.runs.length, 3)
  for (const run of front.runs) run.answer()

  t.strictSame(await answers(asked), ['run 1', 'run 1', 'run 2', 'run 3'])
  t.strictSame(await outcomes(front.app), { 'leader shared': 1, 'follower shared': 1, 'bypass max-waiters': 1, 'bypass max-flights': 1 })
}, () => ({ maxFlights: 1, maxWaiters: 1 }))
