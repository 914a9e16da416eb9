import t from 'tap'
import { BAD, GOOD, LASTS, TestBreaker } from './breakers.js'

const by = (upstream: unknown): unknown => upstream

t.test('what by tells apart has a breaker of its own', async t => {
  const breaker = new TestBreaker({ by })
  t.equal(breaker.state, 'closed')
  t.strictSame(breaker.figures().states, { closed: 0, open: 0, 'half-open': 0 })
  breaker.run(GOOD, 1, 'b')
  breaker.fail('a')
  t.match(breaker.isRefused('a'), { reason: 'breaker-open', retryAfter: 5000 })
  t.match(breaker.refusalFor(['a']), { reason: 'breaker-open', retryAfter: 5000 })
  t.equal(breaker.refusalFor(['b']), undefined)
  breaker.run(GOOD, 1, 'b')
  t.equal(breaker.state, 'open', 'the worst of all')
  breaker.clock.advance(1000)
  breaker.fail('c')
  t.equal(breaker.figures().retryAfter, 5000, 'the longest of all')
  breaker.clock.advance(4000)
  t.strictSame(breaker.figures().states, { closed: 1, open: 1, 'half-open': 1 })
  t.ok(breaker.wouldProbe(['a']))
  breaker.clock.advance(1000)
  t.equal(breaker.state, 'half-open')
  breaker.run(GOOD, 1, 'a')
  t.strictSame(breaker.figures().states, { closed: 2, open: 0, 'half-open': 1 })
  t.strictSame(breaker.figures().transitions, { closed: 1, open: 2, 'half-open': 1 })
})

t.test('figures tell how long the last of all waits', async t => {
  const breaker = new TestBreaker({ by })
  breaker.fail('a')
  breaker.clock.advance(5000)
  breaker.fail('b')
  breaker.run(BAD, 1, 'a')
  t.equal(breaker.isRefused('b').retryAfter, 5000)
  t.equal(breaker.figures().retryAfter, 10_000)
  breaker.clock.advance(7000)
  t.equal(breaker.figures().retryAfter, 3000)
})

t.test('by is told all that the run is for', async t => {
  const told: unknown[] = []
  const breaker = new TestBreaker({ by: (...subject) => { told.push(subject); return 'x' } })
  breaker.run(GOOD, 1, 1, 'two', [3])
  t.strictSame(told, [[1, 'two', [3]]])
})

t.test('to look makes no circuit', async t => {
  const breaker = new TestBreaker({ by })
  t.equal(breaker.refusalFor(['a']), undefined)
  t.notOk(breaker.wouldProbe(['a']))
  t.equal(breaker.figures().states.closed, 0)
})

t.test('where by throws, or answers no string or a very long one, they share a circuit', async t => {
  const breaker = new TestBreaker({ by (upstream) { if (upstream === 'bug') throw new Error('bug'); return upstream } })
  for (const odd of ['bug', undefined, Symbol('odd')]) breaker.run(BAD, 1, odd)
  breaker.run(BAD, 1, 'x'.repeat(1001))
  for (const odd of ['bug', null, {}, [], ['a'], '', 'y'.repeat(1001)]) t.equal(breaker.isRefused(odd).reason, 'breaker-open')
  breaker.run(GOOD, 1, 'x'.repeat(1000))
})

t.test('a number, such as a parameter that a schema has made one, is a name as its text is', async t => {
  const breaker = new TestBreaker({ by })
  breaker.fail(7)
  for (const same of [7, '7', 7n]) t.equal(breaker.isRefused(same).reason, 'breaker-open')
  for (const other of [8, true, undefined]) t.equal(breaker.refusalFor([other]), undefined)
})

t.test('names that objects have are names like others', async t => {
  const breaker = new TestBreaker({ by })
  for (const name of ['__proto__', 'constructor', 'toString']) {
    t.equal(breaker.refusalFor([name]), undefined)
    breaker.fail(name)
    t.equal(breaker.isRefused(name).reason, 'breaker-open')
  }
  t.equal(Reflect.get({}, 'reason'), undefined)
})

t.test('there are a thousand circuits at most, and the one that ran longest ago goes', async t => {
  const breaker = new TestBreaker({ by })
  breaker.run(BAD, 3, 'first')
  breaker.run(BAD, 3, 'second')
  for (let more = 0; more < 998; more++) breaker.run(GOOD, 1, `upstream ${more}`)
  const late = breaker.mayBegin('second')
  breaker.run(GOOD, 1, 'another')
  t.equal(breaker.figures().states.closed, 1000)
  breaker.run(BAD, 1, 'first')
  t.equal(breaker.state, 'closed', 'what was counted of it is forgotten')
  late.end(BAD)
  t.equal(breaker.isRefused('second').reason, 'breaker-open', 'the other is not')
})

t.test('one that is open is not forgotten while there is one that is closed', async t => {
  const breaker = new TestBreaker({ by })
  breaker.fail('down')
  for (let more = 0; more < 3000; more++) breaker.run(GOOD, 1, `upstream ${more}`)
  t.equal(breaker.isRefused('down').reason, 'breaker-open')
  t.strictSame(breaker.figures().states, { closed: 999, open: 1, 'half-open': 0 })
  breaker.clock.advance(5000)
  const probe = breaker.mayBegin('down')
  for (let more = 0; more < 1000; more++) breaker.run(GOOD, 1, `upstream ${more}`)
  t.equal(breaker.isRefused('down').reason, 'breaker-probing', 'nor is one that is half open')
  probe.end(GOOD)
  for (let more = 0; more < 1000; more++) breaker.run(GOOD, 1, `upstream ${more}`)
  t.strictSame(breaker.figures().states, { closed: 1000, open: 0, 'half-open': 0 })
})

t.test('where all are open the one that opened first goes', async t => {
  const breaker = new TestBreaker({ by })
  for (let more = 0; more < 1000; more++) breaker.fail(`upstream ${more}`)
  breaker.run(GOOD, 1, 'another')
  t.strictSame(breaker.figures().states, { closed: 1, open: 999, 'half-open': 0 })
  t.equal(breaker.refusalFor(['upstream 0']), undefined)
  t.equal(breaker.isRefused('upstream 1').reason, 'breaker-open')
})

t.test('runs of a circuit that was forgotten change nothing', async t => {
  const breaker = new TestBreaker({ by })
  const runs = Array.from({ length: 10 }, () => breaker.mayBegin('gone'))
  for (let more = 0; more < 1000; more++) breaker.run(GOOD, 1, `upstream ${more}`)
  for (const run of runs) run.end(BAD)
  t.strictSame(breaker.told, [])
  t.equal(breaker.refusalFor(['gone']), undefined)
  t.equal(breaker.figures().states.closed, 1000)
  t.equal(breaker.figures().runs.failed, 10)
})

t.test('one that is opened by hand is open for values that nobody has seen, until it is closed', async t => {
  const breaker = new TestBreaker({ by })
  breaker.open()
  t.equal(breaker.state, 'open')
  t.strictSame(breaker.told, ['closed → open'])
  breaker.close()
  breaker.run(GOOD, 1, 'a')
  breaker.open()
  for (const name of ['a', 'b', 'c']) t.match(breaker.isRefused(name), { reason: 'breaker-open', retryAfter: 60_000 })
  t.ok(breaker.refusalFor(['d']))
  t.notOk(breaker.wouldProbe(['d']))
  t.strictSame(breaker.figures().states, { closed: 0, open: 2, 'half-open': 0 }, 'they need no circuit of their own')
  breaker.clock.advance(LASTS + 60_000)
  t.equal(breaker.state, 'open')
  breaker.close()
  t.equal(breaker.state, 'closed')
  for (const name of ['a', 'b', 'c', '']) breaker.run(GOOD, 1, name)
})

t.test('who listens may close what is being opened, and open what is being closed', async t => {
  const closed = new TestBreaker({ by })
  for (const name of ['a', 'b', 'c']) closed.run(GOOD, 1, name)
  const stopClosing = closed.listen(to => { if (to === 'open') { stopClosing(); closed.close() } })
  closed.open()
  t.equal(closed.state, 'closed')

  closed.open()
  const stopOpening = closed.listen(to => { if (to === 'closed') { stopOpening(); closed.open() } })
  closed.close()
  t.strictSame(closed.figures().states, { closed: 0, open: 4, 'half-open': 0 })
  t.ok(closed.refusalFor(['d']))
})
