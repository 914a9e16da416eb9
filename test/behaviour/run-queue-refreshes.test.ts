/**
 * "A refresh in the background takes a slot, after all whom somebody waits for, and is not begun where there is no place."
 */
import t, { type Test } from 'tap'
import { deduplicate } from '../../lib/index.js'
import { until } from '../fixtures/gate.js'
import { protectedServer, type Protected, type ProtectedOptions } from '../fixtures/protected.js'

/** A server that has a response for `/run/a` that is stale and may be refreshed. */
async function stale (t: Test, queue: ProtectedOptions['queue'] = {}): Promise<Protected> {
  const server = await protectedServer(t, { queue: { aging: false, ...queue }, route: { ttl: '1s', staleWhileRevalidate: '600s' } })
  const { answer } = await server.begins('/run/a')
  server.runs.end('a', 'stale')
  await answer
  server.clock.advance(2000)
  await server.quiet()
  return server
}

t.test('it comes last', async t => {
  const server = await stale(t)
  const { runs } = server
  const { answer: other } = await server.begins('/run/other')
  const { answer: hit } = await server.waits(1, '/run/a?p=high')
  t.equal((await hit).body, 'stale')
  const { answer: low } = await server.waits(2, '/run/low?p=low')
  runs.end('other')
  await server.began('a', 'other', 'low')
  runs.end('low')
  await server.began('a', 'other', 'low', 'a')
  t.equal(server.queue.running, 1)
  runs.end('a', 'new')
  await server.quiet()
  await until(() => server.app.coalesce.stats().totalRequests > 0)
  t.equal((await server.get('/run/a')).body, 'new')
  await Promise.all([other, low])
})

t.test('it evicts nobody, is evicted by all, and that is no failure of its key: the next who is given what is stale tries again', async t => {
  const server = await stale(t, { maxQueued: 1 })
  const { queue, runs } = server
  const { answer: other } = await server.begins('/run/other')
  const { answer: low } = await server.waits(1, '/run/low?p=low')
  t.equal((await server.get('/run/a')).body, 'stale')
  t.equal(queue.waiting, 1)
  runs.end('other')
  await server.began('a', 'other', 'low')
  const { answer: hit } = await server.waits(1, '/run/a')
  t.equal((await hit).body, 'stale')
  const last = server.get('/run/last?p=low')
  await until(() => queue.figures().levels[2]?.shed.evicted === 1)
  runs.end('low')
  await server.began('a', 'other', 'low', 'last')
  t.equal(queue.waiting, 0)
  const { answer: again } = await server.waits(1, '/run/a')
  t.equal((await again).body, 'stale')
  runs.end('last')
  await server.began('a', 'other', 'low', 'last', 'a')
  runs.end('a', 'new')
  await server.quiet()
  await Promise.all([other, low, last])
  t.equal((await server.get('/run/a')).body, 'new')
})

t.test('it is dropped when its app closes, though others have the queue as well', async t => {
  const server = await stale(t)
  const { app, queue, runs } = server
  const call = app.coalesce.deduplicate(async (name: string) => await runs.run(name), { name: 'call', key: name => name, queue, ttl: '1s', staleWhileRevalidate: '600s' })
  const first = call('call')
  runs.end('call')
  await first
  server.clock.advance(2000)
  // Without an app.
  const other = deduplicate(async () => await runs.run('other'), { key: () => 'other', queue })()
  await (await server.waits(1, '/run/a', { headers: { connection: 'close' } })).answer
  await call('call')
  t.equal(queue.waiting, 2)
  await server.close()
  t.equal(queue.waiting, 0)
  runs.end('other')
  await other
  await server.quiet()
  t.strictSame(runs.names, ['a', 'call', 'other'])
})
