import t from 'tap'
import { Breaker } from '../../lib/protection/breaker.js'
import { systemClock } from '../../lib/clock.js'
import { BAD, GOOD, LASTS, NEUTRAL, SETTINGS, TestBreaker } from './breakers.js'

t.test('it opens once so large a part of enough runs fails', async t => {
  const breaker = new TestBreaker()
  breaker.run(BAD, 3)
  t.equal(breaker.state, 'closed', 'three are too few')
  breaker.run(BAD)
  t.equal(breaker.state, 'open')

  const other = new TestBreaker({ threshold: 0.5 })
  other.run(GOOD, 6)
  other.run(BAD, 5)
  t.equal(other.state, 'closed')
  other.run(BAD)
  t.equal(other.state, 'open')
})

t.test('a run that does well can be the one that makes them enough', async t => {
  const breaker = new TestBreaker()
  breaker.run(BAD, 3)
  breaker.run(GOOD)
  t.equal(breaker.state, 'open')
})

t.test('seven of a hundred are 0.07', async t => {
  const breaker = new TestBreaker({ threshold: 0.07, minimumRuns: 100 })
  breaker.run(GOOD, 93)
  breaker.run(BAD, 7)
  t.equal(breaker.state, 'open')
})

t.test('runs that tell nothing are no runs', async t => {
  const breaker = new TestBreaker()
  breaker.run(BAD, 3)
  breaker.run(NEUTRAL, 10)
  t.equal(breaker.state, 'closed')
  t.strictSame(breaker.figures().runs, { good: 0, failed: 3, neutral: 10 })
})

t.test('it opens after so many failures in a row, which runs that tell nothing do not break', async t => {
  const breaker = new TestBreaker({ consecutive: 3, minimumRuns: 100 })
  breaker.run(BAD, 2)
  breaker.run(GOOD)
  breaker.run(BAD, 2)
  t.equal(breaker.state, 'closed')
  breaker.run(NEUTRAL)
  breaker.run(BAD)
  t.equal(breaker.state, 'open')

  breaker.close()
  breaker.run(BAD, 2)
  t.equal(breaker.state, 'closed', 'closing ends the row')
})

t.test('what is older than the window is forgotten, bucket by bucket', async t => {
  const breaker = new TestBreaker()
  breaker.run(BAD, 2)
  breaker.clock.advance(5000)
  breaker.run(GOOD)
  breaker.clock.advance(4999)
  t.equal(breaker.state, 'closed')
  breaker.clock.advance(1)
  breaker.run(BAD, 1)
  t.equal(breaker.state, 'closed', 'the first two are gone')
  breaker.run(GOOD, 1)
  breaker.run(BAD, 1)
  t.equal(breaker.state, 'open', 'the third is not')
})

t.test('failures that are forgotten do not count against runs that do well', async t => {
  const breaker = new TestBreaker()
  breaker.run(BAD, 3)
  breaker.clock.advance(10_000)
  breaker.run(GOOD, 10)
  t.equal(breaker.state, 'closed')
})

t.test('runs that come a little apart do not make the window longer', async t => {
  const breaker = new TestBreaker({ minimumRuns: 9 })
  breaker.run(BAD, 4)
  for (let run = 0; run < 5; run++) {
    breaker.clock.advance(1900)
    breaker.run(GOOD)
  }
  breaker.clock.advance(1900)
  breaker.run(BAD, 4)
  t.equal(breaker.state, 'closed')
  breaker.run(BAD)
  t.equal(breaker.state, 'open')
})

t.test('what was forgotten once is not forgotten again', async t => {
  const breaker = new TestBreaker()
  for (let window = 0; window < 5; window++) {
    breaker.run(BAD, 3)
    breaker.clock.advance(10_000)
  }
  breaker.run(BAD, 3)
  t.equal(breaker.state, 'closed')
  breaker.run(BAD)
  t.equal(breaker.state, 'open')
})

t.test('it forgets however long nothing was called', async t => {
  for (const silence of [10_000, 19_999, 3_600_000, 1e12 + 0.25]) {
    const breaker = new TestBreaker()
    breaker.clock.advance(7)
    breaker.run(BAD, 3)
    breaker.clock.advance(silence)
    breaker.run(BAD, 3)
    t.equal(breaker.state, 'closed')
    breaker.run(BAD)
    t.equal(breaker.state, 'open')
  }
})

t.test('while it is open no run begins, and who is refused learns when to come again', async t => {
  const breaker = new TestBreaker()
  t.equal(breaker.refusalFor([]), undefined)
  breaker.fail()
  t.strictSame(breaker.told, ['closed → open'])
  breaker.clock.advance(1200)
  const refusal = breaker.isRefused()
  t.match(refusal, { type: 'refused', reason: 'breaker-open', retryAfter: 3800 })
  t.match(breaker.refusalFor([]), { type: 'refused', reason: 'breaker-open', retryAfter: 3800 })
  t.match(refusal.error, { code: 'FST_COALESCE_BREAKER_OPEN', statusCode: 503, message: 'circuit breaker users lets no run begin; try again in 4 s' })
  t.equal(refusal.error, refusal.error, 'one error a refusal')
  breaker.clock.advance(3799)
  t.equal(breaker.isRefused().retryAfter, 1000, 'a second at least')
  t.equal(breaker.figures().retryAfter, 1)
  t.equal(breaker.state, 'open')
  breaker.clock.advance(1)
  t.equal(breaker.state, 'half-open')
  t.equal(breaker.refusalFor([]), undefined)
})

t.test('half open, one run probes at a time, whoever else asks', async t => {
  const breaker = new TestBreaker()
  t.notOk(breaker.wouldProbe([]))
  breaker.fail()
  t.notOk(breaker.wouldProbe([]))
  breaker.clock.advance(5000)
  t.ok(breaker.wouldProbe([]))
  t.strictSame(breaker.told, ['closed → open'], 'to look changes nothing')
  const probe = breaker.mayBegin()
  t.ok(probe.isProbe)
  t.strictSame(breaker.told, ['closed → open', 'open → half-open'])
  t.notOk(breaker.wouldProbe([]))
  for (let other = 0; other < 500; other++) t.match(breaker.isRefused(), { reason: 'breaker-probing', retryAfter: 1000 })
  t.match(breaker.refusalFor([]), { reason: 'breaker-probing', retryAfter: 1000 })
  t.equal(breaker.figures().retryAfter, 1000)
  probe.end(GOOD)
  t.equal(breaker.state, 'closed')
  t.equal(breaker.figures().retryAfter, 0)
  t.notOk(breaker.mayBegin().isProbe)
})

t.test('so many probes in a row must do well', async t => {
  const breaker = new TestBreaker({ probes: 3 })
  breaker.fail()
  breaker.clock.advance(5000)
  breaker.run(GOOD, 2)
  t.equal(breaker.state, 'half-open')
  breaker.run(BAD)
  t.equal(breaker.state, 'open')
  breaker.clock.advance(10_000)
  breaker.run(GOOD, 2)
  t.equal(breaker.state, 'half-open', 'those before the failed one do not count')
  breaker.run(GOOD)
  t.equal(breaker.state, 'closed')
})

t.test('a probe that tells nothing frees the place for the next one, and does not count', async t => {
  const breaker = new TestBreaker({ probes: 2 })
  breaker.fail()
  breaker.clock.advance(5000)
  breaker.run(NEUTRAL, 5)
  t.equal(breaker.state, 'half-open')
  breaker.run(GOOD)
  breaker.run(NEUTRAL, 5)
  t.equal(breaker.state, 'half-open')
  breaker.run(GOOD)
  t.equal(breaker.state, 'closed')
})

t.test('after each failed probe it stays open twice as long, up to the longest, and closing resets that', async t => {
  const breaker = new TestBreaker()
  breaker.fail()
  for (const openFor of [5000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
    t.equal(breaker.figures().retryAfter, openFor)
    breaker.clock.advance(openFor - 1)
    t.equal(breaker.state, 'open')
    breaker.clock.advance(1)
    t.equal(breaker.state, 'half-open')
    breaker.run(BAD)
  }
  breaker.clock.advance(60_000)
  breaker.run(GOOD)
  breaker.fail()
  t.equal(breaker.figures().retryAfter, 5000)
})

t.test('a probe that hangs loses its place and has failed, so that it does not refuse for ever', async t => {
  const breaker = new TestBreaker()
  breaker.fail()
  breaker.clock.advance(5000)
  const probe = breaker.mayBegin()
  breaker.clock.advance(LASTS - 1)
  t.equal(breaker.isRefused().reason, 'breaker-probing')
  breaker.clock.advance(1)
  t.equal(breaker.state, 'open')
  t.match(breaker.refusalFor([]), { reason: 'breaker-open', retryAfter: 10_000 })
  t.equal(breaker.told.length, 2, 'to look changes nothing')
  t.match(breaker.isRefused(), { reason: 'breaker-open', retryAfter: 10_000 })
  t.strictSame(breaker.told, ['closed → open', 'open → half-open', 'half-open → open'])
  breaker.clock.advance(10_000)
  const second = breaker.mayBegin()
  probe.end(GOOD)
  t.equal(breaker.state, 'half-open', 'the lost one does not close it')
  probe.end(BAD)
  t.equal(breaker.isRefused().reason, 'breaker-probing', 'nor does it free the place of another')
  second.end(GOOD)
  t.equal(breaker.state, 'closed')
})

t.test('a lost probe that nobody has noticed is late all the same, and open time counts from its loss', async t => {
  const breaker = new TestBreaker()
  breaker.fail()
  breaker.clock.advance(5000)
  const probe = breaker.mayBegin()
  breaker.clock.advance(LASTS)
  probe.end(GOOD)
  t.equal(breaker.state, 'open')

  breaker.clock.advance(10_000)
  breaker.mayBegin()
  breaker.clock.advance(LASTS + 20_000)
  t.equal(breaker.state, 'half-open', 'twice ten seconds after it was lost')
  t.ok(breaker.wouldProbe([]))
  t.equal(breaker.figures().retryAfter, 0)
  t.ok(breaker.mayBegin().isProbe)
  t.strictSame(breaker.told.slice(-2), ['half-open → open', 'open → half-open'])
})

t.test('what a run of an earlier period came to changes nothing', async t => {
  const breaker = new TestBreaker()
  const late = Array.from({ length: 40 }, () => breaker.mayBegin())
  const end = (): void => {
    for (const run of late.splice(0, 5)) run.end(BAD)
    for (const run of late.splice(0, 5)) run.end(GOOD)
  }
  breaker.fail()
  end()
  t.equal(breaker.figures().retryAfter, 5000)
  breaker.clock.advance(5000)
  const probe = breaker.mayBegin()
  end()
  t.equal(breaker.isRefused().reason, 'breaker-probing')
  probe.end(GOOD)
  end()
  t.equal(breaker.state, 'closed')
  breaker.run(BAD, 3)
  t.equal(breaker.state, 'closed', 'they are not in the window')
  breaker.close()
  end()
  breaker.run(BAD, 3)
  t.equal(breaker.state, 'closed', 'closing by hand ends a period as well')
  t.strictSame(breaker.figures().runs, { good: 21, failed: 30, neutral: 0 })
})

t.test('a run is told once how it ended', async t => {
  const breaker = new TestBreaker({ consecutive: 2 })
  const run = breaker.mayBegin()
  run.end(BAD)
  run.end(BAD)
  run.end(GOOD)
  t.equal(breaker.state, 'closed')
  t.strictSame(breaker.figures().runs, { good: 0, failed: 1, neutral: 0 })
})

t.test('how long a run took is told by the clock', async t => {
  const durations: number[] = []
  const breaker = new TestBreaker({ slow: 100, consecutive: 1, isFailure (run) { durations.push(run.duration); return false } })
  const [quick, slow] = [breaker.mayBegin(), breaker.mayBegin()]
  breaker.clock.advance(100)
  quick.end(GOOD)
  t.equal(breaker.state, 'closed')
  breaker.clock.advance(1)
  slow.end(GOOD)
  t.equal(breaker.state, 'open')
  t.strictSame(durations, [100, 101])
})

t.test('one that was opened by hand stays open until it is closed by hand', async t => {
  const breaker = new TestBreaker()
  const late = breaker.mayBegin()
  breaker.open()
  breaker.clock.advance(86_400_000)
  t.equal(breaker.state, 'open')
  t.equal(breaker.isRefused().retryAfter, 60_000)
  late.end(GOOD)
  t.equal(breaker.state, 'open')
  breaker.open()
  t.strictSame(breaker.told, ['closed → open'], 'it is open already')
  breaker.close()
  breaker.close()
  t.strictSame(breaker.told, ['closed → open', 'open → closed'])
  breaker.fail()
  t.equal(breaker.figures().retryAfter, 5000)
})

t.test('one that is open for a while can be held open, and a probe does not close what was opened by hand', async t => {
  const breaker = new TestBreaker()
  breaker.fail()
  breaker.open()
  breaker.clock.advance(5000)
  t.equal(breaker.state, 'open')
  breaker.close()
  breaker.fail()
  breaker.clock.advance(5000)
  const probe = breaker.mayBegin()
  breaker.open()
  probe.end(GOOD)
  breaker.clock.advance(LASTS)
  t.equal(breaker.state, 'open')
})

t.test('closing by hand forgets what it has counted', async t => {
  const breaker = new TestBreaker()
  breaker.run(BAD, 3)
  breaker.close()
  breaker.run(BAD, 3)
  breaker.close()
  breaker.run(GOOD, 4)
  t.equal(breaker.state, 'closed')
  t.equal(breaker.figures().runs.failed, 6, 'but for the figures')
})

t.test('figures tell of states, transitions, runs and who was refused', async t => {
  const breaker = new TestBreaker()
  t.strictSame(breaker.figures(), {
    name: 'users',
    state: 'closed',
    retryAfter: 0,
    states: { closed: 1, open: 0, 'half-open': 0 },
    transitions: { closed: 0, open: 0, 'half-open': 0 },
    runs: { good: 0, failed: 0, neutral: 0 },
    shed: { open: 0, probing: 0 }
  })
  const before = breaker.figures()
  breaker.run(GOOD)
  breaker.run(BAD, 3)
  breaker.isRefused()
  breaker.refusalFor([])
  breaker.shed(breaker.isRefused())
  breaker.clock.advance(5000)
  const probe = breaker.mayBegin()
  breaker.shed(breaker.isRefused())
  breaker.shed(breaker.isRefused())
  breaker.shed({ type: 'refused', reason: 'evicted', error: new Error('of a queue'), retryAfter: 1000 })
  t.match(breaker.figures(), { state: 'half-open', retryAfter: 1000, states: { closed: 0, open: 0, 'half-open': 1 } })
  probe.end(NEUTRAL)
  t.strictSame(breaker.figures(), {
    name: 'users',
    state: 'half-open',
    retryAfter: 0,
    states: { closed: 0, open: 0, 'half-open': 1 },
    transitions: { closed: 0, open: 1, 'half-open': 1 },
    runs: { good: 1, failed: 3, neutral: 1 },
    shed: { open: 1, probing: 2 }
  })
  t.equal(before.transitions.open, 0, 'those of before stay as they were')
})

t.test('it has a name, its own or one that it is given', async t => {
  t.equal(new Breaker(SETTINGS, systemClock).name, 'users')
  t.equal(new Breaker({ ...SETTINGS, name: undefined }, systemClock, 'GET /x').name, 'GET /x')
  t.equal(new Breaker({ ...SETTINGS, name: undefined }, systemClock).name, 'breaker')
})

t.test('who listens is told of each transition until it stops, and one that throws hurts nobody', async t => {
  const breaker = new TestBreaker()
  const told: string[] = []
  const listener = (to: string): void => { told.push(to) }
  breaker.listen(() => { throw new Error('bug') })
  const stops = [breaker.listen(listener), breaker.listen(listener)]
  breaker.fail()
  stops[0]?.()
  stops[0]?.()
  breaker.close()
  stops[1]?.()
  breaker.open()
  t.strictSame(told, ['open', 'open', 'closed'])
})

t.test('who listens may open and close it, and begin runs', async t => {
  const held = new TestBreaker()
  held.listen(to => { if (to === 'half-open') held.open() })
  held.fail()
  held.clock.advance(5000)
  t.match(held.isRefused(), { reason: 'breaker-open', retryAfter: 60_000 })

  const closed = new TestBreaker()
  closed.listen(to => { if (to === 'open') closed.close() })
  closed.fail()
  t.equal(closed.state, 'closed')

  const eager = new TestBreaker()
  eager.listen(to => { if (to === 'half-open') eager.mayBegin() })
  eager.fail()
  eager.clock.advance(5000)
  t.equal(eager.isRefused().reason, 'breaker-probing')

  const endless = new TestBreaker()
  endless.listen(() => { endless.listen(() => { endless.listen(() => t.fail('is not told of what was before')) }) })
  endless.open()
})

t.test('a backend that is down for two minutes is asked a few dozen times', async t => {
  const breaker = new TestBreaker({ minimumRuns: 10 })
  let runs = 0
  for (let time = 0; time < 120_000; time += 2) {
    const run = breaker.begin([], LASTS)
    if (run.type === 'begun') {
      runs++
      run.end(BAD)
    }
    breaker.clock.advance(2)
  }
  t.ok(runs <= 10 + 7, `${runs} runs of 60,000`)
  t.equal(breaker.clock.timers, 0)
})
