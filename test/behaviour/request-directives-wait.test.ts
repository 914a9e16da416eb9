import t from 'tap'
import { grounded, outcomes, waiting } from '../fixtures/endings.js'
import { gate, until } from '../fixtures/gate.js'
import { keeping } from '../fixtures/kept.js'
import type { Pending } from '../fixtures/server.js'

t.test('who wants nothing kept is not given what is stale when its patience ends, whoever leads', async t => {
  const opening = gate()
  const server = await keeping(t, {
    route: { ttl: '10s', staleIfError: '10m', waitTimeout: '1s', onWaitTimeout: 'error', respectRequestCacheControl: true },
    handler: async run => {
      if (run > 1) await opening.promise
      return { run }
    }
  })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  const leader = server.get('/thing/1')
  await until(() => server.runs() === 2)
  const followers = [server.get('/thing/1'), server.get('/thing/1', { headers: { 'cache-control': 'no-cache' } })]
  await waiting(server.app, 2)
  server.clock.advance(1_500)
  t.match(await Promise.all(followers), [{ status: 200, body: '{"run":1}' }, { status: 503 }])
  opening.open()
  t.match(await leader, { body: '{"run":2}' })
})

t.test('who wants only what is kept gets 504 and no run, though others run or wait', async t => {
  for (const limits of [{}, { maxWaiters: 1 }, { maxWaitersPerKey: 1 }]) {
    const opening = gate()
    const server = await keeping(t, {
      route: { waitTimeout: '1s', respectRequestCacheControl: true },
      options: limits,
      handler: async (run, _request, reply) => {
        await opening.promise
        reply.header('set-cookie', 'a=b')
        return { run }
      }
    })
    const ask = (): Pending => server.get('/thing/1', { headers: { 'cache-control': 'only-if-cached' } })
    const leader = server.get('/thing/1')
    await until(() => server.runs() === 1)
    const wanting = [ask(), ask()]
    await server.arrived(3)
    opening.open()
    t.match(await leader, { status: 200 })
    t.match(await Promise.all(wanting), [{ status: 504 }, { status: 504 }])
    t.match(await ask(), { status: 504 }, 'of what is known to be unshareable as well')
    t.equal(server.runs(), 1)
    t.match(await outcomes(server.app), { 'bypass only-if-cached': 3 })
    await grounded(server.app)
    await server.close()
  }
})

t.test('who wants only what is kept takes over from nobody, nor runs when its patience ends', async t => {
  const opening = gate()
  const server = await keeping(t, {
    route: { waitTimeout: '1s', respectRequestCacheControl: true },
    handler: async run => {
      await opening.promise
      return { run }
    }
  })
  const ask = (): Pending => server.get('/thing/1', { headers: { 'cache-control': 'only-if-cached' } })
  const leader = server.get('/thing/1')
  await until(() => server.runs() === 1)
  const impatient = ask()
  await waiting(server.app, 1)
  server.clock.advance(1_500)
  t.match(await impatient, { status: 504 })
  const served = ask()
  await waiting(server.app, 1)
  opening.open()
  t.match(await Promise.all([leader, served]), [{ body: '{"run":1}' }, { status: 200, body: '{"run":1}' }])
  t.equal(server.runs(), 1)
})
