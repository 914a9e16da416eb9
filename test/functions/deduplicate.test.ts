import { AsyncLocalStorage } from 'node:async_hooks'
import { getEventListeners } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import coalesce, { deduplicate, deduplicated, nullStore } from '../../lib/index.js'
import type { CoalesceOptions, DeduplicateOptions } from '../../types/index.js'
import { type Gate, gate, TestClock } from '../fixtures/gate.js'
import { metric } from '../fixtures/server.js'

/** A function whose runs the test ends, one gate each. */
function held () {
  const runs: Array<Gate<string> & { readonly word: string }> = []
  const fn = async (word: string): Promise<string> => {
    const run = { ...gate<string>(), word }
    runs.push(run)
    return await run.promise
  }
  return { fn, runs }
}

/** The same for a function that takes a signal, which each run shows. */
function heldWithSignal () {
  const runs: Array<Gate<string> & { readonly signal: AbortSignal | undefined, readonly limit: number | undefined }> = []
  const fn = async (_word: string, options: { limit?: number, signal?: AbortSignal } = {}): Promise<string> => {
    const run = { ...gate<string>(), signal: options.signal, limit: options.limit }
    runs.push(run)
    return await run.promise
  }
  return { fn, runs }
}

const byWord = { key: (word: string) => word }

/** What became of each promise, in order: its value, or its error's code or message. */
async function outcomes (promises: ReadonlyArray<Promise<unknown>>): Promise<unknown[]> {
  return (await Promise.allSettled(promises)).map(each => {
    if (each.status === 'fulfilled') return each.value
    const { code, message } = each.reason as Error & { code?: string }
    return typeof code === 'string' ? code : message
  })
}

/** An app with the plugin and a clock that the test turns. */
async function departure (t: Test, options: CoalesceOptions = {}): Promise<{ app: FastifyInstance, clock: TestClock }> {
  const clock = new TestClock()
  const app: FastifyInstance = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { metrics: true, clock, ...options })
  return { app, clock }
}

t.test('different keys, and the same key of different functions, run apart', async t => {
  const { fn, runs } = held()
  const one = deduplicate(fn, byWord)
  const two = deduplicate(fn, byWord)

  const calls = [one('a'), one('b'), two('a')]
  for (const [index, run] of runs.entries()) run.open(`run ${index}`)

  t.strictSame(await Promise.all(calls), ['run 0', 'run 1', 'run 2'])
})

t.test('no two different keys are one', async t => {
  const keys: ReadonlyArray<ReturnType<DeduplicateOptions['key']>> = [
    '1', [1], ['1'], [1n], ['1n'], 'a,b', ['a,b'], ['a', 'b'], ['a', 'b', ''], ['["a"', '"b"]'], '["a"]', ['a'], '"a"',
    [null], ['null'], [undefined], ['undefined'], [true], ['true'], [false], [0], [-0], ['-0'], [NaN], ['NaN'], [Infinity], [''], ['', ''],
    [1, 2], [12], ['1,2'], ['a\u0000b'], ['a', null], ['a', undefined]
  ]
  let runs = 0
  const opening = gate()
  const run = deduplicate(async (_index: number) => {
    runs++
    await opening.promise
  }, { key: index => keys[index] ?? null })

  const calls = keys.flatMap((_key, index) => [run(index), run(index)])
  opening.open()
  await Promise.all(calls)

  t.equal(runs, keys.length)
})

t.test('a call without a key runs by itself', async t => {
  const keys: unknown[] = [null, undefined, '', [], NaN, {}, [{}], [Symbol('s')], Promise.resolve('k')]
  for (const key of keys) {
    let runs = 0
    const run = deduplicate(async () => ++runs, { key: () => key as string })
    t.strictSame(await Promise.all([run(), run(), run()]), [1, 2, 3])
  }
})

t.test('a call whose key function throws runs by itself, and the log has the error', async t => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write (line: string) { lines.push(line) } } } })
  t.teardown(async () => { await app.close() })
  await app.register(coalesce)
  let runs = 0
  const run = app.coalesce.deduplicate(async () => ++runs, { name: 'counter', key () { throw new Error('no key for you') } })

  t.strictSame(await Promise.all([run(), run()]), [1, 2])

  t.equal(lines.length, 2)
  t.match(JSON.parse(lines[0] ?? ''), { level: 40, coalesce: { event: 'key-threw', route: 'counter' }, err: { message: 'no key for you' } })
  const silent = deduplicate(async () => ++runs, { key () { throw new Error('no key for you') } })
  t.strictSame(await Promise.all([silent(), silent()]), [3, 4])
})

t.test('arguments, this and the result go through as they are', async t => {
  const result = { word: 'x' }
  const seen: unknown[] = []
  const object = {
    lookUp: deduplicate(async function (this: unknown, ...args: unknown[]) {
      seen.push(this, ...args)
      return result
    }, { key () { seen.push(this); return 'k' } })
  }

  const [one, two] = await Promise.all([object.lookUp(1, 'b'), object.lookUp(1, 'b')])

  t.equal(one, result, 'by reference')
  t.equal(two, result)
  t.strictSame(seen.map(each => each === object ? 'this' : each), ['this', 'this', 1, 'b', 'this'])
})

t.test('an error reaches every caller, as it is, and the next call runs afresh', async t => {
  const error = new Error('down')
  for (const fail of [async () => { throw error }, () => { throw error }]) {
    let runs = 0
    const run = deduplicate(async () => {
      runs++
      return await fail()
    }, { key: () => 'k' })

    const settled = await Promise.allSettled([run(), run(), run()])

    t.ok(settled.every(each => each.status === 'rejected' && each.reason === error))
    t.equal(runs, 1)
    await t.rejects(run(), error)
    t.equal(runs, 2)
  }
})

t.test('a function that throws before its first await rejects, and frees its key', async t => {
  let runs = 0
  const run = deduplicate((): Promise<string> => {
    runs++
    throw new Error('at once')
  }, { key: () => 'k' })

  t.strictSame(await outcomes([run(), run()]), ['at once', 'at once'])
  t.equal(runs, 1)
  await t.rejects(run(), { message: 'at once' })
  t.equal(runs, 2)
})

t.test('clone gives each caller that waited a result of its own', async t => {
  const original = { list: [1] }
  const run = deduplicate(async () => original, { key: () => 'k', clone: structuredClone<typeof original> })

  const [first, second, third] = await Promise.all([run(), run(), run()])

  t.equal(first, original)
  t.strictSame([second, third], [original, original])
  t.equal(new Set([first, second, third]).size, 3)
})

t.test('a clone that throws rejects its own caller, and errors are not cloned', async t => {
  let clones = 0
  const clone = (value: string): string => {
    if (++clones === 1) throw new Error('cannot clone')
    return `${value} ${clones}`
  }
  const { fn, runs } = held()
  const lookUp = deduplicate(fn, { ...byWord, clone })

  const calls = ['x', 'x', 'x'].map(lookUp)
  runs[0]?.open('r')
  t.strictSame(await outcomes(calls), ['r', 'cannot clone', 'r 2'])

  const failing = ['x', 'x'].map(lookUp)
  runs[1]?.fail(new Error('down'))
  t.strictSame(await outcomes(failing), ['down', 'down'])
  t.equal(clones, 2)
})

t.test('the signal of one caller ends its own wait only', async t => {
  const { fn, runs } = heldWithSignal()
  const lookUp = deduplicate(fn, { key: word => word })
  const controllers = [0, 1, 2].map(() => new AbortController())
  const calls = controllers.map(({ signal }) => lookUp('x', { signal, limit: 5 }))

  t.equal(runs[0]?.limit, 5, 'other options stay')
  t.not(runs[0]?.signal, controllers[0]?.signal)
  controllers[0]?.abort(new Error('leader left'))
  controllers[1]?.abort(new Error('follower left'))
  t.equal(runs[0]?.signal?.aborted, false)
  const late = lookUp('x')
  runs[0]?.open('r')

  t.strictSame(await outcomes([...calls, late]), ['leader left', 'follower left', 'r', 'r'])
  t.equal(runs.length, 1)
})

t.test('a signal that is the last argument is taken as well', async t => {
  const signals: AbortSignal[] = []
  const opening = gate()
  const run = deduplicate(async (_word: string, signal: AbortSignal) => {
    signals.push(signal)
    await opening.promise
    return 'r'
  }, { key: word => word })
  const one = new AbortController()
  const two = new AbortController()

  const calls = [run('x', one.signal), run('x', two.signal)]
  one.abort(new Error('left'))
  opening.open()

  t.strictSame(await outcomes(calls), ['left', 'r'])
  t.equal(signals.length, 1)
  t.not(signals[0], one.signal)
  t.equal(signals[0]?.aborted, false)
})

t.test('what only looks like a signal is an argument like any other', async t => {
  const seen: unknown[] = []
  const run = deduplicate(async (...args: unknown[]) => { seen.push(args) }, { key: () => 'k' })
  const argument = { signal: 'green' }

  await run(argument)
  await run(null)
  await run()

  t.equal((seen[0] as unknown[])[0], argument)
  t.strictSame(seen, [[argument], [null], []])
})

t.test('a request is an argument like any other, although it has a signal', async t => {
  const app: FastifyInstance = Fastify()
  await app.register(coalesce)
  t.teardown(async () => { await app.close() })
  const describe = app.coalesce.deduplicate(async (request: FastifyRequest) => ({ url: request.url, agent: request.headers['x-agent'] }), {
    key: request => request.url
  })
  app.post('/word', async request => await describe(request))
  const address = await app.listen({ port: 0 })

  // Once its body has been read, Fastify takes its client for gone.
  const response = await fetch(`${address}/word`, {
    method: 'POST', body: '{}', headers: { 'content-type': 'application/json', 'x-agent': 'one' }
  })
  t.strictSame(await response.json(), { url: '/word', agent: 'one' })
  const webRequest = new Request(address)
  t.equal(await deduplicate(async (request: Request) => request, { key: request => request.url })(webRequest), webRequest)
  const bare = Object.assign(Object.create(null) as object, { signal: AbortSignal.abort(new Error('left')) })
  await t.rejects(deduplicate(async (_options: object) => {}, { key: () => 'k' })(bare), { message: 'left' })
})

t.test('a call with a signal that is aborted already neither runs nor counts', async t => {
  const { app } = await departure(t)
  const { fn, runs } = heldWithSignal()
  const lookUp = app.coalesce.deduplicate(fn, { key: word => word })

  await t.rejects(lookUp('x', { signal: AbortSignal.abort(new Error('too late')) }), { message: 'too late' })

  t.equal(runs.length, 0)
  t.match(app.coalesce.stats(), { totalRequests: 0, actualExecutions: 0, deduplicationRate: 0 })
})

t.test('a caller that runs for itself has its own signal, and is answered at once when it aborts', async t => {
  const { fn, runs } = heldWithSignal()
  const lookUp = deduplicate(fn, { key: () => null })
  const { signal, ...own } = controllerOf()

  const call = lookUp('x', { signal })
  t.equal(runs[0]?.signal, signal)
  own.abort(new Error('left'))

  await t.rejects(call, { message: 'left' })
  runs[0]?.open('r')
})

function controllerOf () {
  const controller = new AbortController()
  return { signal: controller.signal, abort (reason: Error) { controller.abort(reason) } }
}

t.test('callers of whom nobody else\'s listeners stay on a long-lived signal', async t => {
  const { fn, runs } = heldWithSignal()
  const lookUp = deduplicate(fn, { key: word => word })
  const { signal } = new AbortController()
  const listeners = { added: 0, removed: 0 }
  t.intercept(signal, 'addEventListener', { value: () => { listeners.added++ } })
  t.intercept(signal, 'removeEventListener', { value: () => { listeners.removed++ } })

  const calls = [lookUp('x', { signal }), lookUp('x', { signal }), lookUp('x', { signal })]
  runs[0]?.open('r')
  await Promise.all(calls)

  t.strictSame(listeners, { added: 1, removed: 1 })
})

class Dictionary {
  runs = 0
  readonly name: string

  constructor (name: string) {
    this.name = name
  }

  @deduplicated({ key: (word: string) => word })
  async lookUp (word: string): Promise<string> {
    this.runs++
    await turn()
    return `${word} in ${this.name}`
  }

  @deduplicated({ key: () => 'all' })
  static async count (): Promise<object> {
    await turn()
    return {}
  }
}

t.test('a decorated method runs once per object and key', async t => {
  const oxford = new Dictionary('Oxford')
  const duden = new Dictionary('Duden')

  const answers = await Promise.all([oxford.lookUp('a'), oxford.lookUp('a'), duden.lookUp('a'), duden.lookUp('a'), oxford.lookUp('b')])

  t.strictSame(answers, ['a in Oxford', 'a in Oxford', 'a in Duden', 'a in Duden', 'b in Oxford'])
  t.equal(oxford.runs, 2)
  t.equal(duden.runs, 1)
})

t.test('a decorated static method runs once per key', async t => {
  const [one, two] = await Promise.all([Dictionary.count(), Dictionary.count()])
  t.equal(one, two)
})

t.test('numbers, bigints and booleans are keys of functions, and what is none is warned of once', async t => {
  const warned: unknown[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write (line: string) { warned.push((JSON.parse(line) as { coalesce: unknown }).coalesce) } } } })
  t.teardown(async () => { await app.close() })
  await app.register(coalesce)
  let runs = 0
  const opening = gate()
  const count = app.coalesce.deduplicate(async (_key: unknown) => {
    await opening.promise
    return ++runs
  }, { name: 'counter', key: (key: unknown) => key as string })
  const keys = [1, '1', 1n, true, 'true', [1], ['1']]
  const calls = [...keys, ...keys].map(key => count(key))
  const others = [NaN, {}, NaN, null, '', []].map(key => count(key))
  opening.open()
  await Promise.all([...calls, ...others])
  t.equal(runs, keys.length + others.length)
  t.strictSame(warned, [{ event: 'no-key', route: 'counter', got: 'NaN' }])
})

t.test('a decorated method that is called on nothing runs once per key', async t => {
  let runs = 0
  class Counter {
    @deduplicated({ key: () => 'k' })
    async count (this: unknown): Promise<number> {
      return ++runs
    }
  }
  const { count } = Counter.prototype

  t.strictSame(await Promise.all([count(), Reflect.apply(count, null, [])]), [1, 1])
})

const makes = {
  'a decorated method': () => {
    class Describer {
      @deduplicated({ key: () => 'k' })
      async describe (this: unknown): Promise<string> { return describe(this) }
    }
    return Describer.prototype.describe
  },
  'a deduplicated function': () => deduplicate(async function (this: unknown) { return describe(this) }, { key: () => 'k' }),
  'a deduplicated method that is called async': () =>
    deduplicate({ async async (this: unknown) { return describe(this) } }.async, { key: () => 'k' })
}

function describe (self: unknown): string {
  return typeof self === 'object' && self !== null ? (self as { name: string }).name : `${typeof self} ${String(self)}`
}

for (const [what, make] of Object.entries(makes)) {
  t.test(`calls of ${what} are told apart by what they are made on`, async t => {
    const method = make() as (this: unknown) => Promise<string>
    const others = [undefined, 7, '7', 7n, true, 'true', '', Symbol.for('7'), { name: 'Duden' }, { name: 'Oxford' }]
    const answers = await Promise.all([...others, ...others].map(async self => await method.call(self)))
    t.strictSame(answers, [...others, ...others].map(describe))
    const dictionaries = [{ name: 'a', look: method }, { name: 'b', look: method }] as const
    t.strictSame(await Promise.all(dictionaries.map(async each => await each.look())), ['a', 'b'])
  })
}

t.test('calls on one object are identical, and those of an arrow function on whatever it is', async t => {
  let runs = 0
  const count = async (): Promise<number> => {
    await turn()
    return ++runs
  }
  const holder = { plain: deduplicate(async function () { return await count() }, { key: () => 'k' }) }
  t.strictSame(await Promise.all([holder.plain(), holder.plain()]), [1, 1])
  for (const arrow of [async () => await count(), async (_a?: number) => await count(), (_a?: number) => count()] as Array<typeof count>) {
    runs = 0
    const lookUp = deduplicate(arrow, { key: () => 'k' })
    t.strictSame(await Promise.all([lookUp(), { lookUp }.lookUp(), { lookUp }.lookUp()]), [1, 1, 1], String(arrow))
  }
})

t.test('very many calls with one signal add one listener to it, and take it away', async t => {
  const warnings: Error[] = []
  const note = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  const opened = gate()
  const lookUp = deduplicate(async (_word: string, _signal: AbortSignal) => { await opened.promise }, { key: word => word })
  const controller = new AbortController()
  const staying = new AbortController()
  const calls = Array.from({ length: 50 }, async (_, index) => await lookUp(String(index % 2), controller.signal))
  const stays = lookUp('0', staying.signal)
  t.equal(getEventListeners(controller.signal, 'abort').length, 1)
  controller.abort(new Error('left'))
  t.strictSame(new Set((await Promise.allSettled(calls)).map(({ status }) => status)), new Set(['rejected']))
  opened.open()
  await stays
  t.equal(getEventListeners(controller.signal, 'abort').length, 0)
  t.equal(getEventListeners(staying.signal, 'abort').length, 0)
  await turn()
  t.strictSame(warnings, [])
})

t.test('each run has the context of the caller whose it is', async t => {
  const { app, clock } = await departure(t)
  const context = new AsyncLocalStorage<string>()
  const runs: Array<{ readonly context: string | undefined } & Gate> = []
  const lookUp = app.coalesce.deduplicate(async () => {
    const run = { ...gate(), context: context.getStore() }
    runs.push(run)
    await run.promise
    return run.context
  }, { key: () => 'k', flightTimeout: 100, waitTimeout: 150 })
  const call = (caller: string): Promise<readonly [string | undefined, string | undefined]> =>
    context.run(caller, async () => [await lookUp(), context.getStore()] as const)

  const calls = ['leader', 'promoted', 'alone'].map(call)
  context.run('timer', () => { clock.advance(100) })
  t.strictSame(runs.map(run => run.context), ['leader', 'promoted'])
  context.run('timer', () => { clock.advance(50) })
  t.strictSame(runs.map(run => run.context), ['leader', 'promoted', 'alone'])
  for (const run of runs) run.open()

  t.strictSame(await Promise.all(calls), [['leader', 'leader'], ['promoted', 'promoted'], ['alone', 'alone']])
})

t.test('a run that is started after a failure has the context of who was promoted', async t => {
  const context = new AsyncLocalStorage<string>()
  const runs: Array<string | undefined> = []
  const lookUp = deduplicate(async () => {
    runs.push(context.getStore())
    await turn()
    if (runs.length === 1) throw new Error('first')
  }, { key: () => 'k', onError: 'promote' })

  await outcomes(['one', 'two'].map(caller => context.run(caller, lookUp)))

  t.strictSame(runs, ['one', 'two'])
})

t.test('an app counts its functions by name', async t => {
  const { app } = await departure(t)
  const { fn, runs } = held()
  const lookUp = app.coalesce.deduplicate(fn, { ...byWord, name: 'dictionary' })
  const calls = ['x', 'x', 'x', 'x'].map(lookUp)

  t.equal(await metric(app, 'coalesce_flights'), 1)
  t.equal(await metric(app, 'coalesce_waiters'), 3)
  runs[0]?.open('r')
  await Promise.all(calls)

  t.match(app.coalesce.stats(), {
    totalRequests: 4,
    deduplicatedRequests: 3,
    cacheHits: 0,
    actualExecutions: 1,
    deduplicationRate: 0.75,
    routes: [{
      method: 'FUNCTION',
      route: 'dictionary',
      totalRequests: 4,
      deduplicatedRequests: 3,
      cacheHits: 0,
      actualExecutions: 1,
      deduplicationRate: 0.75
    }]
  })
  const labels = { method: 'FUNCTION', route: 'dictionary' }
  t.equal(await metric(app, 'coalesce_requests_total', { ...labels, outcome: 'leader', reason: 'shared' }), 1)
  t.equal(await metric(app, 'coalesce_requests_total', { ...labels, outcome: 'follower', reason: 'shared' }), 3)
  t.equal(await metric(app, 'coalesce_handler_runs_total', labels), 1)
  t.equal(await metric(app, 'coalesce_flights'), 0)
  t.equal(await metric(app, 'coalesce_waiters'), 0)
})

t.test('a function is named after itself, or has no name', async t => {
  const { app } = await departure(t)
  app.coalesce.deduplicate(async function lookUp () {}, { key: () => 'k' })
  app.coalesce.deduplicate(async () => {}, { key: () => 'k' })

  t.strictSame(app.coalesce.stats().routes.map(({ route }) => route), ['lookUp', 'anonymous'])
})

t.test('every call has one outcome, whatever became of it', async t => {
  const { app, clock } = await departure(t)
  const { fn, runs } = heldWithSignal()
  const lookUp = app.coalesce.deduplicate(fn, {
    key: word => word === '' ? null : word, waitTimeout: 100, flightTimeout: 250, onWaitTimeout: 'error'
  })
  const leaver = controllerOf()
  const ends: Array<Promise<unknown[]>> = []
  const call = (word: string, signal?: AbortSignal): void => { ends.push(outcomes([lookUp(word, signal === undefined ? {} : { signal })])) }

  call('')
  call('gone', leaver.signal)
  call('failed')
  call('failed')
  call('slow')
  call('slow')
  runs[2]?.fail(new Error('down'))
  await turn()
  clock.advance(100)
  call('slow')
  call('slow', leaver.signal)
  leaver.abort(new Error('left'))
  clock.advance(150)
  for (const run of runs) run.open('r')
  await Promise.all(ends)

  const counted = await app.coalesce.registry?.getSingleMetric('coalesce_requests_total')?.get()
  t.strictSame(counted?.values.map(({ labels, value }) => `${value} ${String(labels.outcome)} ${String(labels.reason)}`).sort(), [
    '0 follower shared', '0 leader shared', '1 bypass no-key', '1 follower client-left', '1 follower failed', '1 leader client-left', '1 leader failed', '1 leader flight-timeout',
    '2 follower wait-timeout'
  ])
})

t.test('the app\'s log tells of calls, with the leader\'s id in its followers\' lines', async t => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'debug', stream: { write (line: string) { lines.push(line) } } } })
  t.teardown(async () => { await app.close() })
  await app.register(coalesce)
  const lookUp = app.coalesce.deduplicate(async () => { await turn() }, { key: () => 'secret-key', name: 'dictionary' })

  await Promise.all([lookUp(), lookUp()])

  const events = lines.map(line => (JSON.parse(line) as { coalesce?: Record<string, unknown> }).coalesce).filter(each => each !== undefined)
  t.strictSame(events.map(({ event, outcome }) => [event, outcome].join(' ').trim()), [
    'started', 'joined', 'completed', 'settled leader', 'settled follower'
  ])
  t.equal(new Set(events.map(({ leaderId }) => leaderId)).size, 1)
  t.match(events[0], { method: 'FUNCTION', route: 'dictionary', leaderId: /^call-/ })
  t.notMatch(lines.join(''), 'secret-key')
})

t.test('a wrong option is an error that names it', async t => {
  const fn = async (): Promise<void> => {}
  const wrong: Array<[unknown, RegExp]> = [
    [undefined, /^deduplicate options must be an object, got undefined$/],
    [{}, /^deduplicate options\.key must be a function, got undefined$/],
    [{ key: 'k' }, /^deduplicate options\.key must be a function, got "k"$/],
    [{ key: () => 'k', name: '' }, /^deduplicate options\.name must be a non-empty string, got ""$/],
    [{ key: () => 'k', clone: true }, /^deduplicate options\.clone must be a function, got true$/],
    [{ key: () => 'k', waitTimeout: 0 }, /^deduplicate options\.waitTimeout must be a duration .*, got 0$/],
    [{ key: () => 'k', onError: 'retry' }, /^deduplicate options\.onError must be 'share' or 'promote', got "retry"$/],
    [{ key: () => 'k', ttl: 0 }, /^deduplicate options\.ttl must be a duration .*; or a function, got 0$/],
    [{ key: () => 'k', staleIfError: '1 fortnight' }, /^deduplicate options\.staleIfError must be a duration .*, got "1 fortnight"$/],
    [{ key: () => 'k', ttlJitter: 2 }, /^deduplicate options\.ttlJitter must be a number from 0 to 1, got 2$/],
    [{ key: () => 'k', eagerRefresh: true }, /^deduplicate options\.eagerRefresh must be a number from 0 to 1, or false, got true$/],
    [{ key: () => 'k', store: {} }, /^deduplicate options\.store must be an object with get\(key\), set\(entry, keepFor\) and delete\(key\), so no Map, got \{\}$/],
    [{ key: () => 'k', storeTimeout: 0 }, /^deduplicate options\.storeTimeout must be a duration .*, got 0$/],
    [{ key: () => 'k', tags: [''] }, /^deduplicate options\.tags must be an array of names, or a function, got \[""\]$/],
    [{ key: () => 'k', ttl: 1, store: nullStore }, /^deduplicate options\.name must be a name of its own, because .*, got undefined$/],
    [{ key: () => 'k', cache: true }, /^deduplicate options must be made of .*, got "cache"$/]
  ]
  for (const [options, message] of wrong) {
    t.throws(() => deduplicate(fn, options as DeduplicateOptions<[], void>), { code: 'FST_COALESCE_INVALID_OPTION', message })
  }
  t.throws(() => deduplicated({} as DeduplicateOptions)(fn, { name: 'm' } as ClassMethodDecoratorContext<unknown>),
    { code: 'FST_COALESCE_INVALID_OPTION' })
  for (const none of ['fn', {}, undefined, null]) {
    t.throws(() => deduplicate(none as unknown as typeof fn, { key: () => 'k' }), new TypeError('deduplicate wants a function'))
  }
})
