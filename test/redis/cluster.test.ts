/**
 * "In a cluster each command and each channel finds its node, also where that has just become another."
 */
import { Cluster } from 'ioredis'
import { Cluster as ValkeyCluster } from 'iovalkey'
import { createCluster } from 'redis'
import t, { type Test } from 'tap'
import { clientOf } from '../../lib/redis/clients/connect.js'
import { slotOf } from '../../lib/redis/clients/slots.js'
import { until } from '../fixtures/gate.js'
import { redisCluster, type RedisCluster } from '../fixtures/redis/cluster.js'
import { listening, type Listening } from '../fixtures/redis/listening.js'
import type { RedisServer } from '../fixtures/redis/server.js'
import { withServer } from '../fixtures/redis/server.js'

/** Sixteen lanes: some are each node's. */
const LANES = Array.from({ length: 16 }, (_, lane) => `{${lane}}:in:me`)

type Nodes = ReadonlyArray<{ readonly host: string, readonly port: number }>

const CLIENTS: Readonly<Record<string, (nodes: Nodes) => object>> = {
  // It begins at names that the nodes do not know themselves by.
  ioredis: nodes => new Cluster(nodes.map(({ port }) => ({ host: 'localhost', port })), {
    lazyConnect: true, keyPrefix: 'app:', dnsLookup: (address, callback) => { callback(null, address) }
  }),
  iovalkey: nodes => new ValkeyCluster(nodes.map(({ host, port }) => ({ host, port })), { lazyConnect: true, keyPrefix: 'app:' }),
  'node-redis': nodes => createCluster({ rootNodes: nodes.map(socket => ({ socket: { host: socket.host, port: socket.port } })), keyPrefix: 'app:', defaults: { socket: { connectTimeout: 5000 } } })
}

t.test('in a cluster', withServer, async t => {
  const cluster = await redisCluster(t)
  for (const [name, client] of Object.entries(CLIENTS)) await t.test(`with ${name}`, async t => { await suite(t, cluster, client) })
})

async function suite (t: Test, cluster: RedisCluster, client: (nodes: Nodes) => object): Promise<void> {
  const { nodes } = cluster
  const start = (t: Test, of: Nodes = nodes.slice(0, 1)): Listening => listening(t, clientOf(client(of), 'client'), LANES)

  await t.test('it is known for one, with its prefix', async t => {
    const { isCluster, keyPrefix } = clientOf(client(nodes), 'client')
    t.strictSame([isCluster, keyPrefix], [true, 'app:'])
  })

  await t.test('commands go to the node of their key, and messages come from it', async t => {
    const { connection, events, messages, failures, ready } = start(t)
    t.equal(connection.isCluster, true)
    await t.rejects(connection.send('a', [['PING']]), { message: 'it is not known which node has the key' })
    await ready()
    t.strictSame(events.toSorted(), ['inboxReady', 'ready'])
    for (const [lane, channel] of LANES.entries()) {
      const key = `{${lane}}:${lane}`
      const replies = await connection.send(key, [
        ['SET', key, lane], ['GET', key], ['INCRBY', key, 'x'], ['SPUBLISH', channel, new Uint8Array([lane, 255])], ['PUBSUB', 'SHARDNUMSUB', channel],
        ['EVAL', 'return redis.call("SPUBLISH", KEYS[1], ARGV[1])', 1, channel, 'script']
      ])
      t.match(replies, [Buffer.from('OK'), Buffer.from(String(lane)), { message: /^ERR/ }, 1, [Buffer.from(channel), 1], 1])
    }
    await until(() => messages.length === 2 * LANES.length)
    for (const [lane, channel] of LANES.entries()) {
      t.strictSame(messages.filter(([heard]) => heard === channel).map(([, message]) => message), [Buffer.from([lane, 255]), Buffer.from('script')])
    }
    t.strictSame(failures, [])
  })

  await t.test('a slot that moves takes its commands and its channel along, and nothing is done twice', async t => {
    const { connection, events, messages, ready } = start(t)
    await ready()
    events.length = 0
    const channel = LANES[7] as string
    const slot = slotOf(channel)
    const from = await cluster.ownerOf(slot)
    const to = nodes.find(node => node !== from) as RedisServer
    await connection.send('{7}', [['DEL', '{7}:n', '{7}:new', '{7}:other'], ['SET', '{7}:n', 0]])
    await cluster.move(slot, to, async () => {
      // What is there stays until it is moved; what is not is asked for where it will be.
      t.strictSame(await connection.send('{7}', [['INCR', '{7}:n'], ['INCR', '{7}:new'], ['INCR', '{7}:n'], ['INCR', '{7}:new']]), [1, 1, 2, 2])
    })
    t.strictSame(await connection.send('{7}', [['INCR', '{7}:n'], ['INCR', '{7}:new'], ['INCR', '{7}:other']]), [3, 3, 1])
    await until(() => connection.isReady && connection.isInboxReady)
    const heard = async (): Promise<boolean> => (await connection.send('{7}', [['SPUBLISH', channel, 'moved']]))[0] === 1
    while (!await heard());
    await until(() => messages.length > 0)
    t.strictSame(messages[0], [channel, Buffer.from('moved')])
    t.strictSame(events.filter(event => event.startsWith('inbox')), ['inboxClosed', 'inboxReady'], 'messages may have been missed')
    await cluster.move(slot, from)
    t.strictSame(await connection.send('{7}', [['GET', '{7}:n']]), [Buffer.from('3')])
    while (!await heard());
  })

  await t.test('a node that dies is told of, and comes back', async t => {
    const { connection, events, ready } = start(t, nodes)
    await ready()
    events.length = 0
    const [, node] = nodes as [RedisServer, RedisServer]
    await node.kill()
    await until(() => events.length === 2)
    t.strictSame(events.splice(0).toSorted(), ['closed', 'inboxClosed'])
    const lane = LANES.find(channel => slotOf(channel) < 5000) as string
    t.strictSame(await connection.send(lane, [['ECHO', 'other nodes answer']]), [Buffer.from('other nodes answer')])
    await node.start()
    await ready()
    t.strictSame(events.toSorted(), ['inboxReady', 'ready'])
    await cluster.fine()
  })

  await t.test('a channel that may not be heard is told of, and heard once that is allowed', async t => {
    const [first] = nodes as [RedisServer]
    await first.command('ACL', 'SETUSER', 'default', 'resetchannels')
    const { failures, events, ready } = start(t)
    await until(() => failures.length > 0)
    t.match(failures[0]?.message, /^NOPERM/)
    t.notOk(events.includes('inboxReady'))
    await first.command('ACL', 'SETUSER', 'default', 'allchannels')
    await ready()
  })

  await t.test('connections that are killed come back', async t => {
    const { connection, events, ready } = start(t)
    await ready()
    events.length = 0
    for (const node of nodes) await node.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await until(() => events.includes('inboxReady'))
    t.strictSame(events.splice(0), ['inboxClosed', 'inboxReady'])
    for (const node of nodes) await node.command('CLIENT', 'KILL', 'TYPE', 'normal')
    await until(() => events.includes('ready'))
    t.strictSame(events.splice(0), ['closed', 'ready'])
    t.ok(connection.isInboxReady)
  })

  await t.test('nothing is left when it closes, and a cluster that is not there is told of', async t => {
    const { connection, ready } = start(t)
    await ready()
    await connection.close()
    t.equal(connection.isReady || connection.isInboxReady, false)
    await start(t).connection.close()
    const none = start(t, [{ host: '127.0.0.1', port: 1 }])
    await until(() => none.failures.length > 0)
    t.strictSame(none.events, [])
    await none.connection.close()
    for (const node of nodes) {
      for (let left = 1; left > 0;) left = (await node.clients()).filter(({ flags }) => flags === 'N' || flags === 'P').length
    }
  })
}
