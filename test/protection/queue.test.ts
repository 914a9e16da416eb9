/**
 * What a run queue promises, a sentence each. `queue-model.test.ts` has it in any order.
 */
import t from 'tap'
import { QueueFullError, QueueTimeoutError } from '../../lib/errors.js'
import { Queue } from '../../lib/protection/queue.js'
import { TestClock } from '../fixtures/gate.js'
import { Backend, HIGH, LOW, NORMAL, SETTINGS, type TestWaiter } from './waiters.js'

const REFRESH = true

t.test('a free slot is given at once, and one that is given back goes to who waits', async t => {
  const backend = new Backend({ maxRuns: 2 })
  const [a, b, c] = [backend.enter('a'), backend.enter('b'), backend.enter('c')]

  t.ok(a.slot)
  t.ok(b.slot)
  t.equal(c.slot, undefined)
  t.strictSame([backend.queue.running, backend.queue.waiting], [2, 1])
  t.equal(backend.told(), '', 'who gets a slot at once is not told again')
  a.slot?.free()
  t.ok(c.slot)
  t.equal(backend.told(), 'c')
  t.strictSame([backend.queue.running, backend.queue.waiting], [2, 0])
  b.slot?.free()
  c.slot?.free()
  t.equal(backend.queue.running, 0)
})

t.test('a slot that is given back twice is given back once', async t => {
  const backend = new Backend({ maxRuns: 1 })
  const a = backend.enter('a')
  const [b, c] = [backend.enter('b'), backend.enter('c')]

  a.slot?.free()
  a.slot?.free()

  t.equal(backend.told(), 'b')
  t.strictSame([backend.queue.running, backend.queue.waiting], [1, 1])
  b.slot?.free()
  c.slot?.free()
  c.slot?.free()
  t.equal(backend.queue.running, 0)
})

t.test('the most urgent runs first, and of those equally urgent the one that came first', async t => {
  const backend = new Backend()
  const running = backend.enter('running')
  const all = [backend.enter('refresh', HIGH, REFRESH), backend.enter('low', LOW), backend.enter('normal'), backend.enter('high', HIGH), backend.enter('normal 2')]

  t.equal(backend.drain(running, all), 'high, normal, normal 2, low, refresh')
})

t.test('a low one that a high one waits for as well runs second of fifty-two, and last again once that one has left', async t => {
  for (const leaves of [false, true]) {
    const backend = new Backend()
    const running = backend.enter('running')
    const low = backend.enter('low', LOW)
    backend.enter('high', HIGH)
    const normal = Array.from({ length: 50 }, (_, index) => backend.enter(`normal ${index}`))
    low.turn?.joined(HIGH)
    if (leaves) low.turn?.left(HIGH)

    running.slot?.free()
    t.equal(backend.told(), leaves ? 'high' : 'low')
    t.equal(backend.queue.figures().raised, 1)
    t.equal(backend.queue.waiting, normal.length + 1)
  }
})

t.test('one is as urgent as the most urgent who waits for it', async t => {
  const backend = new Backend()
  const running = backend.enter('running')
  const [other, shared] = [backend.enter('other', NORMAL), backend.enter('shared', LOW)]
  shared.turn?.joined(HIGH)
  shared.turn?.joined(HIGH)
  shared.turn?.left(LOW)
  shared.turn?.joined(NORMAL)
  shared.turn?.left(HIGH)
  t.equal(backend.queue.figures().levels[HIGH]?.waiting, 1)
  shared.turn?.left(HIGH)
  t.equal(backend.queue.figures().levels[NORMAL]?.waiting, 2)
  shared.turn?.left(NORMAL)
  t.equal(backend.queue.figures().levels[NORMAL]?.waiting, 2, 'when all have left it stays what it was')
  shared.turn?.joined(LOW)
  t.equal(backend.queue.figures().levels[LOW]?.waiting, 1)

  t.equal(backend.queue.figures().raised, 1)
  t.equal(backend.drain(running, [other, shared]), 'other, shared')
})

t.test('a refresh that somebody waits for is as urgent as that one, and a mere refresh again after it has left', async t => {
  const backend = new Backend()
  const running = backend.enter('running')
  const all = [backend.enter('second', HIGH, REFRESH), backend.enter('first', HIGH, REFRESH), backend.enter('low', LOW)]
  const [second, first] = all
  first?.turn?.joined(LOW)
  second?.turn?.joined(LOW)
  second?.turn?.left(LOW)

  t.equal(backend.drain(running, all), 'first, low, second')
})

t.test('with the last that waits its timer can be cleared', async t => {
  const backend = new Backend()
  const running = backend.enter('running')
  const low = backend.enter('low', LOW)
  backend.queue.sweep()
  t.equal(backend.clock.timers, 1)

  running.slot?.free()
  low.slot?.free()
  backend.queue.sweep()

  t.equal(backend.clock.timers, 0)
})

t.test('who has left is told nothing, and its place is free', async t => {
  const backend = new Backend({ maxQueued: 1 })
  const running = backend.enter('running')
  const left = backend.enter('left')

  t.equal(left.turn?.leave(), true)
  t.equal(left.turn?.leave(), false)
  const next = backend.enter('next')
  running.slot?.free()
  backend.clock.advance(60_000)

  t.equal(backend.told(), 'next')
  t.equal(next.turn?.leave(), false, 'it waits no longer')
  next.turn?.joined(HIGH)
  t.equal(backend.queue.figures().raised, 0)
})

t.test('where too many wait a newcomer is refused, unless one waits that is less urgent', async t => {
  const backend = new Backend({ maxQueued: 3 })
  backend.enter('running')
  backend.enter('low', LOW)
  backend.enter('low 2', LOW)
  backend.enter('high', HIGH)

  t.equal(backend.enter('low 3', LOW).refusal?.reason, 'queue-full')
  const newcomer = backend.enter('normal')
  t.ok(newcomer.turn)
  t.equal(backend.told(), 'low 2 evicted')
  t.ok(backend.enter('normal 2').turn)
  t.equal(backend.told(), 'low evicted')
  t.equal(backend.enter('normal 3').refusal?.reason, 'queue-full')
  t.ok(backend.enter('high 2', HIGH).turn)
  t.ok(backend.enter('high 3', HIGH).turn)
  t.equal(backend.told(), 'normal 2 evicted, normal evicted')
  t.equal(backend.enter('high 4', HIGH).refusal?.reason, 'queue-full')
  t.equal(backend.queue.waiting, 3)
  t.strictSame(backend.queue.figures().levels.map(({ shed }) => shed), [
    { full: 1, timeout: 0, evicted: 0 }, { full: 1, timeout: 0, evicted: 2 }, { full: 1, timeout: 0, evicted: 2 }
  ])
})

t.test('a refresh evicts nobody, and is evicted before all others', async t => {
  const backend = new Backend({ maxQueued: 2 })
  backend.enter('running')
  backend.enter('refresh', HIGH, REFRESH)
  backend.enter('low', LOW)

  t.equal(backend.enter('refresh 2', HIGH, REFRESH).refusal?.reason, 'queue-full')
  t.ok(backend.enter('low 2', LOW).turn)
  t.equal(backend.told(), 'refresh evicted')
  t.equal(backend.enter('refresh 3', HIGH, REFRESH).refusal?.reason, 'queue-full')
})

t.test('one that somebody more urgent waits for is not evicted', async t => {
  const backend = new Backend({ maxQueued: 2 })
  backend.enter('running')
  backend.enter('low', LOW)
  backend.enter('low 2', LOW).turn?.joined(HIGH)

  backend.enter('normal')

  t.equal(backend.told(), 'low evicted')
})

t.test('where nobody may wait all are refused for whom no slot is free', async t => {
  const backend = new Backend({ maxQueued: 0 })
  t.ok(backend.enter('a').slot)
  t.equal(backend.enter('b', HIGH).refusal?.reason, 'queue-full')
})

t.test('one that has waited for queueTimeout is refused, with one timer for all', async t => {
  const backend = new Backend({ queueTimeout: 300 })
  const running = backend.enter('running')
  t.equal(backend.clock.timers, 0, 'there is none while nobody waits')
  const first = backend.enter('first', LOW)
  backend.clock.advance(100)
  const second = backend.enter('second')
  t.equal(backend.clock.timers, 1)
  backend.clock.advance(200)

  t.equal(backend.told(), 'first queue-timeout')
  t.equal(first.turn?.leave(), false)
  t.equal(backend.queue.waiting, 1)
  running.slot?.free()
  backend.clock.advance(10_000)
  t.equal(backend.told(), 'second', 'who runs is not refused')
  t.ok(second.slot)
  t.equal(backend.clock.timers, 0)
  t.equal(backend.queue.figures().levels[LOW]?.shed.timeout, 1)
})

t.test('a refusal\'s error names the queue, is made once and only for who asks, and is each one\'s own', async t => {
  const backend = new Backend({ maxQueued: 1, queueTimeout: 300 })
  backend.enter('running')
  const evicted = backend.enter('low', LOW)
  const late = backend.enter('normal')
  const full = [backend.enter('a'), backend.enter('b')]
  backend.clock.advance(300)

  t.ok(late.refusal?.error instanceof QueueTimeoutError)
  t.equal(late.refusal?.error.message, 'no run of the queue database could begin within 300 ms')
  t.ok(evicted.refusal?.error instanceof QueueFullError)
  t.equal(full[0]?.refusal?.error.message, 'too many runs wait in the queue database')
  t.equal(full[0]?.refusal?.error, full[0]?.refusal?.error)
  t.not(full[0]?.refusal?.error, full[1]?.refusal?.error)
  t.notOk(Object.keys(full[0]?.refusal ?? {}).includes('error'), 'it is made for who asks for it')
})

t.test('a refusal says when it may help to come again: when those who wait have run, and in a second at least', async t => {
  const backend = new Backend({ maxRuns: 2, maxQueued: 3 })
  const running = [backend.enter('a'), backend.enter('b')]
  for (const name of ['c', 'd', 'e']) backend.enter(name, HIGH)
  t.equal(backend.enter('f').refusal?.retryAfter, 1000, 'no run has ended yet')
  backend.clock.advance(4000)
  running[0]?.slot?.free()
  backend.enter('g', HIGH)

  t.equal(backend.enter('h').refusal?.retryAfter, 3 * 4000 / 2)
  backend.queue.limit = 0
  t.equal(backend.enter('i').refusal?.retryAfter, 3 * 4000)
})

t.test('the mean of runs follows the last ones slowly, and is nothing before the first', async t => {
  const backend = new Backend()
  const run = (duration: number): number => {
    const { slot } = backend.enter('run')
    backend.clock.advance(duration)
    slot?.free()
    return backend.queue.figures().meanRun
  }

  t.equal(backend.queue.figures().meanRun, 0)
  t.equal(run(0), 0)
  t.equal(run(100), 10, 'a run that took no time counts as well')
  t.equal(run(10), 10)
  t.equal(run(0), 9)
})

t.test('a slot that one does not want goes to the next, and is no run', async t => {
  const backend = new Backend()
  const running = backend.enter('running')
  const [a, b, c] = [backend.enter('a', HIGH), backend.enter('b', HIGH), backend.enter('c', HIGH)]
  a.onTake = () => false
  b.onTake = () => {
    b.slot?.free()
    return false
  }

  running.slot?.free()

  t.equal(backend.told(), 'a, b, c')
  a.slot?.free()
  b.slot?.free()
  t.equal(backend.queue.running, 1)
  t.equal(backend.queue.figures().levels[HIGH]?.runs, 1)
  c.slot?.free()
  t.equal(backend.queue.running, 0)
})

t.test('very many that do not want a slot, or give it back at once, are told one after the other', async t => {
  const backend = new Backend({ maxQueued: 100_000 })
  const running = backend.enter('running')
  for (let count = 0; count < 100_000; count++) {
    const waiter = backend.waiter('', LOW)
    waiter.onTake = count % 2 === 0
      ? () => false
      : () => {
          waiter.slot?.free()
          return true
        }
    backend.queue.enter(waiter)
  }

  running.slot?.free()

  t.strictSame([backend.queue.running, backend.queue.waiting], [0, 0])
  t.equal(backend.queue.figures().levels[LOW]?.runs, 50_000)
})

t.test('who is told that it may run can enter, and free slots, and have others leave', async t => {
  const backend = new Backend({ maxRuns: 1 })
  const running = backend.enter('running')
  const [a, b, c] = [backend.enter('a'), backend.enter('b'), backend.enter('c')]
  let high: TestWaiter | undefined
  a.onTake = () => {
    a.slot?.free()
    high = backend.enter('high', HIGH)
    t.equal(high.slot, undefined, 'others wait, so it waits as well, though a slot is free')
    b.turn?.leave()
    return true
  }

  running.slot?.free()

  t.equal(backend.told(), 'a, high')
  high?.slot?.free()
  t.equal(backend.told(), 'c')
  t.ok(c.slot)
})

t.test('who is evicted may enter again, and does not get the place that it has lost', async t => {
  const backend = new Backend({ maxQueued: 1 })
  backend.enter('running')
  const low = backend.enter('low', LOW)
  let again: TestWaiter | undefined
  low.onRefused = () => { again = backend.enter('again', LOW) }

  t.ok(backend.enter('normal').turn)
  t.equal(again?.refusal?.reason, 'queue-full')
  t.equal(backend.queue.waiting, 1)
})

t.test('who is evicted may free a slot, and the newcomer gets it if nobody else waits', async t => {
  const backend = new Backend({ maxQueued: 1 })
  const running = backend.enter('running')
  backend.enter('low', LOW).onRefused = () => { running.slot?.free() }

  t.ok(backend.enter('normal').slot)
  t.equal(backend.told(), 'low evicted')
  t.strictSame([backend.queue.running, backend.queue.waiting], [1, 0])
})

t.test('a higher limit has more run at once, a lower one lets those that run go on', async t => {
  const backend = new Backend({ maxRuns: 1 })
  const all = ['a', 'b', 'c', 'd', 'e'].map(name => backend.enter(name))

  backend.queue.limit = 4
  t.equal(backend.queue.limit, 4)
  t.equal(backend.told(), 'b, c, d')
  backend.queue.limit = 1
  t.equal(backend.queue.running, 4)
  for (const { slot } of all.slice(0, 3)) slot?.free()
  t.equal(backend.told(), '')
  all[3]?.slot?.free()
  t.equal(backend.told(), 'e')
  backend.queue.limit = 0
  all[4]?.slot?.free()
  t.ok(backend.enter('f').turn, 'with none nobody runs')
  backend.queue.limit = 1
  t.equal(backend.told(), 'f')
})

t.test('a limit is a whole number from 0', async t => {
  const { queue } = new Backend()
  for (const limit of [-1, 1.5, NaN, Infinity, '3' as unknown as number]) {
    t.throws(() => { queue.limit = limit }, {
      code: 'FST_COALESCE_INVALID_OPTION',
      message: `limit of the queue database must be a whole number from 0, got ${typeof limit === 'string' ? 'string' : limit}`
    })
  }
  t.equal(queue.limit, 1)
})

t.test('figures tell of each level how many wait and ran, and how long those had waited', async t => {
  const backend = new Backend({ maxRuns: 1 })
  const first = backend.enter('first')
  const second = backend.enter('second')
  backend.enter('low', LOW)
  backend.enter('refresh', HIGH, REFRESH)
  backend.clock.advance(30)
  first.slot?.free()
  backend.clock.advance(2)
  second.slot?.free()
  backend.clock.advance(999_968)
  const figures = backend.queue.figures()

  t.strictSame({ ...figures, levels: undefined, meanRun: 0 }, {
    name: 'database', running: 1, waiting: 0, limit: 1, levels: undefined, raised: 0, meanRun: 0
  })
  t.strictSame(figures.levels.map(({ level, waiting, runs }) => [level, waiting, runs]), [['high', 0, 0], ['normal', 0, 2], ['low', 0, 1]])
  t.strictSame(figures.levels[NORMAL]?.waited, {
    count: 2,
    sum: 30,
    buckets: [
      [1, 1], [5, 1], [10, 1], [25, 1], [50, 2], [100, 2], [250, 2], [500, 2], [1000, 2], [2500, 2], [5000, 2], [10_000, 2], [30_000, 2],
      [Infinity, 2]
    ]
  })
  t.equal(figures.levels[LOW]?.waited.sum, 32)
  t.equal(figures.levels[LOW]?.shed.timeout, 1, 'the refresh counts as of the least urgent level')
})

t.test('what waits as long as the limit of a bucket counts in it, and what waits longer than all limits in the last one', async t => {
  const backend = new Backend({ queueTimeout: 100_000 })
  const first = backend.enter('first')
  const second = backend.enter('second')
  backend.clock.advance(30_000)
  first.slot?.free()
  second.slot?.free()
  const running = backend.enter('running')
  backend.enter('next')
  backend.clock.advance(30_001)
  running.slot?.free()

  t.strictSame(backend.queue.figures().levels[NORMAL]?.waited.buckets.slice(-3), [[10_000, 2], [30_000, 3], [Infinity, 4]])
})

t.test('a queue has the name that it is given, else that of its settings', async t => {
  t.equal(new Queue(SETTINGS, new TestClock()).name, 'database')
  t.equal(new Queue(SETTINGS, new TestClock(), 'GET /').name, 'GET /')
  t.equal(new Queue({ ...SETTINGS, name: undefined }, new TestClock()).name, 'queue')
  t.strictSame(new Queue(SETTINGS, new TestClock()).levels, ['high', 'normal', 'low'])
})

/** When one of the lowest level begins, while a run takes 10 ms and another of the highest level comes each time. Undefined: not in a minute. */
function beginOfLow (aging: number): number | undefined {
  const backend = new Backend({ aging, queueTimeout: 100_000 })
  const waiting: TestWaiter[] = Array.from({ length: 20 }, (_, index) => backend.enter(`high ${index}`, HIGH))
  const low = backend.enter('low', LOW)
  waiting.push(low)
  for (let now = 10; now <= 60_000; now += 10) {
    backend.clock.advance(10)
    waiting.push(backend.enter('high', HIGH))
    waiting.splice(waiting.findIndex(({ slot }) => slot !== undefined), 1)[0]?.slot?.free()
    if (low.slot !== undefined) return now
  }
  return undefined
}

t.test('under a load of urgent ones the least urgent waits for its ageing and those before it, and without ageing for ever', async t => {
  const begin = beginOfLow(1000) as number
  t.ok(begin >= 2000, `${begin}`)
  t.ok(begin <= 2000 + 20 * 10 + 10, `${begin}`)
  t.equal(beginOfLow(Infinity), undefined)
})
