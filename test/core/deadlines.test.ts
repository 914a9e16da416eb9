import t from 'tap'
import { Deadlines, Timed } from '../../lib/core/deadlines.js'
import { TestClock } from '../fixtures/gate.js'

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
