import t from 'tap'
import { memoryStore } from '../../../lib/index.js'
import { distinct } from '../../fixtures/crowd.js'
import { grounded, outcomes } from '../../fixtures/endings.js'
import { answerOf, answers, both, turn } from '../../fixtures/front-ends.js'
import { gate, timersGone } from '../../fixtures/gate.js'
import { chaos, GARBAGE, type Failure, type Poison } from '../../stores/chaos.js'

let store = chaos(memoryStore())
/** A new store for each. */
const registration = () => {
  store = chaos(memoryStore())
  return { store, storeTimeout: 100 }
}

both(t, 'all who come while a slow store is asked are served what it has, and it is asked once', { ttl: '60s' }, async (t, front) => {
  await answerOf(front)
  store.on.get = 'delays'
  const before = store.calls.get
  const asked = await front.askMany(50)
  t.equal(store.calls.get - before, 1)
  store.gate.open()
  t.strictSame(distinct(await answers(asked)), ['run 1'])
  t.equal(front.runs.length, 1)
  t.strictSame(await outcomes(front.app), { 'leader shared': 1, 'hit fresh': 50 })
  await timersGone(front.clock)
  await grounded(front.app)
}, registration)

both(t, 'if a slow store has nothing, one runs for all', { ttl: '60s' }, async (t, front) => {
  store.on.get = 'delays'
  const asked = await front.askMany(5)
  t.equal(front.runs.length, 0)
  store.gate.open()
  t.strictSame(distinct(await answers(asked)), ['run 1'])
  t.equal(front.runs.length, 1)
  await grounded(front.app)
}, registration)

both(t, 'one that leads and leaves while a slow store is asked ends its own wait only', { ttl: '60s' }, async (t, front) => {
  store.on.get = 'delays'
  const leader = await front.ask()
  const follower = await front.ask()
  await leader.leave()
  store.gate.open()
  t.equal(await follower.answer, 'run 1')
  t.equal(front.runs.length, 1)
  await grounded(front.app)
}, registration)

both(t, 'one that leaves alone while a slow store is asked costs no run', { ttl: '60s' }, async (t, front) => {
  store.on.get = 'delays'
  const leader = await front.ask()
  await leader.leave()
  store.gate.open()
  await turn()
  t.equal(front.runs.length, 0)
  t.strictSame(await outcomes(front.app), { 'leader client-left': 1 })
  await grounded(front.app)
}, registration)

both(t, 'one whose flight ends while a slow store is asked runs all the same', { ttl: '60s', flightTimeout: 50 }, async (t, front) => {
  store.on.get = 'delays'
  const asked = await front.ask()
  front.clock.advance(50)
  store.gate.open()
  t.equal(await asked.answer, 'run 1')
  t.strictSame(await outcomes(front.app), { 'leader flight-timeout': 1 })
  await grounded(front.app)
}, registration)

both(t, 'a store that hangs is waited for no longer than storeTimeout', { ttl: '60s' }, async (t, front) => {
  await answerOf(front)
  store.on.get = 'hangs'
  const asked = await front.ask()
  front.clock.advance(99)
  await turn()
  t.equal(front.runs.length, 1)
  front.clock.advance(1)
  t.equal(await asked.answer, 'run 2')
}, registration)

const FAILURES: ReadonlyArray<Failure | Poison> = ['throws', 'rejects', 'bad-promise', 'hangs', 'garbage', 'another-key', 'another-version', 'no-end', 'no-value']

for (const failure of FAILURES) {
  both(t, `a store that fails to look up (${failure}) costs a run, and no more`, { ttl: '60s' }, async (t, front) => {
    await answerOf(front)
    store.on.get = failure
    for (let time = 0; time < (failure === 'garbage' ? GARBAGE.length : 2); time++) {
      const asked = await front.ask()
      await turn()
      front.clock.advance(100)
      t.equal(await asked.answer, `run ${front.runs.length}`)
      t.equal(front.runs.length, time + 2)
    }
    await timersGone(front.clock)
    await grounded(front.app)
  }, registration)
}

for (const failure of ['throws', 'rejects', 'bad-promise', 'hangs'] as const) {
  both(t, `a store that fails to store and to delete (${failure}) costs a run, and no more`, { ttl: '60s' }, async (t, front) => {
    Object.assign(store.on, { set: failure, delete: failure })
    for (let time = 1; time <= 3; time++) {
      t.equal(await answerOf(front), `run ${time}`)
      front.purge()
      front.clock.advance(100)
      await turn()
    }
    await timersGone(front.clock)
  }, registration)
}

both(t, 'a purge while a slow store is asked: nobody is served what was purged', { ttl: '60s' }, async (t, front) => {
  await answerOf(front)
  store.on.get = 'delays'
  store.gate = gate()
  const asked = await front.askMany(4)
  front.purge()
  store.gate.open()
  t.strictSame(distinct(await answers(asked)), ['run 2'])
  store.on.get = undefined as never
  t.equal(await answerOf(front), 'run 2', 'its run began after the purge')
}, registration)
