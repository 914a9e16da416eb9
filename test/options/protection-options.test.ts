/**
 * The options that protect what is behind runs: what is read of them, what has no effect, and what is made for several routes.
 */
import t from 'tap'
import coalesce, { circuitBreaker, deduplicate, runQueue } from '../../lib/index.js'
import { InvalidOptionError } from '../../lib/errors.js'
import { Breaker } from '../../lib/protection/breaker.js'
import { Queue } from '../../lib/protection/queue.js'
import { readFunctionOptions } from '../../lib/options/function-options.js'
import { readOptions } from '../../lib/options/options.js'
import { readRouteOptions, type RouteSettings } from '../../lib/options/route-options.js'
import type { BreakerOptions, CoalesceOptions, CoalesceRouteOptions, DeduplicateOptions, QueueOptions } from '../../types/index.js'
import { TestClock } from '../fixtures/gate.js'

const registration = (options: unknown): RouteSettings =>
  readOptions(options as CoalesceOptions, { semicolonDelimits: false, parsesItself: false, trustsByAddress: false }).routes
const route = (options: unknown, defaults = registration({})): RouteSettings => readRouteOptions(options as CoalesceRouteOptions, defaults, 'GET /x')
const call = (options: object) => readFunctionOptions({ key: () => '', ...options } as DeduplicateOptions)

/** The message of the error that it throws, or 'accepted'. */
function verdict (read: () => unknown): string {
  try {
    read()
    return 'accepted'
  } catch (error) {
    if (!(error instanceof InvalidOptionError)) throw error
    return error.message
  }
}

const QUEUE = {
  maxRuns: 20, maxQueued: 1_000, queueTimeout: 5_000, levels: ['high', 'normal', 'low'], aging: 1_000, name: undefined, clock: undefined
}
const BREAKER = {
  threshold: 0.5,
  minimumRuns: 10,
  window: 10_000,
  consecutive: false,
  openFor: 5_000,
  maxOpenFor: 60_000,
  probes: 1,
  slow: Infinity,
  by: undefined,
  isFailure: undefined,
  name: undefined,
  clock: undefined
}

for (const [whose, read] of [['route', route], ['registration', registration], ['function', call]] as const) {
  t.test(`options of a queue of a ${whose} are read, complete and frozen`, async t => {
    const clock = new TestClock()
    const levels = ['user', 'job']
    t.strictSame({ ...read({ queue: { maxRuns: 20 } }).queue }, QUEUE)
    const { queue } = read({ queue: { maxRuns: 1, maxQueued: 0, queueTimeout: '2s', levels, aging: '250ms', clock } })
    t.strictSame({ ...queue }, { maxRuns: 1, maxQueued: 0, queueTimeout: 2_000, levels, aging: 250, name: undefined, clock })
    t.ok(Object.isFrozen(queue) && Object.isFrozen(queue?.levels))
    levels.push('other')
    t.strictSame(queue?.levels, ['user', 'job'], 'and hold no list of the user\'s')
    t.match({ ...read({ queue: { maxRuns: 1, aging: false } }).queue }, { aging: Infinity })
    t.equal(read({ queue: false }).queue, undefined)
    t.equal(read({ queue: undefined }).queue, undefined)
    t.match({ ...read({ queue: Object.assign(Object.create(null), { maxRuns: 2 }) }).queue }, { maxRuns: 2 })
  })

  t.test(`options of a breaker of a ${whose} are read, complete and frozen`, async t => {
    const clock = new TestClock()
    const by = (): string => 'a'
    const isFailure = (): boolean => true
    const { breaker } = read({ breaker: {} })
    t.strictSame({ ...breaker }, BREAKER)
    t.ok(Object.isFrozen(breaker))
    const whole = read({
      breaker: { threshold: 1, minimumRuns: 1, window: '1m', consecutive: 1, openFor: '10s', maxOpenFor: '10s', probes: 3, slow: '2s', by, isFailure, clock }
    }).breaker
    t.strictSame({ ...whole, by: undefined, isFailure: undefined }, {
      threshold: 1, minimumRuns: 1, window: 60_000, consecutive: 1, openFor: 10_000, maxOpenFor: 10_000, probes: 3, slow: 2_000, by: undefined, isFailure: undefined, name: undefined, clock
    })
    const own = whole as unknown as Record<'by' | 'isFailure', () => unknown>
    t.strictSame([own.by(), own.isFailure()], ['a', true])
    t.equal(read({ breaker: false }).breaker, undefined)
    t.equal(read({ breaker: undefined }).breaker, undefined)
  })

  t.test(`a queue and a breaker that a ${whose} is given are handed on as they are`, async t => {
    const queue = runQueue({ maxRuns: 5, name: 'database' })
    const breaker = circuitBreaker({ name: 'database' })
    const settings = read({ queue, breaker })
    t.equal(settings.queue, queue)
    t.equal(settings.breaker, breaker)
    t.match(verdict(() => read({ queue: breaker })), /\.queue.* must be an object with maxRuns, what runQueue\(\) made, or false, got \{/)
    t.match(verdict(() => read({ breaker: queue })), /\.breaker.* must be an object of options, what circuitBreaker\(\) made, or false, got \{/, 'not taken for an object without options')
  })

  t.test(`a level of a ${whose} must be one of its queue's`, async t => {
    const priority = (): string => 'any'
    t.equal(read({ queue: { maxRuns: 1 }, priority: 'low' }).priority, 'low')
    const own = read({ queue: { maxRuns: 1 }, priority }).priority
    t.equal(typeof own === 'function' && (own as typeof priority)(), 'any', 'what a function answers is seen when it does')
    const place = whose === 'route' ? 'config.coalesce.priority of GET /x' : whose === 'function' ? 'deduplicate options.priority' : 'coalesce options.priority'
    t.equal(verdict(() => read({ queue: { maxRuns: 1 }, priority: 'urgent' })), `${place} must be one of the levels of its queue ('high', 'normal', 'low'), got "urgent"`)
    t.equal(verdict(() => read({ queue: runQueue({ maxRuns: 1, levels: ['a'] }), priority: 'low' })), `${place} must be one of the levels of its queue ('a'), got "low"`)
  })
}

t.test('a function of a breaker that is async is refused, and no promise of one that is not ends the process', async t => {
  const wrong = async (): Promise<never> => { throw new Error('of the app') }
  const promises = (): Promise<never> => wrong()
  const ended: unknown[] = []
  const note = (error: unknown): void => { ended.push(error) }
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  for (const name of ['by', 'isFailure']) {
    t.equal(verdict(() => circuitBreaker({ [name]: wrong })), `circuitBreaker options.${name} must be a function that is not async, got function wrong`)
  }
  for (const options of [{ breaker: { by: promises } }, { breaker: { isFailure: promises } }, { queue: { maxRuns: 1 }, priority: promises }]) {
    const asks = deduplicate(async () => 'fine', { key: () => '', ...options } as unknown as DeduplicateOptions<[], string>)
    t.equal(await asks(), 'fine')
  }
  await new Promise(resolve => setTimeout(resolve, 1))
  t.strictSame(ended, [])
})

t.test('a route or function names its queue and breaker, a registration cannot, for each route has its own', async t => {
  for (const [name, options] of [['queue', { maxRuns: 1, name: 'x' }], ['breaker', { name: 'x' }]] as const) {
    t.equal(route({ [name]: options })[name]?.name, 'x')
    t.equal(call({ [name]: options })[name]?.name, 'x')
    t.equal(verdict(() => registration({ [name]: options })), `coalesce options.${name}.name must be left out, because each route has its own, got "x"`)
    t.equal(verdict(() => registration({ [name]: { ...options, name: undefined } })), 'accepted')
  }
})

t.test('a priority has no effect without a queue, and a fallback none without a queue or breaker', async t => {
  const fallback = (): string => 'sorry'
  const queue = { maxRuns: 1 }
  const priorityWants = 'given with queue, because without one no run waits'
  const fallbackWants = 'given with queue or breaker, because without them no run is refused'
  for (const [options, said] of [
    [{ priority: 'low' }, `priority% must be ${priorityWants}, got "low"`],
    [{ priority: 'low', breaker: {} }, `priority% must be ${priorityWants}, got "low"`],
    [{ priority: 'low', queue: false }, `priority% must be ${priorityWants}, got "low"`],
    [{ fallback }, `fallback% must be ${fallbackWants}, got function fallback`],
    [{ fallback, breaker: false }, `fallback% must be ${fallbackWants}, got function fallback`]
  ] as const) {
    t.equal(verdict(() => route(options)), `config.coalesce.${said.replace('%', ' of GET /x')}`)
    t.equal(verdict(() => call(options)), `deduplicate options.${said.replace('%', '')}`)
    t.equal(verdict(() => registration(options)), 'accepted', 'a default, for routes that have them')
    t.equal(verdict(() => route({ query: ['q'] }, registration(options))), 'accepted', 'the route has not set it')
  }
  for (const options of [{ priority: 'low', queue }, { fallback, queue }, { fallback, breaker: {} }, { fallback, queue: false, breaker: {} }, { priority: undefined, fallback: undefined }]) {
    t.equal(verdict(() => route(options)), 'accepted')
    t.equal(verdict(() => call(options)), 'accepted')
  }
  t.equal(call({ fallback, queue }).fallback, fallback)
  t.equal(route({ fallback, queue }).fallback, fallback)
})

t.test('a route has the protection of its registration, unless it sets or switches off its own', async t => {
  const defaults = registration({ queue: { maxRuns: 5, maxQueued: 7 }, breaker: { probes: 2 }, priority: 'low' })
  t.equal(route(true, defaults).queue, defaults.queue)
  t.equal(route({}, defaults).breaker, defaults.breaker)
  t.equal(route({ priority: 'high' }, defaults).priority, 'high')
  t.match({ ...route({ queue: { maxRuns: 1 } }, defaults).queue }, { maxRuns: 1, maxQueued: 1_000 }, 'whole: nothing of the other one is left')
  t.match(route({ queue: false, breaker: false }, defaults), { queue: undefined, breaker: undefined, priority: 'low' })
  t.equal(verdict(() => route({ queue: { maxRuns: 1, levels: ['a', 'b'] } }, defaults)), 'config.coalesce.priority of GET /x must be one of the levels of its queue (\'a\', \'b\'), got "low"', 'the inherited level is none of its own')
  t.equal(route({ queue: { maxRuns: 1, levels: ['a', 'b'] }, priority: 'b' }, defaults).priority, 'b')
  t.equal(verdict(() => route({ queue: { maxRuns: 1 } }, registration({ priority: 'urgent' }))), 'config.coalesce.priority of GET /x must be one of the levels of its queue (\'high\', \'normal\', \'low\'), got "urgent"')
})

t.test('runQueue makes a queue with a name, by default one of its own', async t => {
  const named = runQueue({ maxRuns: 20, levels: ['user', 'job'], name: 'database' })
  t.type(named, Queue)
  t.match({ name: named.name, levels: named.levels, limit: named.limit, running: named.running, waiting: named.waiting }, {
    name: 'database', levels: ['user', 'job'], limit: 20, running: 0, waiting: 0
  })
  const [first, second] = [runQueue({ maxRuns: 1 }).name, runQueue({ maxRuns: 1 }).name].map(name => Number(/^queue-(\d+)$/.exec(name)?.[1]))
  t.equal(second, first as number + 1)
})

t.test('circuitBreaker makes a breaker with a name, by default one of its own', async t => {
  const named = circuitBreaker({ name: 'database' })
  t.type(named, Breaker)
  t.match({ name: named.name, state: named.state }, { name: 'database', state: 'closed' })
  const [first, second] = [circuitBreaker().name, circuitBreaker({ clock: new TestClock() }).name].map(name => Number(/^breaker-(\d+)$/.exec(name)?.[1]))
  t.equal(second, first as number + 1)
})

t.test('what is shared has the clock that it is given', async t => {
  const clock = new TestClock()
  const queue = runQueue({ maxRuns: 1, queueTimeout: '1s', clock }) as Queue
  const refused: string[] = []
  const waiter = { level: 0, isRefresh: false, take: () => true, refused: ({ reason }: { reason: string }) => { refused.push(reason) } }
  queue.enter(waiter)
  queue.enter(waiter)
  clock.advance(1_000)
  t.strictSame(refused, ['queue-timeout'])

  const breaker = circuitBreaker({ consecutive: 1, openFor: '1s', clock }) as Breaker
  const run = breaker.begin([], 1_000)
  if (run.type === 'begun') run.end({ status: 500, error: undefined })
  t.equal(breaker.state, 'open')
  clock.advance(1_000)
  t.equal(breaker.state, 'half-open')
})

t.test('a wrong option of what is shared throws where it was made', async t => {
  const wrong: Array<[make: () => unknown, message: string]> = [
    [() => runQueue({ maxRuns: 0 }), 'runQueue options.maxRuns must be a whole number from 1, got 0'],
    [() => runQueue({ maxRuns: 1, maxRun: 1 } as QueueOptions), 'runQueue options.maxRun is unknown; did you mean maxRuns?'],
    [() => runQueue(undefined as never), 'runQueue options must be an object with maxRuns, got undefined'],
    [() => runQueue(circuitBreaker() as never), 'runQueue options must be an object with maxRuns, got {'],
    [() => circuitBreaker({ threshold: 2 }), 'circuitBreaker options.threshold must be a number above 0, and at most 1, got 2'],
    [() => circuitBreaker({ openFor: '2m' }), 'circuitBreaker options.maxOpenFor must be at least openFor (120000 ms), got 60000'],
    [() => circuitBreaker({ open: 1 } as BreakerOptions), 'circuitBreaker options must be made of threshold, '],
    [() => circuitBreaker(5 as never), 'circuitBreaker options must be an object, got 5']
  ]
  for (const [make, message] of wrong) {
    try {
      make()
      t.fail(message)
    } catch (error) {
      t.ok(error instanceof InvalidOptionError && error.message.startsWith(message), (error as Error).message)
      t.match((error as Error).stack?.split('\n').find(line => line.includes('    at ')), /protection-options\.test/)
    }
  }
})

t.test('routes and functions take what was made, together with the plugin', async t => {
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(coalesce, { breaker: circuitBreaker(), queue: { maxRuns: 5 }, priority: () => 'low' })
  const queue = runQueue({ maxRuns: 5 })
  app.get('/', { config: { coalesce: { queue, fallback: () => 'sorry' } } }, async () => 'hello')
  const find = deduplicate(async (word: string) => word.length, { key: word => word, queue, priority: 'high', fallback: () => 0 })
  t.equal((await app.inject('/')).body, 'hello')
  t.equal(await find('luck'), 4)
})
