/**
 * "Processes meet over each client, over TLS, under a client's own key prefix, and behind Sentinels also when the master has become another."
 */
import { Redis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { until } from '../fixtures/gate.js'
import { inShort, leftIn, message, peerOf, type Peer } from '../fixtures/redis/peers.js'
import { redisSentinel } from '../fixtures/redis/sentinel.js'
import { redisServer, withServer, type RedisServer } from '../fixtures/redis/server.js'

const OPTIONS = { opTimeout: 1_000 }

async function pair (t: Test, server: RedisServer, client: () => object): Promise<[Peer, Peer]> {
  const [one, two] = [peerOf(t, server, { ...OPTIONS, client: client() }), peerOf(t, server, { ...OPTIONS, client: client() })]
  return [await one.connected(), await two.connected()]
}

/** Leads in one, follows in the other. */
async function meet (t: Test, [one, two]: readonly [Peer, Peer], key: string, text: string): Promise<void> {
  const lease = await one.lead(key, { labels: ['a'] })
  const { fate } = await two.follow(key, { labels: ['a'] })
  lease.land(message(text).make)
  t.strictSame(await fate, { message: inShort(text) })
}

const CLIENTS: Readonly<Record<string, (server: RedisServer) => object>> = {
  ioredis: ({ host, port }) => new Redis({ host, port, lazyConnect: true }),
  'ioredis with a key prefix': ({ host, port }) => new Redis({ host, port, keyPrefix: 'mine:', lazyConnect: true }),
  iovalkey: ({ host, port }) => new Valkey({ host, port, lazyConnect: true }),
  'node-redis': ({ host, port }) => createClient({ socket: { host, port } })
}

for (const [name, client] of Object.entries(CLIENTS)) {
  t.test(`processes meet over ${name}`, withServer, async t => {
    const server = await redisServer(t)
    const both = await pair(t, server, () => client(server))
    await meet(t, both, 'small', 'a result')
    await meet(t, both, 'large', 'x'.repeat(300_000))
    const [one, two] = both
    one.coordination.purge(['a'], false)
    await until(() => two.purged.length === 1)
    const keys = await server.command('KEYS', '*') as string[]
    t.ok(keys.length > 0 && keys.every(key => key.startsWith(name.includes('prefix') ? 'mine:coalesce:' : 'coalesce:')), keys.join())
    for (const { coordination } of both) await coordination.close()
    t.strictSame(await leftIn(server), { keys: [], channels: [] })
  })
}

t.test('processes meet over TLS', withServer, async t => {
  const server = await redisServer(t, { tls: true })
  const tls = { rejectUnauthorized: false }
  await meet(t, await pair(t, server, () => new Redis({ host: server.host, port: server.port, tls, lazyConnect: true })), 'k', 'a result')
})

t.test('behind Sentinels those who wait are told, and processes meet again, when the master has become another', withServer, async t => {
  const { name, sentinels, master, failover } = await redisSentinel(t, { sentinels: 3 })
  const where = { sentinels: sentinels.map(({ host, port }) => ({ host, port })), name, failoverDetector: true, lazyConnect: true }
  const both = await pair(t, await master(), () => new Redis(where))
  await meet(t, both, 'before', 'a result')
  const [one, two] = both
  const lease = await one.lead('meanwhile')
  const { fate } = await two.follow('meanwhile')
  const before = await master()
  await failover()
  t.not(await master(), before)
  await Promise.all(both.map(async peer => await peer.connected()))
  lease.land(message('late').make)
  const ended = await fate
  t.ok('lost' in ended || ended.message === 'late', JSON.stringify(ended))
  await meet(t, both, 'after', 'a result')
})
