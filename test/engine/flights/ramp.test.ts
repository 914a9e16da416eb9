import t from 'tap'
import { Ramp } from '../../../lib/engine/flights/ramp.js'
import { TestClock } from '../../fixtures/gate.js'

const PATIENCE = 1000

/** A ramp with runs that tell when they start, and that the test finishes. */
function ramp (limit: number, runs: number) {
  const clock = new TestClock()
  const started: number[] = []
  const finish: Array<() => void> = []
  const subject = new Ramp(limit, PATIENCE, clock)
  for (let run = 0; run < runs; run++) {
    subject.admit(finished => {
      started.push(run)
      finish[run] = finished
    })
  }
  return { clock, started, finish, subject }
}

t.test('as many runs as the limit start at once, and each that finishes lets the next start, in order', async t => {
  const { clock, started, finish } = ramp(3, 6)

  t.strictSame(started, [0, 1, 2])
  finish[1]?.()
  t.strictSame(started, [0, 1, 2, 3])
  finish[0]?.()
  finish[2]?.()
  t.strictSame(started, [0, 1, 2, 3, 4, 5])
  for (const finished of finish) finished()
  t.equal(clock.timers, 0)
})

t.test('a run that finishes twice frees one place', async t => {
  const { started, finish } = ramp(1, 4)

  finish[0]?.()
  finish[0]?.()

  t.strictSame(started, [0, 1])
})

t.test('a run that never says that it has finished gives its place up in time', async t => {
  const { clock, started, finish } = ramp(1, 3)

  clock.advance(PATIENCE - 1)
  t.strictSame(started, [0])
  clock.advance(1)
  t.strictSame(started, [0, 1])
  finish[0]?.()
  t.strictSame(started, [0, 1], 'saying it late frees nothing')
  finish[1]?.()
  t.strictSame(started, [0, 1, 2])
  clock.advance(PATIENCE)
  t.equal(clock.timers, 0)
})

t.test('runs that finish at once start one after the other and hold no place', async t => {
  const clock = new TestClock()
  const started: number[] = []
  const subject = new Ramp(1, PATIENCE, clock)
  for (let run = 0; run < 100; run++) {
    subject.admit(finished => {
      started.push(run)
      finished()
    })
  }

  t.strictSame(started, Array.from({ length: 100 }, (_, run) => run))
  t.equal(clock.timers, 0)
})

t.test('a ramp that was empty for a while takes runs again', async t => {
  const { clock, started, finish, subject } = ramp(2, 3)
  for (const run of [0, 1, 2]) finish[run]?.()

  subject.admit(finished => {
    started.push(3)
    finished()
  })

  t.strictSame(started, [0, 1, 2, 3])
  t.equal(clock.timers, 0)
})

t.test('a run may admit another one', async t => {
  const clock = new TestClock()
  const order: string[] = []
  const subject = new Ramp(1, PATIENCE, clock)
  subject.admit(finished => {
    order.push('outer')
    subject.admit(done => {
      order.push('inner')
      done()
    })
    order.push('outer ends')
    finished()
  })

  t.strictSame(order, ['outer', 'outer ends', 'inner'])
  t.equal(clock.timers, 0)
})

t.test('any number of runs that finish at once, or have nothing to do, fit on the stack', async t => {
  const { clock, finish, subject } = ramp(1, 1)
  let started = 0
  for (let run = 0; run < 20_000; run++) {
    subject.admit(finished => {
      started++
      finished()
    })
  }

  t.doesNotThrow(() => { finish[0]?.() })

  t.equal(started, 20_000)
  t.equal(clock.timers, 0)
})
