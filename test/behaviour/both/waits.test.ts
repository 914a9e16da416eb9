import t from 'tap'
import { distinct } from '../../fixtures/crowd.js'
import { grounded, outcomes } from '../../fixtures/endings.js'
import { answers, both, RELEASE_CONCURRENCY, turn } from '../../fixtures/front-ends.js'
import { timersGone, until } from '../../fixtures/gate.js'

both(t, 'one whose wait times out runs, and those who came later wait on', { waitTimeout: 100 }, async (t, front) => {
  front.does = 'hold'
  const asked = [await front.ask(), await front.ask()]
  front.clock.advance(50)
  asked.push(await front.ask())
  front.clock.advance(50)
  t.equal(front.runs.length, 2)
  front.runs[1]?.answer()
  front.runs[0]?.answer()

  t.strictSame(await answers(asked), ['run 1', 'run 2', 'run 1'])
  await timersGone(front.clock)
  await grounded(front.app)
})

both(t, 'many whose waits time out share one more run', { waitTimeout: 100, flightTimeout: 1000 }, async (t, front) => {
  front.does = 'hold'
  const leader = await front.ask()
  const followers = await front.askMany(100)
  front.clock.advance(100)
  t.equal(front.runs.length, 2)
  front.runs[1]?.answer()

  t.strictSame(distinct(await answers(followers)), ['run 2'])
  t.equal(front.runs.length, 2)
  t.equal((await outcomes(front.app))['follower shared'], 99)
  front.runs[0]?.answer()
  t.equal(await leader.answer, 'run 1')
  await grounded(front.app)
})

both(t, 'those whose waits time out twice run for themselves, a few at a time', { waitTimeout: 100 }, async (t, front) => {
  front.does = 'hold'
  const asked = await front.askMany(201)
  front.clock.advance(100)
  t.equal(front.runs.length, 2)
  front.clock.advance(99)
  t.equal(front.runs.length, 2)
  front.clock.advance(1)
  t.equal(front.runs.length, 2 + RELEASE_CONCURRENCY)

  for (const wanted of [130, 194, 201]) {
    for (const run of front.runs) run.answer()
    await until(() => front.runs.length >= wanted)
    await turn()
    t.equal(front.runs.length, wanted)
  }
  for (const run of front.runs) run.answer()
  const got = await answers(asked)
  t.equal(new Set(got).size, 201)
  t.equal(front.runs.length, 201)
  t.strictSame(await outcomes(front.app), { 'leader shared': 2, 'alone wait-timeout': 199 })
  await grounded(front.app)
})

both(t, "with onWaitTimeout: 'error' one whose wait times out gets an error", { waitTimeout: '100ms', onWaitTimeout: 'error' }, async (t, front) => {
  front.does = 'hold'
  const asked = [await front.ask(), await front.ask(), await front.ask()]
  front.clock.advance(100)
  t.strictSame(await answers(asked.slice(1)), ['FST_COALESCE_WAIT_TIMEOUT', 'FST_COALESCE_WAIT_TIMEOUT'])
  front.runs[0]?.answer()

  t.equal(await asked[0]?.answer, 'run 1')
  t.equal(front.runs.length, 1)
  t.strictSame(await outcomes(front.app), { 'leader shared': 1, 'follower wait-timeout': 2 })
  await grounded(front.app)
})

both(t, 'where there is no room for one more flight, those whose waits time out run for themselves', { waitTimeout: 100 }, async (t, front) => {
  front.does = 'hold'
  const asked = [await front.ask(), await front.ask(), await front.ask()]
  front.clock.advance(100)
  t.equal(front.runs.length, 3)
  for (const run of front.runs) run.answer()

  t.strictSame(await answers(asked), ['run 1', 'run 2', 'run 3'])
  t.strictSame(await outcomes(front.app), { 'leader shared': 1, 'alone wait-timeout': 2 })
}, () => ({ maxFlights: 1 }))

both(t, 'one that leaves while it waits for its turn to run does not run, and has an outcome', { waitTimeout: 100 }, async (t, front) => {
  front.does = 'hold'
  const asked = [await front.ask(), ...await front.askMany(RELEASE_CONCURRENCY + 1)]
  const last = await front.ask()
  front.clock.advance(200)
  t.equal(front.runs.length, 2 + RELEASE_CONCURRENCY)
  await last.leave()
  for (const run of front.runs) run.answer()
  await answers(asked)

  t.equal(front.runs.length, 2 + RELEASE_CONCURRENCY)
  t.strictSame(await outcomes(front.app), { 'leader shared': 2, 'alone wait-timeout': RELEASE_CONCURRENCY, 'follower client-left': 1 })
  await timersGone(front.clock)
  await grounded(front.app)
})
