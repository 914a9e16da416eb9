import t from 'tap'
import { grounded, outcomes } from '../../fixtures/endings.js'
import { answers, both } from '../../fixtures/front-ends.js'
import { timersGone } from '../../fixtures/gate.js'

both(t, 'of those who wait for a run that takes too long one is promoted, and the late result is only its own', {
  flightTimeout: 100, waitTimeout: 1000
}, async (t, front) => {
  front.does = 'hold'
  const asked = [await front.ask(), await front.ask(), await front.ask()]
  front.clock.advance(99)
  t.equal(front.runs.length, 1)
  front.clock.advance(1)
  t.equal(front.runs.length, 2)
  t.equal(front.runs[1]?.signal.aborted, false)
  t.equal((front.runs[0]?.signal.reason as { code?: string }).code, 'FST_COALESCE_FLIGHT_TIMEOUT')
  front.runs[0]?.answer()
  t.equal(await asked[0]?.answer, 'run 1')
  asked.push(await front.ask())
  t.equal(front.runs.length, 2, 'the late run does not free the key of its successor')
  front.runs[1]?.answer()

  t.strictSame(await answers(asked), ['run 1', 'run 2', 'run 2', 'run 2'])
  t.strictSame(await outcomes(front.app), { 'leader flight-timeout': 1, 'leader shared': 1, 'follower shared': 2 })
  await timersGone(front.clock)
  await grounded(front.app)
})

both(t, 'runs that all take too long do not make a queue: after one promotion all run side by side', {
  flightTimeout: 100, waitTimeout: 10_000
}, async (t, front) => {
  front.does = 'hold'
  const asked = [await front.ask(), await front.ask(), ...await front.askMany(4)]
  front.clock.advance(100)
  t.equal(front.runs.length, 2)
  front.clock.advance(100)
  t.equal(front.runs.length, 6)
  for (const run of front.runs) run.answer()

  t.strictSame((await answers(asked)).sort(), ['run 1', 'run 2', 'run 3', 'run 4', 'run 5', 'run 6'])
  await timersGone(front.clock)
  await grounded(front.app)
})

both(t, 'a run that nobody waits for frees its key when it takes too long', { flightTimeout: 100 }, async (t, front) => {
  front.does = 'hold'
  const first = await front.ask()
  front.clock.advance(100)
  const second = await front.ask()
  t.equal(front.runs.length, 2)
  for (const run of front.runs) run.answer()
  t.strictSame(await answers([first, second]), ['run 1', 'run 2'])
  await grounded(front.app)
})
