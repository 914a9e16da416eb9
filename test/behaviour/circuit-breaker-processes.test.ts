/**
 * "Each process has its own breaker: one whose breaker is open does not lead for others, and may have what others run for."
 */
import t, { type Test } from 'tap'
import { circuitBreaker, runQueue } from '../../lib/index.js'
import type { CoalesceRouteOptions, Entry, Joining, RequestCoalesce, Store } from '../../types/index.js'
import { distinct } from '../fixtures/crowd.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'
import { MemoryHub } from '../fixtures/memory-coordinator.js'
import { serve, type Answer, type Pending } from '../fixtures/server.js'

const SHOP = { headers: { host: 'shop.test' } }

/** Processes with the same app. Messages between them arrive while the test waits. */
async function processes (t: Test, route: CoalesceRouteOptions = {}) {
  const clock = new TestClock()
  const hub = new MemoryHub(clock, { lease: 60_000, limit: 10_000, latency: 1_000 })
  const start = async (name: string) => {
    const breaker = circuitBreaker({ consecutive: 1, clock })
    const queue = runQueue({ maxRuns: 5, clock })
    const coordinator = hub.coordinator()
    const joins: Array<Joining['as']> = []
    const { join } = coordinator
    coordinator.join = joining => {
      joins.push(joining.as)
      return join.call(coordinator, joining)
    }
    const served: Array<Pick<RequestCoalesce, 'outcome' | 'reason'>> = []
    const entries = new Map<string, Entry>()
    const slow: { gate: Gate | undefined } = { gate: undefined }
    const store: Store = {
      open: () => ({ ...store, ready: async () => {}, purge () {}, close: async () => {} }),
      get: key => slow.gate === undefined ? entries.get(key) : slow.gate.promise.then(() => entries.get(key)),
      set: entry => { entries.set(entry.key, entry) },
      delete: key => { entries.delete(key) }
    }
    const state: { opening: Gate | undefined, runs: number } = { opening: undefined, runs: 0 }
    const server = await serve(t, app => {
      app.addHook('onResponse', async ({ coalesce }) => {
        if (coalesce !== undefined) served.push({ outcome: coalesce.outcome, reason: coalesce.reason })
      })
      app.get('/', { config: { coalesce: { ttl: '1s', breaker, queue, ...route } } }, async () => {
        state.runs++
        await state.opening?.promise
        return `of ${name}`
      })
    }, { clock, coordinator, store, storeTimeout: '1h' })
    /** In an object, because a promise of a promise is one of its value. */
    const asks = async (): Promise<{ answer: Pending }> => {
      const { totalRequests } = server.app.coalesce.stats()
      const answer = server.get('/', SHOP)
      await server.arrived(totalRequests + 1)
      return { answer }
    }
    return Object.assign(server, { asks, breaker, queue, coordinator, joins, served, slow, state })
  }
  /** Lets messages through until that has happened. */
  const comes = async (what: () => boolean): Promise<void> => {
    await until(() => {
      for (const wire of hub.wires) wire.deliver()
      return what()
    })
  }
  const answers = async ({ answer }: { answer: Pending }): Promise<Answer> => {
    let isOver = false
    answer.then(() => { isOver = true })
    await comes(() => isOver)
    return await answer
  }
  /** Whatever is on its way arrives. */
  const settled = async (): Promise<void> => {
    let calm = 0
    await comes(() => (calm = hub.wires.length === 0 ? calm + 1 : 0) > 5)
  }
  return { clock, hub, answers, comes, settled, one: await start('one'), two: await start('two') }
}

t.test('a process whose breaker is open does not claim, and answers 503 if nobody else runs', async t => {
  const { answers, hub, one } = await processes(t)
  one.breaker.open()
  t.equal((await answers(await one.asks())).status, 503)
  t.strictSame([one.joins, one.state.runs, hub.left.runs], [['follower'], 0, 0])
})

t.test('it follows a run of another process, which takes no slot and tells its breaker nothing', async t => {
  const { answers, comes, one, settled, two } = await processes(t)
  const opening = two.state.opening = gate()
  const led = await two.asks()
  await comes(() => two.state.runs === 1)
  one.breaker.open()
  const asked = [await one.asks(), await one.asks()]
  await comes(() => one.joins.length === 1)
  await settled()
  t.strictSame([one.queue.running, one.queue.waiting], [0, 0])
  opening.open()
  t.strictSame(distinct((await Promise.all([led, ...asked].map(answers))).map(({ status, body }) => [status, body])), [[200, 'of two']])
  await until(() => one.served.length === 2)
  t.strictSame(distinct(one.served), [{ outcome: 'peer', reason: 'shared' }])
  t.strictSame([one.breaker.figures().runs, one.state.runs, one.joins], [{ good: 0, failed: 0, neutral: 0 }, 0, ['follower']])
})

t.test('what is stale is served at once, without asking others', async t => {
  const { answers, clock, one } = await processes(t, { staleIfError: '10m' })
  t.equal((await answers(await one.asks())).body, 'of one')
  one.breaker.open()
  clock.advance(1_500)
  const { length } = one.joins
  t.equal((await answers(await one.asks())).body, 'of one')
  await until(() => one.served.length === 2)
  t.strictSame([one.served[1], one.joins.length], [{ outcome: 'stale', reason: 'breaker-open' }, length])
})

t.test('who follows a run that is lost passes its own protection', async t => {
  const { answers, comes, one, settled, two } = await processes(t)
  two.state.opening = gate()
  const led = await two.asks()
  await comes(() => two.state.runs === 1)
  const asked = await one.asks()
  await comes(() => one.joins.length === 1)
  await settled()
  one.breaker.open()
  led.answer.catch(() => {})
  led.answer.request.destroy()
  await two.coordinator.close()
  t.equal((await answers(asked)).status, 503)
  t.equal(one.state.runs, 0)
  two.state.opening.open()
})

t.test('one that claimed before its breaker opened gives its lease back, and what its fallback makes stays with it', async t => {
  const { answers, hub, one, two } = await processes(t, { fallback: () => 'instead' })
  const first = await one.asks()
  one.breaker.open()
  // It has the place of the leader when the other one asks.
  const second = await two.asks()
  t.equal((await answers(first)).body, 'instead')
  t.equal((await answers(second)).body, 'of two')
  t.strictSame([one.state.runs, two.state.runs, hub.left], [0, 1, { runs: 0, waiters: 0, notes: 0 }])
})

t.test('one whose breaker is closed while a slow store is asked leads for all', async t => {
  const { answers, comes, one, settled, two } = await processes(t)
  one.breaker.open()
  one.slow.gate = gate()
  const opening = one.state.opening = gate()
  const first = await one.asks()
  one.breaker.close()
  one.slow.gate.open()
  await comes(() => one.state.runs === 1)
  const second = await two.asks()
  await comes(() => two.joins.length === 1)
  await settled()
  opening.open()
  t.strictSame([(await answers(first)).body, (await answers(second)).body], ['of one', 'of one'])
  t.strictSame([one.joins, two.state.runs], [['either'], 0])
})

t.test('one whose breaker opens while a slow store is asked gives back what it had claimed', async t => {
  const { answers, comes, hub, one, two } = await processes(t)
  one.slow.gate = gate()
  const first = await one.asks()
  await comes(() => hub.left.runs === 1)
  one.breaker.open()
  one.slow.gate.open()
  t.equal((await answers(first)).status, 503)
  t.equal(one.state.runs, 0)
  t.equal((await answers(await two.asks())).body, 'of two')
})

t.test('while its breaker is open a process does not keep others from refreshing', async t => {
  const { answers, clock, one } = await processes(t, { staleWhileRevalidate: '10m' })
  await answers(await one.asks())
  one.breaker.open()
  clock.advance(1_500)
  const { length } = one.joins
  t.equal((await answers(await one.asks())).body, 'of one')
  t.equal(one.joins.length, length)
})
