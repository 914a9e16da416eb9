import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import coalesce, { abstractCacheStore, deduplicate, deduplicated, memoryStore } from '../../lib/index.js'
import { sizeOf } from '../../lib/engine/cache/size.js'
import type { CoalesceOptions, Coordinator, DeduplicateOptions } from '../../types/index.js'
import { gate, TestClock, timersGone } from '../fixtures/gate.js'
import { lines } from '../fixtures/lines.js'
import { metric } from '../fixtures/server.js'
import { chaos } from '../stores/chaos.js'

interface Result { readonly word: string, readonly run: number }
type Options = Omit<DeduplicateOptions<[word: string], Result>, 'key'>

interface Desk {
  readonly app: FastifyInstance
  readonly clock: TestClock
  readonly lookUp: ((word: string) => Promise<Result>) & { invalidate: (word: string) => void }
  /** How often the function ran. */
  runs (): number
  /** What each run does from now on. */
  does (run: (word: string) => Promise<unknown>): void
}

/** An app with a function that keeps its results. */
async function desk (t: Test, options: Options, registration: CoalesceOptions = {}, logger?: ReturnType<typeof lines>['logger']): Promise<Desk> {
  const clock = new TestClock()
  const app = Fastify(logger === undefined ? {} : { logger }) as unknown as FastifyInstance
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { metrics: true, clock, ...registration })
  let runs = 0
  let before: (word: string) => Promise<unknown> = async () => {}
  const lookUp = app.coalesce.deduplicate(async (word: string): Promise<Result> => {
    const run = ++runs
    await before(word)
    return { word, run }
  }, { key: word => word, name: 'lookUp', ...options })
  return { app, clock, lookUp, runs: () => runs, does (run) { before = run } }
}

const down = async (): Promise<never> => { throw new Error('down') }

t.test('the seed\'s cached_api_call_with_dedup: concurrent calls share one call of the API, later ones its result', async t => {
  const clock = new TestClock()
  const app: FastifyInstance = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { clock })
  const answer = gate()
  let apiCalls = 0
  const expensiveApiCall = async (word: string, language: string): Promise<object> => {
    apiCalls++
    await answer.promise
    return { word, language }
  }
  const lookupWordCached = app.coalesce.deduplicate(async (word: string, language = 'en') => await expensiveApiCall(word, language), {
    ttl: '1h', key: (word, language = 'en') => ['lookup', word, language], waitTimeout: '30s', name: 'lookup_word_cached'
  })

  const concurrent = Array.from({ length: 100 }, async () => await lookupWordCached('serendipity'))
  answer.open()
  const [first, ...others] = await Promise.all(concurrent)
  clock.advance(59 * 60_000)
  const later = await lookupWordCached('serendipity')
  t.equal(apiCalls, 1)
  t.strictSame(first, { word: 'serendipity', language: 'en' })
  t.ok([...others, later].every(each => each === first))

  await lookupWordCached('serendipity', 'de')
  t.equal(apiCalls, 2, 'the language is part of the key')
  clock.advance(60_000)
  await lookupWordCached('serendipity')
  t.equal(apiCalls, 3, 'an hour is over')
  t.match(app.coalesce.stats(), { totalRequests: 103, deduplicatedRequests: 99, cacheHits: 1, actualExecutions: 3 })
})

t.test('the result is kept before its first caller is told', async t => {
  const store = memoryStore()
  const it = await desk(t, { ttl: '60s', store })
  const opened = gate()
  it.does(async () => { await opened.promise })
  const seen = it.lookUp('a').then(async () => await it.lookUp('a'))
  opened.open()
  t.equal((await seen).run, 1)
  t.equal(it.runs(), 1)
})

t.test('a ttl that is a function decides for each result, and one that fails keeps nothing', async t => {
  const log = lines('warn')
  const answers: Record<string, unknown> = { a: '10s', b: 5_000, c: 0, d: null, e: undefined, f: 'soon', g: -1 }
  const asked: unknown[] = []
  const ttl = (result: Result, ...args: [string]): string => {
    asked.push([result.word, ...args])
    if (result.word === 'h') throw new Error('which?')
    return answers[result.word] as string
  }
  const it = await desk(t, { ttl }, {}, log.logger)
  const kept: string[] = []
  for (const word of 'abcdefgh') {
    const { run } = await it.lookUp(word)
    if ((await it.lookUp(word)).run === run) kept.push(word)
  }
  t.strictSame(kept, ['a', 'b'])
  t.strictSame(asked[0], ['a', 'a'])
  t.equal(log.event('not-kept').length, 2 * 3)
  it.clock.advance(5_000)
  t.equal((await it.lookUp('a')).run, 1)
  t.not((await it.lookUp('b')).run, 2)
})

t.test('a result that is not kept ends what it was to replace, and leaves alone what is not its own to replace', async t => {
  let run = 0
  const it = await desk(t, { ttl: () => run++ === 0 ? '10s' : undefined, staleIfError: '60s' })
  await it.lookUp('a')
  it.clock.advance(11_000)
  t.equal((await it.lookUp('a')).run, 2)
  it.does(down)
  await t.rejects(it.lookUp('a'), { message: 'down' }, 'what was kept before stands in for nothing any more')
})

t.test('a refresh runs in nobody\'s context', async t => {
  const it = await desk(t, { ttl: '10s', staleWhileRevalidate: '10s' })
  const context = new AsyncLocalStorage<string>()
  await it.lookUp('a')
  it.clock.advance(15_000)
  let seen: unknown = 'not run'
  it.does(async () => { seen = context.getStore() })

  const stale = await context.run('caller', async () => await it.lookUp('a'))
  t.equal(stale.run, 1)
  t.equal(it.runs(), 2)
  t.equal(seen, undefined)
  await timersGone(it.clock)
})

t.test('a refresh has a signal that no caller aborts', async t => {
  const clock = new TestClock()
  const app: FastifyInstance = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { clock })
  const signals: AbortSignal[] = []
  const opened = gate()
  const lookUp = app.coalesce.deduplicate(async (_word: string, { signal }: { signal: AbortSignal }) => {
    signals.push(signal)
    if (signals.length > 1) await opened.promise
    return signals.length
  }, { key: word => word, ttl: '1s', staleWhileRevalidate: '1m', flightTimeout: '5s' })
  const caller = new AbortController()
  await lookUp('a', caller)
  clock.advance(2_000)
  t.equal(await lookUp('a', caller), 1)
  caller.abort()
  t.equal(signals[1]?.aborted, false)
  t.not(signals[1], caller.signal)
  clock.advance(5_000)
  t.equal(signals[1]?.reason.code, 'FST_COALESCE_FLIGHT_TIMEOUT')
  opened.open()
  await turn()
  clock.advance(0)
  t.equal(await lookUp('a', new AbortController()), 1, 'what came too late is not kept')
})

t.test('no refresh starts once the app is closed', async t => {
  const it = await desk(t, { ttl: '1s', staleWhileRevalidate: '1h' })
  await it.lookUp('a')
  it.clock.advance(2_000)
  await it.app.close()
  t.equal((await it.lookUp('a')).run, 1)
  t.equal(it.runs(), 1)
})

t.test('clone gives each hit an object of its own, and what is kept is nobody\'s', async t => {
  const it = await desk(t, { ttl: '60s', clone: structuredClone<Result> })
  const results = [await it.lookUp('a'), await it.lookUp('a'), await it.lookUp('a')]
  t.equal(new Set(results).size, 3)
  for (const result of results) Object.assign(result, { run: 'spoiled' })
  t.equal((await it.lookUp('a')).run, 1)
})

t.test('a clone that throws makes a result unkept, or its own caller\'s call fail', async t => {
  let clones = 0
  const clone = (result: Result): Result => {
    if (++clones !== 2) throw new Error('cannot clone')
    return { ...result }
  }
  const it = await desk(t, { ttl: '60s', clone })
  t.equal((await it.lookUp('a')).run, 1)
  t.equal((await it.lookUp('a')).run, 2, 'was not kept')
  await t.rejects(it.lookUp('a'), { message: 'cannot clone' })
})

t.test('a clone that answers with a promise gives nobody one, and its failure ends no process', async t => {
  const log = lines('warn')
  const clone = async (): Promise<Result> => { throw new Error('cannot clone') }
  const it = await desk(t, { ttl: '60s', clone: clone as unknown as (result: Result) => Result }, {}, log.logger)
  const [first, second] = await Promise.allSettled([it.lookUp('a'), it.lookUp('a')])
  t.match(first, { value: { run: 1 } })
  t.match(second, { reason: { message: 'the answer of deduplicate options.clone must be a copy, and no promise of one, got {}' } })
  t.equal((await it.lookUp('a')).run, 2, 'was not kept')
  t.equal(log.event('not-kept').length, 2)
})

t.test('invalidate of a method purges one key of whatever object, or of one', async t => {
  let runs = 0
  let opened = gate()
  opened.open()
  class Dictionary {
    @deduplicated({ key: (word: string) => word, ttl: '60s' })
    async lookUp (_word: string): Promise<number> {
      const run = ++runs
      await opened.promise
      return run
    }
  }
  type Method = Dictionary['lookUp'] & { readonly invalidate: (word: string) => void }
  const { lookUp } = Dictionary.prototype as { readonly lookUp: Method }
  const [duden, oxford] = [new Dictionary(), new Dictionary()]
  const all = async (word = 'a'): Promise<number[]> => await Promise.all([duden.lookUp(word), oxford.lookUp(word), lookUp(word), lookUp.call('self' as never, word)])
  t.strictSame(await all(), [1, 2, 3, 4])
  t.strictSame(await all('b'), [5, 6, 7, 8])
  t.strictSame(await all(), [1, 2, 3, 4]);
  (duden.lookUp as Method).invalidate('a')
  t.strictSame(await all(), [9, 10, 11, 12])
  t.strictSame(await all('b'), [5, 6, 7, 8], 'other keys are kept')
  lookUp.invalidate.call(duden, 'a')
  t.strictSame(await all(), [13, 10, 11, 12])
  lookUp.invalidate.call('self', 'a')
  t.strictSame(await all(), [13, 10, 11, 14])
  const { invalidate } = lookUp
  invalidate('a')
  t.strictSame(await all(), [15, 16, 17, 18], 'called on nothing')
  lookUp.invalidate.call({}, 'a')
  t.strictSame(await all(), [19, 20, 21, 22], 'called on what no call was made on')
  lookUp.invalidate.call(Symbol('none'), 'a')
  t.strictSame(await all(), [23, 24, 25, 26], 'called on what cannot be told from others')

  opened = gate()
  const before = all('c')
  lookUp.invalidate('c')
  const after = all('c')
  opened.open()
  t.strictSame(await before, [27, 28, 29, 30])
  t.strictSame(await after, [31, 32, 33, 34], 'what is in the air is not joined')
  t.strictSame(await all('c'), [31, 32, 33, 34], 'nor kept')
})

t.test('invalidate for arguments without a key does nothing, and with a key function that throws says so', async t => {
  const it = await desk(t, { ttl: '60s' })
  it.lookUp.invalidate('')
  const broken = deduplicate(async () => 1, { ttl: '60s', key () { throw new Error('which?') } })
  t.throws(() => { broken.invalidate() }, { message: 'which?' })
  let runs = 0
  const plain = deduplicate(async () => ++runs, { key: () => 'k' })
  const first = plain()
  plain.invalidate()
  t.strictSame(await Promise.all([first, plain()]), [1, 2], 'without ttl it fences what is in the air')
})

t.test('the registration purges by tags, of functions with a store of their own as well, softly or not', async t => {
  for (const own of [{}, { store: memoryStore() }]) {
    const it = await desk(t, { ttl: '60s', staleWhileRevalidate: '60s', tags: (result, word) => ['all', `word:${word}:${result.word}`], ...own })
    await it.lookUp('a')
    await it.lookUp('b')
    it.app.coalesce.invalidate({ tags: ['word:a:a'] })
    t.equal((await it.lookUp('a')).run, 3)
    t.equal((await it.lookUp('b')).run, 2)
    it.app.coalesce.invalidate({ tags: ['all'], soft: true })
    t.equal((await it.lookUp('b')).run, 2, 'stale, and refreshed')
    await timersGone(it.clock)
    t.equal((await it.lookUp('b')).run, 4)

    const opened = gate()
    it.does(async () => { await opened.promise })
    const before = it.lookUp('c')
    it.app.coalesce.invalidate({ tags: ['all'] })
    const after = it.lookUp('c')
    opened.open()
    t.strictSame([(await before).run, (await after).run], [5, 6])
    t.equal((await it.lookUp('c')).run, 6)
  }
})

t.test('results with tags that are none, or too many, are not kept', async t => {
  const it = await desk(t, { ttl: '60s', tags: (_result, word) => word === 'a' ? [''] : Array.from({ length: 257 }, (_, index) => `t${index}`) })
  for (const word of ['a', 'b']) {
    await it.lookUp(word)
    await it.lookUp(word)
  }
  t.equal(it.runs(), 4)
})

t.test('functions do not get each other\'s results, nor calls on different objects', async t => {
  const one = deduplicate(async (word: string) => `one ${word}`, { ttl: '60s', key: word => word })
  const two = deduplicate(async (word: string) => `two ${word}`, { ttl: '60s', key: word => word })
  t.strictSame([await one('a'), await two('a'), await one('a')], ['one a', 'two a', 'one a'])

  const store = memoryStore()
  class Dictionary {
    runs = 0
    readonly language: string
    constructor (language: string) { this.language = language }
    @deduplicated({ ttl: '60s', store, name: 'Dictionary.find', key: (word: string) => word })
    async find (word: string): Promise<string> {
      this.runs++
      return `${word} ${this.language}`
    }
  }
  const [english, german] = [new Dictionary('en'), new Dictionary('de')]
  for (let time = 0; time < 2; time++) t.strictSame([await english.find('a'), await german.find('a')], ['a en', 'a de'])
  t.strictSame([english.runs, german.runs, store.size.entries], [1, 1, 2])
})

t.test('a store that was given needs a name, one for each function', async t => {
  const wrong = { code: 'FST_COALESCE_INVALID_OPTION', message: /^deduplicate options\.name must be / }
  const fn = async (): Promise<number> => 1
  const options = { key: () => 'k', ttl: '60s' } as const
  t.throws(() => deduplicate(fn, { ...options, store: memoryStore() }), wrong)
  t.throws(() => deduplicated({ ...options, store: memoryStore() })(fn, { name: 'm' } as ClassMethodDecoratorContext<unknown>), wrong)
  const it = await desk(t, { ttl: '60s' }, { store: memoryStore() })
  t.throws(() => it.app.coalesce.deduplicate(fn, options), wrong)
  t.throws(() => it.app.coalesce.deduplicate(fn, { ...options, name: 'lookUp' }), wrong)
  t.doesNotThrow(() => it.app.coalesce.deduplicate(fn, { key: () => 'k' }), 'nothing is kept')
  t.doesNotThrow(() => it.app.coalesce.deduplicate(fn, { ...options, name: 'other' }))

  const store = memoryStore()
  const users = deduplicate(async () => 'a user', { ...options, store, name: 'find' })
  t.throws(() => deduplicate(async () => 'an order', { ...options, store, name: 'find' }), wrong)
  t.throws(() => deduplicated({ ...options, store, name: 'find' })(fn, { name: 'm' } as ClassMethodDecoratorContext<unknown>), wrong)
  const orders = deduplicate(async () => 'an order', { ...options, store: memoryStore(), name: 'find' })
  t.strictSame([await users(), await orders()], ['a user', 'an order'])
})

t.test('two functions of one name never meet, wherever else each of them meets others', async t => {
  const wrong = { code: 'FST_COALESCE_INVALID_OPTION', message: /^deduplicate options\.name must be no other function's/ }
  const coordinator = (): Coordinator => ({ open: () => ({ ready: async () => {}, join: () => undefined, purge () {}, close: async () => {} }) })
  const named = { key: () => 'k', name: 'find' } as const
  const { app } = await desk(t, {})
  for (const { deduplicate: make, of } of [{ deduplicate: app.coalesce.deduplicate, of: 'an app' }, { deduplicate, of: 'none' }]) {
    const user = make(async () => 'a user', { ...named, ttl: '60s', coordinator: coordinator() })
    t.equal(await user(), 'a user')
    t.throws(() => make(async () => 'an order', { ...named, ttl: '60s', coordinator: coordinator() }), wrong, `in the memory of ${of}`)
  }
  t.throws(() => app.coalesce.deduplicate(async () => 'an order', { ...named, coordinator: coordinator() }), wrong, 'in the flights of an app')
  t.throws(() => app.coalesce.deduplicate(async () => 'an order', { ...named, ttl: '60s', store: memoryStore() }), wrong)
  const order = deduplicate(async () => 'an order', { ...named, coordinator: coordinator() })
  t.equal(await order(), 'an order', 'without an app each has flights of its own')
})

t.test('another process finds what is kept in a store that both have', async t => {
  const store = memoryStore()
  const one = await desk(t, { ttl: '60s' }, { store })
  const two = await desk(t, { ttl: '60s' }, { store })
  const first = await one.lookUp('a')
  t.equal(await two.lookUp('a'), first)
  t.equal(two.runs(), 0)
})

/** A cache that holds text, and answers later. */
function textCache () {
  const texts = new Map<string, unknown>()
  return {
    texts,
    get: async ({ id }: { id: string }) => texts.has(id) ? { item: texts.get(id) } : null,
    set: async ({ id }: { id: string }, value: unknown) => { texts.set(id, value) },
    delete: async ({ id }: { id: string }) => { texts.delete(id) }
  }
}

t.test('a store that holds text gives what JSON keeps, and keeps nothing else', async t => {
  const values: Record<string, unknown> = {
    object: { list: [1, 'two', null], bytes: Buffer.from('bytes') }, text: 'text', nothing: null, undefined, date: new Date(0), map: new Map([[1, 2]]), nan: NaN
  }
  const cache = textCache()
  let runs = 0
  const give = deduplicate(async (name: string) => {
    runs++
    return values[name]
  }, { key: name => name, ttl: '60s', name: 'give', store: abstractCacheStore(cache) })
  for (const name of Object.keys(values)) {
    await give(name)
    await turn()
    const before = runs
    t.strictSame(await give(name), values[name], name)
    t.equal(runs - before, ['object', 'text', 'nothing'].includes(name) ? 0 : 1, name)
  }
})

t.test('an entry that is no result of a function is never given to a caller', async t => {
  const inner = memoryStore()
  let value: unknown
  const store = { ...inner, get: (key: string) => { const entry = inner.get(key); return entry && { ...entry, value } } }
  const it = await desk(t, { ttl: '60s' }, { store })
  const values = [undefined, null, 7, 'result', [], {}, { status: 200, body: 'a' }, { result: { word: 'a', run: 0 }, status: 200 }]
  await it.lookUp('a')
  for (value of values) t.equal((await it.lookUp('a')).run, it.runs())
  t.equal(it.runs(), 1 + values.length)
  t.equal(await metric(it.app, 'coalesce_cache_misses_total', { reason: 'rejected' }), values.length)
  t.equal(await metric(it.app, 'coalesce_store_rejected_entries_total', { reason: 'garbage' }), values.length)
})

t.test('what a store gives in the place of a result that is to be awaited is never given to a caller', async t => {
  for (const result of [{ then () { throw new Error('awaited') } }, { get then () { throw new Error('looked at') } }]) {
    const inner = memoryStore()
    const store = { ...inner, get: (key: string) => { const entry = inner.get(key); return entry && { ...entry, value: { result } } } }
    const { lookUp } = await desk(t, { ttl: '10s', store })
    t.match(await lookUp('a'), { run: 1 })
    t.match(await lookUp('a'), { run: 2 })
  }
})

t.test('results count towards the bytes of a memory store', async t => {
  const store = memoryStore({ maxBytes: 100_000 })
  let runs = 0
  const text = deduplicate(async (index: number) => {
    runs++
    return { text: 'x'.repeat(10_000), index }
  }, { key: index => [index], ttl: '60s', name: 'text', store })
  for (let index = 0; index < 20; index++) await text(index)
  t.ok(store.size.entries < 6)
  t.ok(store.size.bytes <= 100_000)
  await text(19)
  t.equal(runs, 20)
})

t.test('a result that cannot be measured counts as little, and is kept', async t => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const cycle: Record<string, unknown> = { text: 'x'.repeat(1000) }
  cycle.self = cycle
  const sizes: Array<readonly [unknown, number]> = [
    [proxy, 56], [{ proxy }, 56], [null, 16], ['ab', 20], [[], 56], [new Uint8Array(100), 156], [new ArrayBuffer(10), 66],
    [new Map([['a', 'b']]), 56 + 18 + 18], [new Set(['a', 'b']), 56 + 36], [Array.from({ length: 1000 }, () => 'a'), 56 + 18_000],
    [{ a: 1 }, 56 + 16 + 18]
  ]
  for (const [value, size] of sizes) t.equal(sizeOf(value), size)
  t.ok(sizeOf(cycle) < 3000, 'each object counts once')
  let wide: unknown = 'leaf'
  for (let level = 0; level < 4; level++) wide = Array.from({ length: 50 }, () => structuredClone(wide))
  t.ok(sizeOf(wide) > 10_000 * 16)

  const list = Array.from({ length: 1000 }, () => 'a')
  const unnamed = new Proxy(list, { ownKeys () { throw new Error('all members were named') } })
  t.equal(sizeOf(unnamed), 56 + 18_000, 'the members of a long list are not all named')
  const sparse: number[] = []
  sparse[1_000_000] = 1
  t.equal(sizeOf(sparse), 56, 'what a list does not have counts for nothing')

  const store = memoryStore()
  const odd = deduplicate(async (_key: string) => proxy, { key: key => key, ttl: '60s', name: 'odd', store })
  odd('a').catch(() => {})
  t.equal(store.size.entries, 0)
})

t.test('a function may wait less for the store of its registration than that does', async t => {
  const store = chaos(memoryStore())
  const it = await desk(t, { ttl: '60s', storeTimeout: 50 }, { store, storeTimeout: '10s' })
  await it.lookUp('a')
  store.on.get = 'hangs'
  const asked = it.lookUp('a')
  it.clock.advance(49)
  await turn()
  t.equal(it.runs(), 1)
  it.clock.advance(1)
  t.equal((await asked).run, 2)
  store.on.get = undefined as never
  t.equal((await it.lookUp('a')).run, 2, 'it is the same store')
})
