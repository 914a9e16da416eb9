/**
 * "Calls for different keys that run at the same time are one call of a batched function."
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import coalesce, { batched } from '../../lib/index.js'
import type { BatchCall, BatchedOptions, CoalesceOptions } from '../../types/index.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'
import { lines } from '../fixtures/lines.js'

interface Run extends Gate<readonly unknown[] | Map<string, unknown>>, BatchCall {
  readonly keys: readonly string[]
}

/** A function that the test answers, call by call. */
function held () {
  const runs: Run[] = []
  const fn = async (keys: readonly string[], call: BatchCall) => {
    const run = { ...gate<readonly unknown[] | Map<string, unknown>>(), keys, signal: call.signal, group: call.group }
    runs.push(run)
    return await run.promise
  }
  return { fn, runs }
}

const byWord = { key: (word: string, _options?: unknown) => word }

/** Answers each key with itself in capitals. */
const shout = async (words: readonly string[]): Promise<string[]> => words.map(word => word.toUpperCase())

/** What became of each promise, in order: its value, or its error's code or message. */
async function outcomes (promises: ReadonlyArray<Promise<unknown>>): Promise<unknown[]> {
  return (await Promise.allSettled(promises)).map(each => {
    if (each.status === 'fulfilled') return each.value
    const { code, message } = each.reason as Error & { code?: string }
    return code ?? message
  })
}

/** An app with the plugin and a clock that the test turns. */
async function departure (t: Test, options: CoalesceOptions = {}, logger?: ReturnType<typeof lines>['logger']) {
  const clock = new TestClock()
  const app = Fastify(logger === undefined ? {} : { logger }) as unknown as FastifyInstance
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { metrics: true, clock, ...options })
  return { app, clock }
}

t.test('3,000 calls for 1,000 keys in one turn are 10 calls with 100 keys each', async t => {
  const sizes: number[] = []
  const { app } = await departure(t)
  const lookUp = app.coalesce.batched(async (words: readonly string[]) => {
    sizes.push(new Set(words).size)
    return words.map(word => `found ${word}`)
  }, { key: (word: string) => word, name: 'look up' })

  const found = await Promise.all(Array.from({ length: 3000 }, async (_, index) => await lookUp(`w${index % 1000}`)))

  t.strictSame(sizes, Array.from({ length: 10 }, () => 100))
  t.strictSame(found, Array.from({ length: 3000 }, (_, index) => `found w${index % 1000}`))
  t.match(app.coalesce.stats(), { totalRequests: 3000, actualExecutions: 1000, routes: [{ method: 'FUNCTION', route: 'look up' }] })
})

t.test('requests from another process for 200 words are a handful of calls', async t => {
  const { app } = await departure(t)
  const sizes: number[] = []
  const lookUp = app.coalesce.batched(async (words: readonly string[]) => {
    sizes.push(words.length)
    return await shout(words)
  }, { key: (word: string) => word })
  app.get('/word/:word', { config: { coalesce: true } }, async request => await lookUp((request.params as { word: string }).word))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const asked = join(t.testdir(), 'asked')

  const clients = promisify(execFile)(process.execPath, [
    fileURLToPath(new URL('../fixtures/words.js', import.meta.url)),
    JSON.stringify({ port: (app.server.address() as AddressInfo).port, count: 200, asked })
  ])
  const connections = promisify(app.server.getConnections.bind(app.server))
  while (await connections() < 200) await turn()
  clients.child.stdin?.write('go')
  // The server is busy with something else until all have asked, as it often is where so many do.
  await turn()
  while (!existsSync(asked)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
  const { stdout } = await clients

  t.strictSame(JSON.parse(stdout), Array.from({ length: 200 }, (_, index) => `W${index}`))
  t.equal(sizes.reduce((sum, size) => sum + size, 0), 200)
  t.ok(sizes.length <= 20, `${sizes.length} calls`)
})

t.test('identical calls are one key, and so is a call for a key that is in the air', async t => {
  const { fn, runs } = held()
  const lookUp = batched(fn, byWord)
  const calls = ['a', 'b', 'a'].map(async word => await lookUp(word))
  await turn()
  calls.push(lookUp('b'), lookUp('c'))
  await turn()
  t.strictSame(runs.map(({ keys }) => keys), [['a', 'b'], ['c']])
  runs[0]?.open([1, 2])
  runs[1]?.open([3])

  t.strictSame(await outcomes(calls), [1, 2, 1, 2, 3])
})

t.test('tenants never share a batch, nor a result', async t => {
  const seen: string[] = []
  const lookUp = batched(async (words: readonly string[], { group }) => {
    seen.push(`${String(group)}: ${words.join()}`)
    return words.map(word => `${String(group)}'s ${word}`)
  }, { key: (word: string, _tenant: string | number) => word, group: (_word, tenant) => tenant, ttl: '1m' })

  const calls = [lookUp('a', 'x'), lookUp('a', 'y'), lookUp('b', 'x'), lookUp('a', 1), lookUp('a', '1'), lookUp('a', 'x')]
  t.strictSame(await outcomes(calls), ["x's a", "y's a", "x's b", "1's a", "1's a", "x's a"])
  t.strictSame(seen, ['x: a,b', 'y: a', '1: a', '1: a'])

  lookUp.invalidate('a', 'x')
  t.strictSame(await outcomes([lookUp('a', 'x'), lookUp('a', 'y')]), ["x's a", "y's a"])
  t.strictSame(seen.slice(4), ['x: a'], 'what is purged is that of one group')
})

t.test('no two pairs of a group and a key are one', async t => {
  const values = ['1', 1, 1n, '1 "1"', '"1"', '1"', ' ', '1 1', true, 'true', -0, 0]
  const seen: Array<readonly unknown[]> = []
  const pairs = values.flatMap(group => values.map(key => [group, key] as const))
  const look = batched(async (keys: ReadonlyArray<typeof values[number]>, { group }) => {
    seen.push(...keys.map(key => [group, key] as const))
    return keys.map(key => [group, key] as const)
  }, { key: (_group: typeof values[number], key: typeof values[number]) => key, group: group => group })

  const found = await Promise.all(pairs.map(async ([group, key]) => await look(group, key)))

  t.equal(seen.length, pairs.length)
  t.ok(found.every(([group, key], index) => Object.is(group, pairs[index]?.[0]) && Object.is(key, pairs[index]?.[1])))
})

t.test('a call without a key or a group is in a batch of its own', async t => {
  const { app } = await departure(t)
  for (const [key, group] of [[null, 'g'], ['', 'g'], [{}, 'g'], [NaN, 'g'], ['k', undefined], ['k', ''], ['k', {}], ['k', NaN]] as const) {
    const seen: unknown[] = []
    const lookUp = app.coalesce.batched(async (keys: readonly string[], call) => {
      seen.push(keys, call.group)
      return [seen.length]
    }, { key: () => key as string, group: () => group as string })

    t.strictSame(await Promise.all([lookUp(), lookUp()]), [2, 4])
    t.strictSame(seen, [[key], group, [key], group])
  }
})

t.test('a call whose key or group throws is rejected with that', async t => {
  const { fn, runs } = held()
  const thrower = (): string => { throw new Error('no such thing') }
  for (const options of [{ key: thrower }, { key: () => 'k', group: thrower }]) {
    const lookUp = batched(fn, options)
    t.strictSame(await outcomes([lookUp()]), ['no such thing'])
    t.throws(() => { lookUp.invalidate() }, { message: 'no such thing' })
  }
  t.equal(runs.length, 0)
})

t.test('a key can be an array, and a Map has it as it was given', async t => {
  const lookUp = batched(async (pairs: ReadonlyArray<readonly [string, number]>) =>
    new Map(pairs.map(pair => [pair, `${pair[0]} ${pair[1]}`])), { key: (word: string, sense: number) => [word, sense] as const })

  t.strictSame(await outcomes([lookUp('a', 1), lookUp('a', 2), lookUp('a', 1)]), ['a 1', 'a 2', 'a 1'])
})

t.test('one bad key rejects its own callers only', async t => {
  const lookUp = batched(async (words: readonly string[]) => words.map(word => word === 'bad' ? new Error('a bad word') : word.length),
    { key: (word: string) => word })

  t.strictSame(await outcomes(['good', 'bad', 'bad', 'fine'].map(lookUp)), [4, 'a bad word', 'a bad word', 4])
})

t.test('an array that is one result short gives nobody another one\'s', async t => {
  const lookUp = batched(async (words: readonly string[]) => words.filter(word => word !== 'none'), { key: (word: string) => word, name: 'look up' })

  t.strictSame(await outcomes(['one', 'none', 'two'].map(lookUp)), Array(3).fill('FST_COALESCE_BATCH_RESULT'))
  await t.rejects(lookUp('none'), {
    statusCode: 500, message: 'look up must answer one result a key, and answered 0 for 1 keys; give undefined, an Error or null for what there is none of, or answer a Map'
  })
})

t.test('keys that are sorted in place give nobody another one\'s result', async t => {
  const lookUp = batched(async (words: readonly string[]) => (words as string[]).sort().map(word => word.toUpperCase()), { key: (word: string) => word })

  t.match(await outcomes(['b', 'a'].map(lookUp)), [/read only/, /read only/])
})

t.test('a Map gives those that it does not have undefined', async t => {
  const lookUp = batched(async (words: readonly string[]) => new Map(words.filter(word => word !== 'none').map(word => [word, word.length])),
    { key: (word: string) => word })

  t.strictSame(await outcomes(['one', 'none', 'three'].map(lookUp)), [3, undefined, 5])
})

t.test('a call that fails fails for all of its keys', async t => {
  const lookUp = batched(async (): Promise<string[]> => { throw new Error('down') }, { key: (word: string) => word })

  t.strictSame(await outcomes(['a', 'b', 'b'].map(lookUp)), ['down', 'down', 'down'])
})

t.test('who leaves takes nothing from the others, and its signal aborts when all have left', async t => {
  const { fn, runs } = held()
  const lookUp = batched(fn, byWord)
  const callers = Array.from({ length: 3 }, () => new AbortController())
  const calls = callers.map(async ({ signal }, index) => await lookUp(index === 2 ? 'b' : 'a', { signal }))
  calls.forEach(call => { call.catch(() => {}) })
  await turn()
  callers[0]?.abort(new Error('one leaves'))
  callers[2]?.abort(new Error('one leaves'))
  t.strictSame(runs.map(({ signal }) => signal.aborted), [false])
  runs[0]?.open([1, 2])
  t.strictSame(await outcomes(calls), ['one leaves', 1, 'one leaves'])

  const more = Array.from({ length: 2 }, () => new AbortController())
  const gone = more.map(async ({ signal }, index) => await lookUp(`c${index}`, { signal }))
  gone.forEach(call => { call.catch(() => {}) })
  await turn()
  more[0]?.abort()
  t.notOk(runs[1]?.signal.aborted)
  more[1]?.abort()
  t.ok(runs[1]?.signal.aborted)
  t.match(runs[1]?.signal.reason, { code: 'FST_COALESCE_NOBODY_WAITS' })
  runs[1]?.fail(new Error('aborted'))
  await outcomes(gone)
})

t.test('whose signal has aborted before is in no batch', async t => {
  const { fn, runs } = held()
  const lookUp = batched(fn, byWord)
  t.strictSame(await outcomes([lookUp('a', { signal: AbortSignal.abort(new Error('gone')) })]), ['gone'])
  const controller = new AbortController()
  const left = lookUp('a', { signal: controller.signal })
  controller.abort(new Error('gone'))
  t.strictSame(await outcomes([left]), ['gone'])
  await turn()
  await turn()

  t.equal(runs.length, 0)
})

t.test('a batch is of no caller: it has the asynchronous context of none, and each caller has its own afterwards', async t => {
  const tenant = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const lookUp = batched(async (words: readonly string[]) => {
    seen.push(tenant.getStore())
    await turn()
    seen.push(tenant.getStore())
    return words
  }, { key: (word: string) => word })

  const after = await Promise.all(['x', 'y'].map(async name => await tenant.run(name, async () => {
    await lookUp(name)
    return tenant.getStore()
  })))

  t.strictSame(seen, [undefined, undefined])
  t.strictSame(after, ['x', 'y'])
})

t.test('a batch holds up to maxBatchSize keys, and waits for a window', async t => {
  const { app, clock } = await departure(t)
  const { fn, runs } = held()
  const lookUp = app.coalesce.batched(fn, { ...byWord, maxBatchSize: 2, window: '10ms' })
  const calls = ['a', 'b', 'c'].map(async word => await lookUp(word))
  await turn()
  t.strictSame(runs.map(({ keys }) => keys.join()), ['a,b'])
  clock.advance(10)
  await turn()
  t.strictSame(runs.map(({ keys }) => keys.join()), ['a,b', 'c'])
  for (const run of runs) run.open(run.keys)
  t.strictSame(await outcomes(calls), ['a', 'b', 'c'])
})

t.test('what is cached is in no batch; what is stale is brought up to date in one', async t => {
  const { app, clock } = await departure(t)
  const batches: string[] = []
  const told: unknown[] = []
  const lookUp = app.coalesce.batched(async (words: readonly string[]) => {
    batches.push(words.join())
    return words.map(word => `${word} ${batches.length}`)
  }, {
    key: (word: string, _page: number) => word,
    ttl (result, word, page) {
      told.push([result, word, page])
      return 1000
    },
    tags: (_result, word, page) => [`${word}:${page}`],
    staleWhileRevalidate: 1000
  })
  const ask = async (...words: string[]): Promise<unknown[]> => await outcomes(words.map(async (word, page) => await lookUp(word, page)))

  t.strictSame(await ask('a', 'b'), ['a 1', 'b 1'])
  t.strictSame(told, [['a 1', 'a', 0], ['b 1', 'b', 1]])
  t.strictSame(await ask('a', 'b', 'c'), ['a 1', 'b 1', 'c 2'])
  t.strictSame(batches, ['a,b', 'c'])
  clock.advance(1500)
  t.strictSame(await ask('a', 'b'), ['a 1', 'b 1'])
  await until(() => batches.length === 3)
  t.strictSame(batches, ['a,b', 'c', 'a,b'])
  await turn()
  t.strictSame(await ask('a', 'b'), ['a 3', 'b 3'])

  app.coalesce.invalidate({ tags: ['b:1'] })
  lookUp.invalidate('c', 5)
  t.strictSame(await ask('a', 'b', 'c'), ['a 3', 'b 4', 'c 4'])
})

t.test('a failure of one key is followed by its stale result', async t => {
  const { app, clock } = await departure(t)
  let isDown = false
  const lookUp = app.coalesce.batched(async (words: readonly string[]) => words.map(word => isDown ? new Error('down') : word),
    { key: (word: string) => word, ttl: 100, staleIfError: 1000 })
  await lookUp('a')
  clock.advance(200)
  isDown = true

  t.strictSame(await outcomes([lookUp('a'), lookUp('b')]), ['a', 'down'])
})

t.test('a key whose call takes too long is asked for again, by one that waits', async t => {
  const { app, clock } = await departure(t)
  const { fn, runs } = held()
  const lookUp = app.coalesce.batched(fn, { ...byWord, flightTimeout: 100 })
  const calls = [lookUp('a'), lookUp('a'), lookUp('b')]
  await until(() => runs.length === 1)
  clock.advance(100)
  await until(() => runs.length === 2)
  t.strictSame(runs.map(({ keys }) => keys.join()), ['a,b', 'a'])
  t.match(runs[0]?.signal, { aborted: true, reason: { code: 'FST_COALESCE_FLIGHT_TIMEOUT' } })
  runs[1]?.open(['in time'])
  t.equal(await calls[1], 'in time')
  runs[0]?.fail(new Error('aborted'))
  t.strictSame(await outcomes(calls), ['aborted', 'in time', 'aborted'])
})

t.test('a wrong option throws with its name', async t => {
  const verdict = (options: unknown): string => {
    try {
      batched(shout, options as BatchedOptions<[string], string, string, string>)
      return 'fine'
    } catch (error) {
      return (error as Error).message
    }
  }
  const key = (word: string): string => word

  t.equal(verdict({ key }), 'fine')
  t.equal(verdict({ key, maxBatchSize: 1, window: 'turn', group: () => 'g' }), 'fine')
  t.equal(verdict({ key, maxBatchSize: 10_000, window: '5ms' }), 'fine')
  t.equal(verdict(undefined), 'batched options must be an object, got undefined')
  t.equal(verdict({}), 'batched options.key must be a function, got undefined')
  t.equal(verdict({ key, maxBatchSize: 0 }), 'batched options.maxBatchSize must be a whole number from 1 to 10000, got 0')
  t.equal(verdict({ key, maxBatchSize: 10_001 }), 'batched options.maxBatchSize must be a whole number from 1 to 10000, got 10001')
  t.equal(verdict({ key, group: 'tenant' }), 'batched options.group must be a function, got "tenant"')
  t.equal(verdict({ key, window: 'tick' }),
    "batched options.window must be a duration from 1 ms to 2147483647 ms: milliseconds, or a string like '30s'; or 'turn', got \"tick\"")
  t.equal(verdict({ key, maxBatchsize: 5 }), 'batched options.maxBatchsize is unknown; did you mean maxBatchSize?')
  t.equal(verdict({ key, TTL: 5 }), 'batched options.TTL is unknown; did you mean ttl?')
  t.match(verdict({ key, staleIfError: 5 }), /^batched options\.staleIfError must be given with ttl/)
  t.throws(() => { batched('shout' as never, { key }) }, new TypeError('batched wants a function'))
})

t.test('functions without names are counted as anonymous, and a missing key is warned of', async t => {
  const log = lines()
  const { app } = await departure(t, {}, log.logger)
  const lookUp = app.coalesce.batched(async (keys: readonly string[]) => keys, { key: (word: string) => word })
  await outcomes([lookUp({} as string), lookUp([{}] as never)])

  t.match(app.coalesce.stats().routes, [{ route: 'anonymous' }])
  t.match(log.event('no-key'), [{ coalesce: { route: 'anonymous', got: 'an object' } }])
})

t.test('a function of an app and a request: the request is no part of what its batch is given', async t => {
  const { app } = await departure(t)
  const lookUp = app.coalesce.batched(shout, { key: (word: string, _request: FastifyRequest) => word })
  app.get('/:word', async request => await lookUp((request.params as { word: string }).word, request))

  t.equal((await app.inject('/luck')).body, 'LUCK')
})
