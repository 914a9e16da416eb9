/**
 * When advice is logged: for routes with a sign of it, while the app is open.
 */
import t from 'tap'
import { AdviceLog } from '../../lib/report/advice-log.js'
import { REASONS, type Reason } from '../../lib/reasons.js'
import { ADVICE } from '../../lib/warnings.js'
import { TestClock } from '../fixtures/gate.js'
import { facts } from './subjects.js'

function adviceLog (silenced: readonly string[] = []) {
  const clock = new TestClock()
  const told: unknown[] = []
  const looked: string[] = []
  const log = new AdviceLog<string>(clock, { warn (fields) { told.push(fields) } }, new Set(silenced), route => {
    looked.push(route)
    return facts({ figures: { route, reasons: [{ outcome: 'alone', reason: 'wait-timeout', count: 100 }] } })
  })
  return { clock, told, looked, log }
}

t.test('only routes with a sign of something are looked at, each once a minute, and told of once an hour', t => {
  const { clock, log, looked, told } = adviceLog()
  const [one, other] = ['/one', '/other'].map(route => log.alarmOf(route))
  const all = new Set(Object.values(REASONS).flat())
  const signs: Reason[] = []
  for (const reason of all) {
    other?.(reason)
    if (clock.timers > 0) signs.push(reason)
    clock.advance(60_000)
  }
  t.strictSame(signs.sort(), [
    'evicted', 'flight-timeout', 'max-flights', 'max-waiters', 'max-waiters-per-key', 'observed', 'queue-full', 'queue-timeout', 'split', 'too-large', 'verified', 'wait-timeout'
  ])
  t.equal(told.length, 1)
  looked.length = 0
  for (let turn = 0; turn < 3; turn++) one?.('split')
  t.equal(clock.timers, 1)
  clock.advance(60_000)
  t.strictSame([looked, told.length, clock.timers], [['/one'], 2, 0])
  t.end()
})

t.test('a closed log has no timer any more, and takes no sign', t => {
  const { clock, log, told } = adviceLog()
  const alarm = log.alarmOf('/one')
  alarm?.('split')
  log.close()
  t.equal(clock.timers, 0)
  alarm?.('split')
  t.equal(clock.timers, 0)
  clock.advance(3_600_000)
  t.strictSame(told, [])
  t.end()
})

t.test('where all advice is silenced nobody wants to know', t => {
  t.equal(adviceLog(ADVICE).log.alarmOf('/one'), undefined)
  t.type(adviceLog(ADVICE.slice(1)).log.alarmOf('/one'), 'function')
  t.end()
})
