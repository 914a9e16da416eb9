/**
 * "A batch is one run for the queue and the breaker of its function, as urgent as the most urgent of its keys."
 */
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import coalesce, { circuitBreaker, runQueue } from '../../lib/index.js'
import type { BatchCall, BatchedOptions } from '../../types/index.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'

interface Run extends Gate, BatchCall {
  readonly keys: readonly string[]
}

type Options = Partial<BatchedOptions<[word: string, level?: string], string, string>>

/** A batched function of an app, of which the test ends the calls: each key gets itself in capitals. */
async function departure (t: Test, options: Options = {}) {
  const clock = new TestClock()
  const app = Fastify() as unknown as FastifyInstance
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { clock })
  const runs: Run[] = []
  const lookUp = app.coalesce.batched(async (keys: readonly string[], call) => {
    const run = { ...gate(), keys, ...call }
    runs.push(run)
    await run.promise
    return keys.map(word => word.startsWith('bad') ? new Error(word) : word.toUpperCase())
  }, { key: (word: string, _level?: string) => word, name: 'look up', ...options as object })
  return { app, clock, lookUp, runs, keys: () => runs.map(({ keys }) => keys.join()) }
}

async function outcomes (promises: ReadonlyArray<Promise<unknown>>): Promise<unknown[]> {
  return (await Promise.allSettled(promises)).map(each => {
    if (each.status === 'fulfilled') return each.value
    const { code, message } = each.reason as Error & { code?: string }
    return code ?? message
  })
}

t.test('a batch fills while it waits for its slot: the more there is to do, the larger batches are', async t => {
  const { keys, lookUp, runs } = await departure(t, { queue: { maxRuns: 1 }, maxBatchSize: 4 })
  const calls = [lookUp('a')]
  await until(() => runs.length === 1)
  for (const word of ['b', 'c', 'd', 'e', 'f']) {
    calls.push(lookUp(word))
    await turn()
  }
  t.strictSame(keys(), ['a'])
  runs[0]?.open()
  await until(() => runs.length === 2)
  t.strictSame(keys(), ['a', 'b,c,d,e'])
  calls.push(lookUp('g'))
  runs[1]?.open()
  await until(() => runs.length === 3)
  runs[2]?.open()

  t.strictSame(await outcomes(calls), ['A', 'B', 'C', 'D', 'E', 'F', 'G'])
  t.strictSame(keys(), ['a', 'b,c,d,e', 'f,g'])
})

t.test('urgent keys go first, also those that somebody urgent comes to wait for', async t => {
  const queue = runQueue({ maxRuns: 1, clock: new TestClock() })
  const { keys, lookUp, runs } = await departure(t, {
    queue, maxBatchSize: 2, priority: (_word, level) => level
  })
  const calls = [lookUp('a')]
  await until(() => runs.length === 1)
  for (const word of ['b', 'c', 'd', 'e']) calls.push(lookUp(word, 'low'))
  await until(() => queue.waiting === 2)
  calls.push(lookUp('f', 'high'), lookUp('e', 'high'))
  for (let index = 0; index < 4; index++) {
    await until(() => runs.length > index)
    runs[index]?.open()
  }

  t.strictSame(await outcomes(calls), ['A', 'B', 'C', 'D', 'E', 'F', 'E'])
  t.strictSame(keys(), ['a', 'f,e', 'b,c', 'd'])
  await until(() => queue.running === 0)
  t.equal(queue.waiting, 0)
})

t.test('the batches of one function and the runs of another are in one queue by their levels', async t => {
  const queue = runQueue({ maxRuns: 1, clock: new TestClock() })
  const { app, keys, lookUp, runs } = await departure(t, { queue, priority: (_word, level) => level })
  const opening = gate()
  const order: string[] = []
  const other = app.coalesce.deduplicate(async (name: string) => {
    order.push(name)
    if (name === 'first') await opening.promise
  }, { key: name => name, queue })
  const calls: Array<Promise<unknown>> = [other('first')]
  calls.push(lookUp('a', 'low'))
  await until(() => queue.waiting === 1)
  calls.push(other('second'), lookUp('b', 'high'))
  await turn()
  opening.open()
  await until(() => runs.length === 1)
  t.strictSame([keys(), order], [['b,a'], ['first']], 'one that is urgent takes the others along')
  runs[0]?.open()

  t.strictSame(await outcomes(calls), [undefined, 'A', undefined, 'B'])
  t.strictSame(order, ['first', 'second'])
})

t.test('who leaves a batch that waits is not looked up, and an empty one leaves the queue', async t => {
  const queue = runQueue({ maxRuns: 1, clock: new TestClock() })
  const { app, runs } = await departure(t)
  const seen: string[] = []
  const lookUp = app.coalesce.batched(async (keys: readonly string[]) => {
    seen.push(keys.join())
    return keys
  }, { key: (word: string, _signal: AbortSignal) => word, queue })
  const busy = gate()
  const other = app.coalesce.deduplicate(async () => { await busy.promise }, { key: () => 'k', queue })
  const held = other()
  const callers = Array.from({ length: 3 }, () => new AbortController())
  const calls = callers.map(async ({ signal }, index) => await lookUp(`w${index}`, signal))
  const ends = outcomes(calls)
  await until(() => queue.waiting === 1)
  callers[0]?.abort(new Error('left'))
  t.equal(queue.waiting, 1)
  callers[1]?.abort(new Error('left'))
  callers[2]?.abort(new Error('left'))
  t.equal(queue.waiting, 0)
  t.strictSame(await ends, ['left', 'left', 'left'])

  const stays = lookUp('stays', new AbortController().signal)
  const leaves = new AbortController()
  const left = outcomes([lookUp('leaves', leaves.signal)])
  await until(() => queue.waiting === 1)
  leaves.abort(new Error('left'))
  busy.open()
  t.strictSame([await stays, await left], ['stays', ['left']])
  await held
  t.strictSame(seen, ['stays'])
  await until(() => queue.running === 0)
  t.equal(runs.length, 0)
})

t.test('a batch that finds no slot is refused with all of its calls, or answered by their fallbacks', async t => {
  const told: unknown[] = []
  for (const fallback of [undefined, (...args: unknown[]) => {
    told.push(args)
    return 'fallen back'
  }]) {
    const { lookUp, runs } = await departure(t, { queue: { maxRuns: 1, maxQueued: 0 }, fallback: fallback as () => string })
    const first = lookUp('a')
    await until(() => runs.length === 1)
    const refused = await outcomes([lookUp('b'), lookUp('c', 'low'), lookUp('b')])
    t.strictSame(refused, Array(3).fill(fallback === undefined ? 'FST_COALESCE_QUEUE_FULL' : 'fallen back'))
    runs[0]?.open()
    t.equal(await first, 'A')
  }
  t.strictSame(told, [['queue-full', 'b'], ['queue-full', 'c', 'low']])
})

t.test('the breaker gets one result a batch: no failures of keys, but one if the call failed, or each of its keys', async t => {
  const breaker = circuitBreaker({ consecutive: 2, clock: new TestClock() })
  const { lookUp, runs } = await departure(t, { breaker })
  const batch = async (words: readonly string[], error?: Error): Promise<unknown[]> => {
    const calls = words.map(async word => await lookUp(word))
    const ends = outcomes(calls)
    const { length } = runs
    await until(() => runs.length > length)
    if (error === undefined) runs[length]?.open()
    else runs[length]?.fail(error)
    return await ends
  }

  t.strictSame(await batch(['bad a', 'bad b', 'c']), ['bad a', 'bad b', 'C'])
  t.strictSame(breaker.figures().runs, { good: 1, failed: 0, neutral: 0 })
  t.strictSame(await batch(['a', 'b', 'c'], new Error('down')), ['down', 'down', 'down'])
  t.strictSame(breaker.figures().runs, { good: 1, failed: 1, neutral: 0 })
  t.equal(breaker.state, 'closed')
  t.strictSame(await batch(['bad a', 'bad b']), ['bad a', 'bad b'])
  t.equal(breaker.state, 'open')
  t.strictSame(await outcomes([lookUp('a'), lookUp('b')]), ['FST_COALESCE_BREAKER_OPEN', 'FST_COALESCE_BREAKER_OPEN'])
  t.equal(runs.length, 3)
})

t.test('while it is half-open one batch tries it, with all of its keys', async t => {
  const time = new TestClock()
  const breaker = circuitBreaker({ consecutive: 1, openFor: 100, clock: time })
  const { keys, lookUp, runs } = await departure(t, { breaker })
  const failed = outcomes([lookUp('a')])
  await until(() => runs.length === 1)
  runs[0]?.fail(new Error('down'))
  t.strictSame(await failed, ['down'])
  time.advance(100)
  t.equal(breaker.state, 'half-open')

  const probes = outcomes(['a', 'b', 'c'].map(async word => await lookUp(word)))
  await until(() => runs.length === 2)
  t.strictSame(await outcomes([lookUp('d'), lookUp('e')]), ['FST_COALESCE_BREAKER_OPEN', 'FST_COALESCE_BREAKER_OPEN'])
  runs[1]?.open()
  t.strictSame(await probes, ['A', 'B', 'C'])
  t.equal(breaker.state, 'closed')
  t.strictSame(keys(), ['a', 'a,b,c'])
})

t.test('a call that nobody waits for tells the breaker nothing, and one that takes too long is a failure and gives its slot back', async t => {
  const time = new TestClock()
  const breaker = circuitBreaker({ clock: time })
  const queue = runQueue({ maxRuns: 1, clock: time })
  const { clock, lookUp, runs } = await departure(t, { breaker, queue, flightTimeout: 100 })
  const slow = outcomes([lookUp('a'), lookUp('b')])
  await until(() => runs.length === 1)
  clock.advance(100)
  t.match(runs[0]?.signal, { aborted: true, reason: { code: 'FST_COALESCE_FLIGHT_TIMEOUT' } })
  clock.advance(1)
  await until(() => queue.running === 0)
  t.strictSame(breaker.figures().runs, { good: 0, failed: 1, neutral: 0 })
  runs[0]?.open()
  t.strictSame(await slow, ['A', 'B'])
  t.strictSame(breaker.figures().runs, { good: 0, failed: 1, neutral: 0 })

  const { app, runs: none } = await departure(t)
  const gone = new AbortController()
  const hanging = app.coalesce.batched(async (_keys: readonly string[], { signal }) => await new Promise<string[]>((_resolve, reject) => {
    signal.addEventListener('abort', () => { reject(new Error('aborted')) })
  }), { key: (word: string, _signal: AbortSignal) => word, breaker, queue })
  const left = outcomes([hanging('a', gone.signal), hanging('b', gone.signal)])
  await until(() => queue.running === 1)
  await turn()
  gone.abort(new Error('gone'))
  t.strictSame(await left, ['gone', 'gone'])
  await until(() => queue.running === 0)
  t.strictSame(breaker.figures().runs, { good: 0, failed: 1, neutral: 1 })
  t.equal(none.length, 0)
})

t.test('the breaker\'s by is asked for the arguments of a call, and by group each has a breaker of its own', async t => {
  const by = (_word: string, shard?: string): string => String(shard)
  const { app, runs } = await departure(t)
  const lookUp = app.coalesce.batched(async (words: readonly string[], { group }) => {
    if (group === 'down') throw new Error('down')
    return words
  }, { key: (word: string, _shard: string) => word, group: (_word, shard) => shard, breaker: { consecutive: 1, by } })

  t.strictSame(await outcomes([lookUp('a', 'down'), lookUp('b', 'down'), lookUp('a', 'up')]), ['down', 'down', 'a'])
  t.strictSame(await outcomes([lookUp('a', 'down'), lookUp('a', 'up')]), ['FST_COALESCE_BREAKER_OPEN', 'a'])
  t.equal(runs.length, 0)
})

t.test('one that is promoted after a failure is in the next batch', async t => {
  const { keys, lookUp, runs } = await departure(t, { queue: { maxRuns: 1 }, onError: 'promote' })
  const calls = outcomes([lookUp('a'), lookUp('a'), lookUp('b'), lookUp('b')])
  await until(() => runs.length === 1)
  runs[0]?.fail(new Error('down'))
  await until(() => runs.length === 2)
  runs[1]?.open()

  t.strictSame(await calls, ['down', 'A', 'down', 'B'])
  t.strictSame(keys(), ['a,b', 'a,b'])
})

t.test('refreshes are batches of the least urgent, and go along with others', async t => {
  const queue = runQueue({ maxRuns: 1, clock: new TestClock() })
  const { app, clock, keys, lookUp, runs } = await departure(t, { queue, ttl: 1000, staleWhileRevalidate: 10_000 })
  const first = outcomes([lookUp('a'), lookUp('b')])
  await until(() => runs.length === 1)
  runs[0]?.open()
  await first
  clock.advance(2000)
  const busy = gate()
  const held = app.coalesce.deduplicate(async () => { await busy.promise }, { key: () => 'k', queue })()
  t.strictSame(await outcomes([lookUp('a'), lookUp('b')]), ['A', 'B'])
  await until(() => queue.waiting === 1)
  const fresh = lookUp('c')
  busy.open()
  await until(() => runs.length === 2)
  runs[1]?.open()

  t.equal(await fresh, 'C')
  t.strictSame(keys(), ['a,b', 'c,a,b'])
  await held
  await until(() => queue.running === 0)
})
