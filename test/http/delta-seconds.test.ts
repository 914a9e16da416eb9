import t from 'tap'
import fc from 'fast-check'
import { bounded, deltaSecondsText, parseDeltaSeconds } from '../../lib/http/delta-seconds.js'
import { anyText } from './arbitraries.js'

const MOST = 2 ** 31 * 1000

t.test('digits are seconds, and nothing else is', async t => {
  t.equal(parseDeltaSeconds('0'), 0)
  t.equal(parseDeltaSeconds('007'), 7000)
  const malformed = [undefined, '', ' 1', '1 ', '-1', '+1', '1.5', '1e3', '0x1', 'a', '1\n', '\u0661']
  t.same(malformed.filter(each => parseDeltaSeconds(each) !== undefined), [])
})

t.test('what is too large to hold is 2^31 seconds', async t => {
  t.equal(parseDeltaSeconds('2147483647'), MOST - 1000)
  t.equal(parseDeltaSeconds('2147483648'), MOST)
  t.equal(parseDeltaSeconds('2147483649'), MOST)
  t.equal(parseDeltaSeconds('9'.repeat(400)), MOST, 'even if it is infinite')
  t.equal(bounded(MOST + 1), MOST)
  t.equal(bounded(-1), 0)
  t.equal(bounded(1), 1)
})

t.test('the text of an age is whole seconds that have passed, and never negative', async t => {
  t.equal(deltaSecondsText(0), '0')
  t.equal(deltaSecondsText(999), '0')
  t.equal(deltaSecondsText(1000), '1')
  t.equal(deltaSecondsText(59_999), '59')
  t.equal(deltaSecondsText(-1), '0')
  t.equal(deltaSecondsText(-0), '0')
  t.equal(deltaSecondsText(Infinity), '2147483648')
  t.equal(deltaSecondsText(-Infinity), '0')
  t.equal(deltaSecondsText(NaN), '0')
})

t.test('every age can be read again, and no text throws', async () => {
  fc.assert(fc.property(fc.double(), age => /^\d{1,10}$/.test(deltaSecondsText(age))), { numRuns: 10_000 })
  fc.assert(fc.property(fc.nat(2 ** 31 - 1), seconds => parseDeltaSeconds(deltaSecondsText(seconds * 1000)) === seconds * 1000))
  fc.assert(fc.property(anyText, text => {
    const duration = parseDeltaSeconds(text)
    return duration === undefined || (duration >= 0 && duration <= MOST)
  }), { numRuns: 10_000 })
})
