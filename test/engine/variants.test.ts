import t from 'tap'
import { NO_VARIANT } from '../../lib/variant.js'
import { Unshareable, type Boarder } from '../../lib/engine/unshareable.js'
import { areFew, Variants } from '../../lib/engine/variants.js'
import { TestClock } from '../fixtures/gate.js'
import { memoryUsed } from '../fixtures/heap.js'

const TTL = 1_000

/** A route whose warnings are kept, and participants of its keys. */
function routed (): { route: object, warnings: string[], visit: (key?: string, headers?: Record<string, string>) => Boarder } {
  const route = {}
  const warnings: string[] = []
  return {
    route,
    warnings,
    visit: (key = '[]', headers = {}) => ({
      key,
      boardedKey: key,
      origin: route,
      limits: { unshareableTtl: TTL },
      value: name => headers[name] ?? null,
      learned () {},
      tooVaried () { warnings.push('varies-too-much') }
    })
  }
}

const many = (count: number, prefix = 'x-'): string[] => Array.from({ length: count }, (_, index) => `${prefix}${index}`)

t.test('a name on which ten responses in a row did not depend is forgotten, and no other', t => {
  const variants = new Variants(new TestClock())
  const { visit } = routed()
  t.ok(variants.learn(visit(), ['x-probe', '(ip)'], true))
  t.strictSame(variants.namesOf('[]'), ['(ip)', 'x-probe'])
  for (let round = 0; round < 9; round++) variants.learn(visit(), ['x-probe'], true)
  // That is no response, and that is one of another key.
  for (let round = 0; round < 20; round++) t.ok(variants.learn(visit(), ['x-probe']) && variants.learn(visit('[1]'), [], true))
  t.strictSame(variants.namesOf('[]'), ['(ip)', 'x-probe'], 'not yet')
  variants.learn(visit(), ['(ip)'], true)
  for (let round = 0; round < 9; round++) variants.learn(visit(), ['x-probe'], true)
  t.strictSame(variants.namesOf('[]'), ['(ip)', 'x-probe'], 'one that did counts from the beginning')
  variants.learn(visit(), ['x-probe', 'x-more'], true)
  t.strictSame(variants.namesOf('[]'), ['x-more', 'x-probe'])
  for (let round = 0; round < 10; round++) variants.learn(visit(), [], true)
  t.strictSame(variants.namesOf('[]'), [])
  t.equal(variants.keyOf(visit()), '[]')
  t.end()
})

t.test('a header that streams read late is forgotten once ten in a row did not read it', t => {
  const variants = new Variants(new TestClock())
  const { route, visit } = routed()
  t.strictSame(variants.lateReads(route), [])
  variants.streamed(route, ['x-a'])
  variants.readLate(visit(), ['x-a', 'x-b', 'x-a'])
  t.strictSame(variants.lateReads(route), ['x-a', 'x-b'])
  for (let round = 0; round < 9; round++) variants.streamed(route, ['x-a'])
  t.strictSame(variants.lateReads(route), ['x-a', 'x-b'])
  variants.streamed(route, ['x-a'])
  t.strictSame(variants.lateReads(route), ['x-a'])
  t.end()
})

t.test('names can be remembered if they are few, and not long', t => {
  t.strictSame([many(64), many(65), ['x'.repeat(4_096)], ['x'.repeat(4_000), 'y'.repeat(97)]].map(names => areFew(names)), [true, false, true, false])
  t.end()
})

t.test('of a key that depends on more names than can be remembered nothing is shared for a while, and a warning says so once', t => {
  const clock = new TestClock()
  const variants = new Variants(clock)
  const { visit, warnings } = routed()
  const unshareable = new Unshareable(clock, variants)
  for (const name of many(64)) t.ok(variants.learn(visit(), [name]))
  t.notOk(variants.learn(visit(), ['x-64'], true))
  t.equal(unshareable.reasonFor(visit()), 'varies-too-much')
  t.equal(unshareable.timeLeft(visit()), TTL)
  t.equal(variants.overflowsFor({ key: '[1]', origin: {} }), 0, 'of a key of another route')
  t.notOk(unshareable.reasonFor(visit('[1]')), 'another key')
  t.equal(variants.keyOf(visit()), '[]', 'none of them is remembered')
  t.notOk(variants.learn(visit(), []), 'while that lasts nothing is learned')
  clock.advance(TTL)
  t.notOk(unshareable.reasonFor(visit()))
  t.ok(variants.learn(visit(), ['x-0']))
  t.notOk(variants.learn(visit(), ['x'.repeat(5_000)]))
  t.ok(warnings.length > 0)
  t.end()
})

t.test('of a route whose keys depend on more names than can be remembered nothing is shared for a while', t => {
  const clock = new TestClock()
  const variants = new Variants(clock)
  const { route, visit, warnings } = routed()
  const other = routed()
  for (const [index, name] of many(256).entries()) t.ok(variants.learn(visit(`[${index % 10}]`), [name]))
  t.ok(variants.learn(visit('[10]'), ['x-0']), 'what is known is not more')
  t.notOk(variants.learn(visit('[10]'), ['x-256']))
  t.ok(variants.hasOverflowed(visit('[11]')))
  t.notOk(variants.hasOverflowed(other.visit('[12]')), 'another route')
  clock.advance(TTL)
  t.notOk(variants.hasOverflowed(visit('[11]')))
  // Streams as well.
  for (const name of many(64)) variants.readLate(visit(), [name])
  t.equal(variants.lateReads(route).length, 64)
  variants.readLate(visit(), ['y'])
  t.ok(variants.hasOverflowed(visit('[11]')))
  variants.readLate(visit(), ['y'])
  t.strictSame(variants.lateReads(route), [])
  clock.advance(TTL)
  variants.readLate(visit(), many(300))
  t.ok(variants.hasOverflowed(visit('[11]')))
  t.ok(warnings.length > 0)
  t.end()
})

t.test('names that clients choose, as long as they can be, take little room', t => {
  const variants = new Variants(new TestClock())
  const routes = Array.from({ length: 50 }, () => routed())
  const before = memoryUsed()
  for (const [index, { visit }] of routes.entries()) {
    for (let round = 0; round < 40; round++) {
      // A piece of what came.
      const url = `/${index}?header=${round}-${'x'.repeat(400)}&rest=${`${round}`.repeat(5_000)}`
      variants.learn(visit(`[${index},${round % 5}]`), [url.slice(url.indexOf('=') + 1, url.indexOf('&'))])
    }
  }
  const each = (memoryUsed() - before) / routes.length
  t.ok(each < 100_000, `${Math.round(each)} bytes a route`)
  t.ok(routes.every((_, index) => variants.namesOf(`[${index},4]`).length === 8), 'all of it is remembered')
  t.end()
})

t.test('who differs from the one whose response could not be shared is told apart by the first look in which they differ', t => {
  const clock = new TestClock()
  const variants = new Variants(clock)
  const { visit } = routed()
  const unshareable = new Unshareable(clock, variants)
  variants.learn(visit(), ['x-known'])
  const board = (headers: Record<string, string>): Boarder => {
    const each = visit('[]', headers)
    each.boardedKey = variants.keyOf(each)
    return each
  }
  const spoilt = board({ 'x-lang': 'de', 'x-mode': 'bad', '(ip)': '::1' })
  unshareable.remember(spoilt, { names: ['x-lang', 'x-mode', '(ip)'], values: ['de', 'bad', '::1'] }, 'private', TTL)
  t.ok(unshareable.reasonFor(spoilt))
  const elsewhere = board({ 'x-lang': 'de', '(ip)': '::2' })
  t.notOk(unshareable.reasonFor(elsewhere))
  t.strictSame(variants.namesOf('[]'), ['x-known', 'x-mode'])
  t.equal(elsewhere.boardedKey, '[][["x-known","x-mode"],[null,null]]')
  const again = board({ 'x-lang': 'de', 'x-mode': 'bad', '(ip)': '::1' })
  t.ok(unshareable.reasonFor(again), 'it still is what it was')
  t.notOk(unshareable.reasonFor(board({ 'x-lang': 'fr', 'x-mode': 'bad', '(ip)': '::1' })))
  t.strictSame(variants.namesOf('[]'), ['x-known', 'x-lang', 'x-mode'])
  again.boardedKey = variants.keyOf(again)
  t.ok(unshareable.reasonFor(again))
  unshareable.forget(again)
  t.notOk(unshareable.reasonFor(again))
  unshareable.remember(again, NO_VARIANT, 'private', TTL)
  t.ok(unshareable.reasonFor(again), 'without a look they are all alike')
  clock.advance(TTL + 1)
  t.notOk(unshareable.reasonFor(again))
  t.end()
})

t.test('who cannot be told apart any more counts as one whose response cannot be shared', t => {
  const clock = new TestClock()
  const variants = new Variants(clock)
  const { visit } = routed()
  const unshareable = new Unshareable(clock, variants)
  variants.learn(visit(), many(64))
  const spoilt = visit('[]', { 'x-mode': 'bad' })
  unshareable.remember(spoilt, { names: ['x-mode'], values: ['bad'] }, 'private', TTL)
  const other = visit()
  other.boardedKey = variants.keyOf(other)
  t.ok(unshareable.reasonFor(other))
  t.end()
})
