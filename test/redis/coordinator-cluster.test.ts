/**
 * "In a cluster, processes meet at each lane's own node."
 */
import { Cluster } from 'ioredis'
import t from 'tap'
import { until } from '../fixtures/gate.js'
import { redisCluster } from '../fixtures/redis/cluster.js'
import { inShort, leftIn, message, peerOf } from '../fixtures/redis/peers.js'
import { withServer, type RedisServer } from '../fixtures/redis/server.js'

t.test('processes meet in a cluster', withServer, async t => {
  const { nodes } = await redisCluster(t)
  const [node] = nodes as [RedisServer]
  const client = (): Cluster => new Cluster([{ host: node.host, port: node.port }], { lazyConnect: true })
  const [one, two] = [peerOf(t, node, { client: client(), opTimeout: 500 }), peerOf(t, node, { client: client(), opTimeout: 500 })]
  await one.connected()
  await two.connected()
  for (let count = 0; count < 20; count++) {
    const text = count % 2 === 0 ? `${count}` : 'x'.repeat(100_000)
    const lease = await one.lead(`key ${count}`, { labels: ['a'] })
    const { fate } = await two.follow(`key ${count}`, { labels: ['a'] })
    lease.land(message(text).make)
    t.strictSame(await fate, { message: inShort(text) })
  }
  const old = await Promise.all(Array.from({ length: 20 }, async (_, count) => await one.lead(`old ${count}`, { labels: ['a'] })))
  two.coordination.purge(['a'], false)
  await until(() => one.purged.length === 1)
  for (let count = 0; count < 20; count++) (await two.lead(`old ${count}`, { labels: ['a'], as: 'leader' })).release()
  for (const lease of old) lease.release()
  await one.lead('last')
  const { fate } = await two.follow('last')
  await one.coordination.close()
  t.strictSame(await fate, { lost: 'released' })
  await two.coordination.close()
  for (const each of nodes) t.strictSame((await leftIn(each)).keys, [])
})
