import t from 'tap'
import { EVERY, History } from '../../lib/page/history.js'
import { TestClock } from '../fixtures/gate.js'

function source (clock: TestClock, wall: { slept: number } = { slept: 0 }) {
  let runs = 0
  return { clock, now: () => 1_000_000 + clock.now() + wall.slept, sample: () => ({ counts: [], runs: ++runs, waiters: 0 }) }
}

t.test('five minutes are kept, and no more', async t => {
  const clock = new TestClock()
  const history = new History(source(clock))
  t.strictSame(history.since(0), [])
  history.begin()
  clock.advance(100 * EVERY)
  const samples = history.since(0)
  t.equal(samples.length, 61)
  t.strictSame([samples[0]?.at, samples.at(-1)?.at], [1_000_000 + 40 * EVERY, 1_000_000 + 100 * EVERY])
  t.strictSame([samples[0]?.runs, samples.at(-1)?.runs], [41, 101], 'the oldest first')
  t.equal(clock.timers, 1)
})

t.test('only those after a moment are given, if that is asked', async t => {
  const clock = new TestClock()
  const history = new History(source(clock))
  history.begin()
  clock.advance(3 * EVERY)
  t.strictSame(history.since(1_000_000 + EVERY).map(({ runs }) => runs), [3, 4])
  t.strictSame(history.since(1_000_000 + 3 * EVERY), [])
})

t.test('what is older than five minutes, because the machine slept, is not shown', async t => {
  const clock = new TestClock()
  const wall = { slept: 0 }
  const history = new History(source(clock, wall))
  history.begin()
  clock.advance(2 * EVERY)
  wall.slept = 3_600_000
  clock.advance(EVERY)
  t.strictSame(history.since(0).map(({ runs }) => runs), [4])
})

t.test('a history that is closed has no timer', async t => {
  const clock = new TestClock()
  const history = new History(source(clock))
  history.close()
  history.begin()
  t.equal(clock.timers, 1)
  history.close()
  t.equal(clock.timers, 0)
})

t.test('it is bounded by itself, not only by what it shows', async t => {
  const clock = new TestClock()
  const history = new History({ ...source(clock), now: () => 1 })
  history.begin()
  clock.advance(200 * EVERY)
  t.equal(history.since(0).length, 61)
})
