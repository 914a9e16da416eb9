/**
 * "A sentence at the top of the live page says what is wrong, the worst first."
 */
import t from 'tap'
import { counters, problems } from '../../lib/page/browser/problems.js'
import type { PageState } from '../../lib/page/state.js'
import type { RouteReport } from '../../types/index.js'
import { breaker, coordinator, queue, route, state, store } from '../fixtures/page-states.js'

function told (more: Partial<PageState>, grown: Readonly<Record<string, number>> = {}): string[] {
  return problems(state(more), name => grown[name] ?? 0).map(({ level, text }) => `${level} ${text.replaceAll(/[\u2068\u2069]/g, '')}`)
}

const FEW = { flights: 100, waiters: 100, bytes: 100 }
const observed = (verdict: RouteReport['verdict'], paths: readonly string[] = []): RouteReport => ({ verdict, differences: paths.map(path => ({ path })) }) as unknown as RouteReport
const bypassed = [{ outcome: 'bypass', reason: 'unshareable', cause: 'reads-all-headers', count: 90 }, { outcome: 'alone', reason: 'reads-all-headers', count: 5 }] as const

t.test('nothing is said where nothing is wrong', async t => {
  t.strictSame(told({}), [])
  t.strictSame(told({ breakers: [breaker({ state: 'closed' })], queues: [queue(0)], coordinators: [coordinator(false)], stores: [store(false)] }), [])
})

t.test('a route that shares nothing says why, once it had enough requests', async t => {
  const counts = [0, 0, 0, 0, 1, 90, 5, 0]
  t.strictSame(told({ routes: [route({ counts, reasons: bypassed })] }), ['warn GET /word shares nothing: reads-all-headers, 99 % of 96 requests'])
  t.strictSame(told({ routes: [route({ counts: [9, ...counts.slice(1)], reasons: bypassed })] }), ['warn GET /word shares little: reads-all-headers, 90 % of 105 requests'])
  t.strictSame(told({ routes: [route({ counts: [0, 0, 0, 0, 0, 19, 0, 0], reasons: [{ outcome: 'bypass', reason: 'method', count: 19 }] })] }), [])
  t.strictSame(told({ routes: [route({ counts, reasons: bypassed, state: 'observes' })] }), [])
  t.strictSame(told({ routes: [route({ counts: [100, 0, 0, 0, 1, 90, 5, 0], reasons: bypassed })] }), [])
})

t.test('a leak comes before all else', async t => {
  const routes = [route({ route: '/a', state: 'off' }), route({ route: '/b', state: 'observes', observed: observed('differs', ['$.hero']) }), route({ route: '/c', state: 'verifies', observed: observed('differs') }),
    route({ route: '/d', observed: observed('echo') }), route({ route: '/e' })]
  t.strictSame(told({ routes, breakers: [breaker({})], advice: [{ id: 'leak/differs', kind: 'leak', method: 'GET', route: '/e' } as PageState['advice'][number]] }), [
    'bad GET /b would leak: $.hero differs between clients', 'bad GET /c leaks: the response differs between clients',
    'bad GET /d sends back what is of one request: it must not be shared', 'bad GET /e leaks: the response differs between clients',
    'bad Breaker db is open, tries again in 4 s', 'warn GET /a is switched off'
  ])
})

t.test('what may be a leak is a look, what is one a problem', async t => {
  const unknown = { id: 'leak/unknown', kind: 'leak', method: 'GET', route: '/f' } as PageState['advice'][number]
  const routes = [route({ route: '/f' }), route({ route: '/g', state: 'verifies', observed: observed('unknown', ['$.at']) }), route({ route: '/h', state: 'observes', observed: observed('unknown') })]
  t.strictSame(told({ routes, advice: [unknown], queues: [queue(1)] }), [
    'warn GET /f may leak: the response differs between clients', 'warn GET /g may leak: $.at differs between clients', 'warn GET /h may leak: the response differs between clients',
    'warn 1 run waits in queue db: 20 of 20 run'
  ])
})

t.test('a route whose requests fail is a problem, and so is one that refuses them', async t => {
  const failed = [{ outcome: 'follower', reason: 'failed', count: 470 }, { outcome: 'leader', reason: 'failed', count: 120 }, { outcome: 'leader', reason: 'shared', count: 20 }] as const
  const fails = route({ counts: [470, 0, 0, 0, 140, 0, 0, 0], reasons: failed })
  t.strictSame(told({ routes: [fails] }), ['bad GET /word fails: 97 % of 610 requests'])
  t.strictSame(told({ routes: [route({ counts: [0, 0, 0, 0, 19, 0, 0, 0], reasons: [{ outcome: 'leader', reason: 'failed', count: 19 }] })] }), [], 'of too few requests')
  t.strictSame(told({ routes: [route({ counts: [0, 0, 0, 0, 40, 0, 0, 0], reasons: [{ outcome: 'leader', reason: 'failed', count: 20 }] })] }), [], 'half of them')
  t.strictSame(told({ routes: [route({ counts: [0, 0, 100, 0, 0, 0, 0, 0], reasons: [{ outcome: 'stale', reason: 'stale-if-error', count: 80 }] })] }), ['bad GET /word fails behind its cache: 80 % of 100 requests'])
  const shed = [{ outcome: 'shed', reason: 'breaker-open', count: 80 }, { outcome: 'leader', reason: 'shared', count: 17 }, { outcome: 'shed', reason: 'queue-full', count: 3 }] as const
  t.strictSame(told({ routes: [route({ counts: [0, 0, 0, 0, 17, 0, 0, 83], reasons: shed })] }), ['bad GET /word refuses 83 %: breaker-open'])

  t.strictSame(told({ routes: [fails] }, { 'requests GET /word': 100 }), [], 'that was long ago')
  t.strictSame(told({ routes: [route({ counts: [9000, 0, 0, 0, 0, 0, 0, 0] })] }, { 'requests GET /word': 100, 'failed GET /word': 51 }), ['bad GET /word fails: 51 % of 100 requests'])
})

t.test('no route, and routes that are switched off, are told', async t => {
  t.strictSame(told({ routes: [] }), ['warn No route is coalesced yet'])
  t.strictSame(told({ mode: 'off', routes: [route({ state: 'off' })] }), ['bad Coalescing is switched off: each request runs its own handler'])
})

t.test('a breaker says when it tries again, and of how many circuits', async t => {
  t.strictSame(told({ breakers: [breaker({ retryAfter: 0 }), breaker({ retryAfter: null as unknown as number }), breaker({ state: 'half-open' }), breaker({ states: { open: 2, closed: 7, 'half-open': 1 } })] }), [
    'bad Breaker db is open, the next run tries', 'bad Breaker db is open, until it is closed by hand', 'bad Breaker db is open for 2 of 10, tries again in 4 s',
    'warn Breaker db is half-open, one run tries at a time'
  ])
})

t.test('a queue in which runs wait is told, and one that refuses is a problem', async t => {
  t.strictSame(told({ queues: [queue(1)] }), ['warn 1 run waits in queue db: 20 of 20 run'])
  t.strictSame(told({ queues: [queue(1)] }, { 'queue db': 7 }), ['bad Queue db refused 7 runs in the last minute'])
})

t.test('a coordinator and a store that cannot be asked, or fail, are told', async t => {
  t.strictSame(told({ coordinators: [coordinator(true)], stores: [store(true), store(false)] }, { 'store 1': 1 }), [
    'bad The coordinator cannot be asked: each process runs for itself', 'bad The store cannot be asked: nothing is read or written',
    'warn The store did not answer 1 time in the last minute'
  ])
})

t.test('what is near its limit, and a run that takes long while others wait, are told', async t => {
  const totals = { ...state().totals, flights: 79, waiters: 80, bytes: 100 }
  t.strictSame(told({ totals, limits: FEW, flights: [{ method: 'GET', route: '/feed', age: 20_000, waiters: 9, phase: 'streams' }, { method: 'GET', route: '/word', age: 12_000, waiters: 1, phase: 'runs' }] }), [
    'bad 100 of at most 100 bytes of streams (maxRecordedBytes)', 'warn 80 of at most 100 waiting requests (maxWaiters)',
    'warn 1 request waits for a run of GET /word that takes 12 s'
  ])
})

t.test('of what went wrong long ago nothing is said, and of what goes wrong just now only if it is a part that counts', async t => {
  t.strictSame(told({}, { 'wait-timeout GET /word': 3, 'requests GET /word': 200 }), ['warn GET /word: wait-timeout, 3 times in the last minute'])
  t.strictSame(told({}, { 'wait-timeout GET /word': 2, 'requests GET /word': 200 }), [])
})

t.test('what should not grow is counted by name', async t => {
  const reasons = [{ outcome: 'alone', reason: 'wait-timeout', count: 2 }, { outcome: 'follower', reason: 'wait-timeout', count: 3 }] as const
  const counted = counters(state({ stores: [store(false, 3)], coordinators: [coordinator(false)], queues: [queue(0, 7)], routes: [route({ reasons, counts: [5, 0, 0, 0, 0, 0, 0, 0] })] }))
  t.strictSame(Object.fromEntries(counted), {
    'store 0': 6, 'coordinator 0': 2, 'queue db': 7, 'requests GET /word': 5, 'max-flights GET /word': 0, 'max-waiters GET /word': 0, 'wait-timeout GET /word': 5, 'flight-timeout GET /word': 0, 'shed GET /word': 0, 'failed GET /word': 0, 'stale-if-error GET /word': 0
  })
})

t.test('names of others are cut, and at most forty sentences are made', async t => {
  const routes = Array.from({ length: 60 }, (_, index) => route({ route: `/${index}`.padEnd(2000, 'x'), state: 'off' }))
  const found = problems(state({ routes }), () => 0)
  t.equal(found.length, 40)
  t.ok(found.every(({ text }) => text.length < 120))
})
