import t from 'tap'
import { waiting } from '../fixtures/endings.js'
import { gate, until } from '../fixtures/gate.js'
import { keeping } from '../fixtures/kept.js'

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
