import t from 'tap'
import { PassThrough } from 'node:stream'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { queue, times } from '../fixtures/crowd.js'
import { leave, outcomes, waiting } from '../fixtures/endings.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'
import { serve, type TestServer } from '../fixtures/server.js'

/** A handler that is run many times at once, and how many of its runs are under way. */
interface Crowded {
  readonly server: TestServer
  readonly clock: TestClock
  /** What Cache-Control says. */
  says: string
  running: number
  most: number
  runs: number
  /** Lets one run, or all, go on. */
  finish (count?: number): void
}

async function crowded (test: Parameters<typeof serve>[0], config: CoalesceRouteOptions = {}): Promise<Crowded> {
  const clock = new TestClock()
  const waiters: Array<() => void> = []
  const finish = (count = Infinity): void => { for (const go of waiters.splice(0, count)) go() }
  const state = { clock, says: 'no-store', running: 0, most: 0, runs: 0, finish }
  const server = await serve(test, app => {
    app.get('/', { config: { coalesce: config } }, async (_request, reply) => {
      const run = ++state.runs
      state.most = Math.max(state.most, ++state.running)
      await new Promise<void>(resolve => { waiters.push(resolve) })
      state.running--
      reply.header('cache-control', state.says)
      return `run ${run}`
    })
  }, { clock })
  return Object.assign(state, { server })
}

t.test('those who wait are released together, so many at a time', async t => {
  const crowd = await crowded(t, { releaseConcurrency: 4 })
  const answers = times(13, crowd.server, '/').map(send => send())
  await crowd.server.arrived(13)
  t.equal(crowd.running, 1)
  crowd.finish()
  await until(() => crowd.running === 4)
  t.equal(crowd.runs, 5)
  // One that ends makes room for one.
  crowd.finish(1)
  await until(() => crowd.runs === 6)
  t.equal(crowd.running, 4)
  while (crowd.runs < 13) {
    const { runs } = crowd
    crowd.finish(4)
    await until(() => crowd.runs === Math.min(runs + 4, 13))
  }
  crowd.finish()
  t.equal(new Set((await Promise.all(answers)).map(({ body }) => body)).size, 13)
  t.equal(crowd.most, 4)
  t.same(await outcomes(crowd.server.app), { 'leader no-store': 1, 'alone no-store': 12 })
})

t.test('by default 64 run at a time', async t => {
  const crowd = await crowded(t)
  const answers = times(101, crowd.server, '/').map(send => send())
  await crowd.server.arrived(101)
  crowd.finish()
  await until(() => crowd.running === 64)
  crowd.finish()
  await until(() => crowd.runs === 101)
  crowd.finish()
  await Promise.all(answers)
  t.equal(crowd.most, 64)
})

t.test('a client that leaves while it waits for its turn costs no run', async t => {
  const crowd = await crowded(t, { releaseConcurrency: 1 })
  const { app } = crowd.server
  const [leader, first, second, third] = await queue(crowd.server, times(4, crowd.server, '/'))
  crowd.finish()
  await until(() => crowd.runs === 2)
  // One runs, and two wait for their turn.
  if (second !== undefined) await leave(second)
  while ((await outcomes(app))['follower client-left'] !== 1) await new Promise(resolve => setImmediate(resolve))
  crowd.finish()
  await until(() => crowd.runs === 3)
  crowd.finish()
  t.same((await Promise.all([leader, first, third])).map(answer => answer?.body), ['run 1', 'run 2', 'run 3'])
  t.equal(crowd.runs, 3)
})

t.test('a run that does not end gives its place up when its time is over', async t => {
  const crowd = await crowded(t, { releaseConcurrency: 1 })
  const answers = times(3, crowd.server, '/').map(send => send())
  await crowd.server.arrived(3)
  crowd.finish()
  await until(() => crowd.runs === 2)
  crowd.clock.advance(60_000)
  await until(() => crowd.runs === 3)
  crowd.finish()
  await Promise.all(answers)
  t.equal(crowd.most, 2)
})

t.test('a key that was unshareable parks nobody for a while', async t => {
  const crowd = await crowded(t, { unshareableTtl: 1000 })
  // What is kept at the moment 0 is kept forever by lru-cache.
  crowd.clock.advance(1)
  const burst = async (arrived: number): Promise<number> => {
    crowd.runs = 0
    const answers = times(5, crowd.server, '/').map(send => send())
    await crowd.server.arrived(arrived)
    const atOnce = crowd.runs
    crowd.finish()
    await until(() => crowd.runs === 5)
    crowd.finish()
    await Promise.all(answers)
    return atOnce
  }
  t.equal(await burst(5), 1)
  t.equal(await burst(10), 5)
  crowd.clock.advance(1001)
  t.equal(await burst(15), 1, 'the memory ends')
  t.match(await outcomes(crowd.server.app), { 'bypass unshareable': 5 })
})

t.test('one shareable response clears the memory', async t => {
  const crowd = await crowded(t)
  const once = async (): Promise<void> => {
    const { runs } = crowd
    const answer = crowd.server.get('/')
    await until(() => crowd.runs > runs)
    crowd.finish()
    await answer
  }
  await once()
  crowd.says = 'public'
  await once()
  crowd.runs = 0
  const answers = times(5, crowd.server, '/').map(send => send())
  await crowd.server.arrived(7)
  crowd.finish()
  t.equal(new Set((await Promise.all(answers)).map(({ body }) => body)).size, 1)
  t.equal(crowd.runs, 1)
})

t.test('a failure does not clear the memory', async t => {
  let says: 'no-store' | 'broken' = 'no-store'
  let opening = gate()
  opening.open()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (_request, reply) => {
      runs++
      await opening.promise
      if (says === 'broken') throw new Error('broken')
      reply.header('cache-control', says)
      return 'own'
    })
  })
  await server.get('/')
  says = 'broken'
  await server.get('/')
  says = 'no-store'
  opening = gate()
  runs = 0
  const answers = times(3, server, '/').map(send => send())
  await server.arrived(5)
  t.equal(runs, 3)
  opening.open()
  await Promise.all(answers)
})

t.test('one key\'s memory is not another one\'s', async t => {
  const crowd = await crowded(t)
  const first = crowd.server.get('/')
  await until(() => crowd.runs === 1)
  crowd.finish()
  await first
  const answers = times(3, crowd.server, '/?other').map(send => send())
  await crowd.server.arrived(4)
  t.equal(crowd.runs, 2)
  crowd.finish()
  await until(() => crowd.runs === 4)
  crowd.finish()
  await Promise.all(answers)
})

t.test('followers are let go as soon as the headers are known', async t => {
  const bodies: PassThrough[] = []
  const opening = gate()
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (_request, reply) => {
      await opening.promise
      const body = new PassThrough()
      bodies.push(body)
      reply.header('cache-control', 'private')
      return body
    })
  })
  const answers = times(3, server, '/').map(send => send())
  await server.arrived(3)
  await waiting(server.app, 2)
  opening.open()
  await until(() => bodies.length === 3)
  t.same(bodies.map(body => body.writableEnded), [false, false, false])
  for (const body of bodies) body.end('done')
  t.same((await Promise.all(answers)).map(({ body }) => body), ['done', 'done', 'done'])
})

t.test('twenty who wait for a response that is for nobody else take two handler times the first time, one the second', async t => {
  let waves: Gate[] = []
  let running = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (_request, reply) => {
      running++
      await waves.at(-1)?.promise
      reply.header('cache-control', 'no-store')
      return 'own'
    })
  })
  /** How many runs are under way at once, one time of the handler after the other. */
  const burst = async (...expected: readonly number[]): Promise<void> => {
    const { totalRequests } = server.app.coalesce.stats()
    waves = [gate()]
    const answers = times(21, server, '/').map(send => send())
    await server.arrived(totalRequests + 21)
    for (const count of expected) {
      await until(() => running === count, `${count} runs at once; ${running} are`)
      running = 0
      waves.push(gate())
      waves.at(-2)?.open()
    }
    for (const { status, body } of await Promise.all(answers)) t.same([status, body], [200, 'own'])
    t.equal(running, 0)
  }
  await burst(1, 20)
  await burst(21)
})
