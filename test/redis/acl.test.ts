/**
 * "The user that the docs describe may do all that a coordinator and a store do, and nothing to others' keys."
 */
import { Redis } from 'ioredis'
import t from 'tap'
import { deduplicate } from '../../lib/index.js'
import { redisStore } from '../../lib/redis/store/store.js'
import { until } from '../fixtures/gate.js'
import { page } from '../fixtures/markdown.js'
import { message, peerOf, type Peer } from '../fixtures/redis/peers.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

t.test('the rule of the docs is enough for coordinators and stores', withServer, async t => {
  const server = await redisServer(t)
  const rule = /^ACL (SETUSER coalesce .*)$/m.exec(page('docs/processes.md').text)?.[1]
  await server.command('ACL', ...(rule as string).split(' '))
  const { host, port } = server
  const user = (): Redis => new Redis({ host, port, username: 'coalesce', password: 'password', lazyConnect: true })
  const shared = { namespace: 'shop', secret: 'a secret of the tests', opTimeout: '2s' } as const

  const [one, two] = await Promise.all([0, 1].map(async () => await peerOf(t, server, { ...shared, client: user(), lease: 300 }).connected())) as [Peer, Peer]
  for (const size of [10, 100_000]) {
    const lease = await one.lead('a')
    const { fate } = await two.follow('a')
    await until(() => one.figures.renewals > 0)
    lease.land(message('x'.repeat(size)).make, { message: Buffer.from('note'), ttl: 1 })
    t.match(await fate, { message: /^x+/ })
  }
  const unwanted = await one.lead('b')
  const { run } = await two.follow('b')
  run.leave()
  unwanted.release()
  one.coordination.purge(['label'], false)
  await until(() => two.purged.length === 1)
  t.match([one, two].map(({ figures }) => figures.openings), [{ NOPERM: 0 }, { NOPERM: 0 }])

  const store = redisStore({ ...shared, client: user(), memory: false })
  t.teardown(async () => { await store.close() })
  const find = deduplicate(async (size: number) => 'x'.repeat(size), { key: size => size, ttl: '1m', name: 'find', store, storeTimeout: '2s' })
  // Until it is connected, nothing is stored.
  while (store.figures().misses === 0) {
    await find(1)
    await new Promise(resolve => setImmediate(resolve))
  }
  await until(() => store.figures().stored === 1)
  for (const size of [10, 100_000, 2_000_000]) {
    const { stored, hits } = store.figures()
    await find(size)
    await until(() => store.figures().stored > stored)
    await find(size)
    t.equal(store.figures().hits, hits + 1, `${size} bytes`)
    find.invalidate(size)
  }
  await store.delete('nothing')
  t.equal(store.figures().errors, 0)

  const denied = await server.command('ACL', 'LOG') as unknown[]
  t.strictSame(denied, [], 'and nothing was denied')
  const client = user()
  await client.connect()
  t.teardown(() => { client.disconnect() })
  await t.rejects(client.get('others:key'), { message: /NOPERM|No permissions/i })
  await t.rejects(client.publish('others', 'message'), { message: /NOPERM|No permissions/i })
})
