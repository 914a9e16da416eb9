import t, { type Test } from 'tap'
import type { CoalesceOptions } from '../../types/index.js'
import { TestClock } from '../fixtures/gate.js'
import { outcomes } from '../fixtures/endings.js'
import { mapStore } from '../fixtures/kept.js'
import { serve } from '../fixtures/server.js'

async function start (t: Test, options: CoalesceOptions = {}) {
  const clock = new TestClock()
  const state = { runs: 0, failing: false }
  const server = await serve(t, app => {
    app.get('/word', async () => {
      state.runs++
      if (state.failing) throw new Error('down')
      return `run ${state.runs}`
    })
  }, { clock, global: true, ttl: '10s', staleWhileRevalidate: '10s', staleIfError: '60s', respectRequestCacheControl: true, ...options })
  const ask = async (cacheControl?: string, name = 'cache-control') => {
    const { status, body } = await server.get('/word', { headers: cacheControl === undefined ? {} : { [name]: cacheControl } })
    return status === 200 ? body : String(status)
  }
  return Object.assign(server, { clock, state, ask })
}

t.test('without the option a request asks for nothing', async t => {
  const { ask } = await start(t, { respectRequestCacheControl: false })
  await ask()
  for (const directive of ['no-cache', 'no-store', 'max-age=0', 'min-fresh=100']) t.equal(await ask(directive), 'run 1', directive)
})

t.test('no-cache runs the handler, and what that brings is kept', async t => {
  const { ask } = await start(t)
  await ask()
  t.equal(await ask('no-cache'), 'run 2')
  t.equal(await ask(), 'run 2')
  t.equal(await ask('no-cache', 'pragma'), 'run 3')
})

t.test('no-store bypasses', async t => {
  const server = await start(t)
  await server.ask()
  t.equal(await server.ask('no-store'), 'run 2')
  t.equal(await server.ask(), 'run 1')
  t.match(await outcomes(server.app), { 'bypass request-no-store': 1 })
})

t.test('max-age and min-fresh want what is young', async t => {
  const { ask, clock } = await start(t)
  await ask()
  clock.advance(5000)
  t.equal(await ask('max-age=5'), 'run 1')
  t.equal(await ask('min-fresh=5'), 'run 1')
  t.equal(await ask('max-age=4'), 'run 2')
  clock.advance(5000)
  t.equal(await ask('min-fresh=6'), 'run 3')
})

t.test('max-stale takes what is stale, and only so stale', async t => {
  const { ask, clock } = await start(t, { staleWhileRevalidate: 0, staleIfError: '60s' })
  await ask()
  clock.advance(15_000)
  t.equal(await ask('max-stale=5'), 'run 1')
  t.equal(await ask('max-stale'), 'run 1')
  t.equal(await ask('max-stale=4'), 'run 2')
})

t.test('max-stale takes nothing where nothing is to be served stale', async t => {
  for (const [options, wanted] of [
    [{ staleWhileRevalidate: 0, staleIfError: 0 }, 'run 2'],
    [{ staleWhileRevalidate: '1s', staleIfError: 0 }, 'run 1'],
    [{ staleWhileRevalidate: 0, staleIfError: '1s' }, 'run 1']
  ] as const) {
    const { ask, clock } = await start(t, { ...options, store: mapStore() })
    await ask()
    clock.advance(15_000)
    t.equal(await ask('max-stale'), wanted, JSON.stringify(options))
  }
})

t.test('one that wants what is young is not given what is stale', async t => {
  const { ask, clock, state } = await start(t)
  await ask()
  clock.advance(11_000)
  t.equal(await ask('max-age=10'), 'run 2')
  t.equal(state.runs, 2)
})

t.test('only-if-cached gets what is kept, or 504 and no run', async t => {
  const { ask, clock, state } = await start(t)
  t.equal(await ask('only-if-cached'), '504')
  t.equal(state.runs, 0)
  await ask()
  t.equal(await ask('only-if-cached'), 'run 1')
  clock.advance(100_000)
  t.equal(await ask('only-if-cached'), '504')
})

t.test('stale-if-error may ask for less', async t => {
  const { ask, clock, state } = await start(t, { staleWhileRevalidate: 0 })
  await ask()
  clock.advance(20_000)
  state.failing = true
  t.equal(await ask('stale-if-error=9'), '500')
  t.equal(await ask('stale-if-error=11'), 'run 1')
})

t.test('the age that a response came with counts for max-age', async t => {
  let runs = 0
  const server = await serve(t, app => {
    app.get('/word', async (_request, reply) => reply.header('age', '4').send(`run ${++runs}`))
  }, { clock: new TestClock(), global: true, ttl: '10s', respectRequestCacheControl: true })
  const ask = async (cacheControl: string): Promise<string> => (await server.get('/word', { headers: { 'cache-control': cacheControl } })).body
  t.equal(await ask('max-age=4'), 'run 1')
  t.equal(await ask('max-age=4'), 'run 1')
  t.equal(await ask('max-age=3'), 'run 2')
})

t.test('what a route serves while it is refreshed is limited by max-stale and min-fresh, and not by max-age alone', async t => {
  for (const [directive, wanted] of [['max-age=100', 1], ['max-stale=2', 1], ['max-stale=1', 2], ['min-fresh=0', 2]] as const) {
    const server = await start(t, { staleIfError: 0 })
    await server.ask()
    server.clock.advance(12_000)
    t.equal(await server.ask(directive), `run ${wanted}`, directive)
  }
})

t.test('what was purged softly has no time left that it is fresh', async t => {
  const { app, ask } = await start(t)
  await ask()
  app.coalesce.invalidate({ route: '/word', soft: true })
  t.equal(await ask('min-fresh=1'), 'run 2')
  t.equal(await ask('min-fresh=1'), 'run 2')
})

t.test('max-stale does not take what was purged softly', async t => {
  const { app, ask } = await start(t, { staleWhileRevalidate: 0, staleIfError: 60_000 })
  await ask()
  app.coalesce.invalidate({ url: '/word', soft: true })
  t.equal(await ask('max-stale'), 'run 2')
})
