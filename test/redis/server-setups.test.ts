/**
 * "A test can have a cluster, and a master with a replica and Sentinels."
 */
import t from 'tap'
import { redisCluster } from '../fixtures/redis/cluster.js'
import { redisSentinel } from '../fixtures/redis/sentinel.js'
import { withServer } from '../fixtures/redis/server.js'

t.test('a cluster has three nodes, and slots move between them', withServer, async t => {
  const { nodes, ownerOf, move } = await redisCluster(t)
  // The slot of `a`.
  const from = await ownerOf(15_495)
  const [to] = nodes as [typeof from]
  t.not(from, to)
  await from.command('SET', 'a', 1)
  await move(15_495, to)
  t.equal(await ownerOf(15_495), to)
  t.equal(await to.command('GET', 'a'), '1')
  await t.rejects(from.command('GET', 'a'), { message: /^MOVED 15495 / })
})

t.test('a Sentinel makes the replica the master', withServer, async t => {
  const { servers: [first, second], master, failover } = await redisSentinel(t)
  t.equal(await master(), first)
  await failover()
  t.equal(await master(), second)
  t.equal(await second.command('SET', 'a', 1), 'OK')
})
