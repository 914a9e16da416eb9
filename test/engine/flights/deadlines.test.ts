import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Deadlines, Timed } from '../../../lib/deadlines.js'
import type { Clock } from '../../../types/index.js'
import { TestClock } from '../../fixtures/gate.js'

interface Airport {
  readonly clock: TestClock
  readonly deadlines: Deadlines
  readonly expired: string[]
  start (name: string, limit: number, onExpire?: () => void): Timed
}

function airport (): Airport {
  const clock = new TestClock()
  const deadlines = new Deadlines(clock)
  const expired: string[] = []
  return {
    clock,
    deadlines,
    expired,
    start (name, limit, onExpire) {
      const since = clock.now()
      const timed = new class extends Timed {
        readonly since = since
        readonly limit = limit

        expire (): void {
          expired.push(`${name} at ${clock.now()}`)
          onExpire?.()
        }
      }()
      deadlines.start(timed)
      return timed
    }
  }
}

t.test('each is called when its own time is over, with one timer a limit', t => {
  const { clock, expired, start } = airport()
  start('a', 100)
  start('short', 30)
  clock.advance(10)
  start('b', 100)
  t.equal(clock.timers, 2)
  clock.advance(200)
  t.strictSame(expired, ['short at 30', 'a at 100', 'b at 110'])
  t.equal(clock.timers, 0)
  t.end()
})

t.test('who has ended is not called, and the timer is gone a second after the last of them at most', t => {
  const { clock, deadlines, expired, start } = airport()
  const first = start('a', 60_000)
  clock.advance(10)
  const second = start('b', 60_000)
  deadlines.end(first)
  t.equal(clock.timers, 1)
  clock.advance(990)
  t.equal(clock.timers, 1, 'somebody is left')
  deadlines.end(second)
  deadlines.end(second)
  t.equal(clock.timers, 1)
  start('c', 60_000)
  t.equal(clock.timers, 1)
  clock.advance(60_000)
  t.strictSame(expired, ['c at 61000'])
  const third = start('d', 60_000)
  deadlines.end(third)
  clock.advance(1000)
  t.equal(clock.timers, 0)
  t.end()
})

t.test('the timers that nobody needs can be taken away at once', t => {
  const { clock, deadlines, expired, start } = airport()
  deadlines.end(start('a', 100))
  start('b', 200)
  deadlines.sweep()
  t.equal(clock.timers, 1)
  deadlines.end(start('c', 100))
  clock.advance(200)
  t.strictSame(expired, ['b at 200'])
  t.end()
})

t.test('one that starts while another one is called does not delay those that are older', t => {
  const { clock, expired, start } = airport()
  start('a', 100, () => { start('successor', 100) })
  clock.advance(10)
  start('b', 100)
  clock.advance(500)
  t.strictSame(expired, ['a at 100', 'b at 110', 'successor at 200'])
  t.equal(clock.timers, 0)
  t.end()
})

t.test('one that starts again while it is called alone has one timer', t => {
  const { clock, expired, start } = airport()
  start('a', 100, () => { start('successor', 100) })
  clock.advance(100)
  t.equal(clock.timers, 1)
  clock.advance(100)
  t.strictSame(expired, ['a at 100', 'successor at 200'])
  t.equal(clock.timers, 0)
  t.end()
})

t.test('one whose time is over in less than a millisecond is called with those whose time is over', t => {
  const { clock, expired, start } = airport()
  start('a', 100)
  clock.advance(0.5)
  start('b', 100)
  clock.advance(0.6)
  start('c', 100)
  clock.advance(98.9)
  t.strictSame(expired, ['a at 100', 'b at 100'])
  clock.advance(2)
  t.strictSame(expired.length, 3)
  t.end()
})

t.test('whatever starts, ends and is called, each is called in its time and once, and timers are few', t => {
  const limit = fc.constantFrom(1, 30, 999, 1000, 1001, 2500, 7_200_000)
  const then = fc.constantFrom('nothing', 'start', 'end', 'again', 'sweep')
  const step = fc.oneof(
    fc.record({ type: fc.constant('start' as const), limit, then }),
    fc.record({ type: fc.constant('end' as const), at: fc.nat() }),
    fc.record({ type: fc.constant('sweep' as const) }),
    fc.record({ type: fc.constant('wait' as const), time: fc.constantFrom(0, 0.4, 1, 29.5, 500, 999.9, 1000, 3000) })
  )
  // Node's timers are early by less than a millisecond, and late by whatever the process is busy with.
  const wobbles = fc.array(fc.constantFrom(-0.9, 0, 0.3, 40, 1500), { minLength: 1 })
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(step, { maxLength: 60 }), wobbles, (steps, wobbles) => {
    const time = new TestClock()
    let set = 0
    let late = 0
    const clock: Clock = {
      now: time.now,
      clearTimeout: time.clearTimeout,
      setTimeout (callback, delay) {
        const wobble = wobbles[set++ % wobbles.length] as number
        late = Math.max(late, wobble)
        return time.setTimeout(callback, Math.max(delay + wobble, 0))
      }
    }
    const deadlines = new Deadlines(clock)
    const watched = new Map<Timed, number>()
    const end = (at: number): void => {
      const one = [...watched.keys()][at % Math.max(watched.size, 1)]
      if (one === undefined) return
      deadlines.end(one)
      watched.delete(one)
    }
    const start = (limit: number, then: string): void => {
      let again = false
      const timed = new class extends Timed {
        since = 0
        readonly limit = limit

        start (): void {
          this.since = time.now()
          watched.set(this, this.since + limit)
          deadlines.start(this)
        }

        expire (): void {
          const due = watched.get(timed) as number
          assert.ok(watched.delete(timed), 'it is watched')
          assert.ok(time.now() > due - 1 && time.now() <= due + late + 1, `${time.now()}, due at ${due}`)
          if (then === 'start') start(1000, 'nothing')
          // As a flight does that gets another leader.
          if (then === 'again' && !again) this.start()
          again = true
          if (then === 'end') end(3)
          if (then === 'sweep') deadlines.sweep()
        }
      }()
      timed.start()
    }
    for (const each of steps) {
      if (each.type === 'start') start(each.limit, each.then)
      if (each.type === 'end') end(each.at)
      if (each.type === 'sweep') deadlines.sweep()
      if (each.type === 'wait') time.advance(each.time)
      assert.ok(time.timers >= new Set([...watched.keys()].map(({ limit }) => limit)).size, 'each that is watched has a timer')
      assert.ok(time.timers <= 7)
    }
    while (watched.size > 0) end(0)
    time.advance(1000 + late)
    assert.equal(time.timers, 0)
  })))
  t.end()
})
