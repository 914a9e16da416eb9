/**
 * "Whatever client a user has, it makes the connections that this package needs of it."
 */
import { Redis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import { createClient, createClientPool, createSentinel } from 'redis'
import t from 'tap'
import type { Client } from '../../lib/redis/clients/client.js'
import { clientForUrl, clientOf, LOADERS } from '../../lib/redis/clients/connect.js'
import { until } from '../fixtures/gate.js'
import { listening } from '../fixtures/redis/listening.js'
import { tcpProxy } from '../fixtures/redis/proxy.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

interface Where {
  readonly host?: string
  readonly port?: number
  readonly path?: string
  readonly password?: string
  readonly tls?: boolean
  readonly keyPrefix?: string
}

/** The users' clients. None of them is ever connected. */
const CLIENTS: Readonly<Record<string, (where: Where) => object>> = {
  ioredis: ({ tls, ...where }) => new Redis({ lazyConnect: true, ...where, ...tls === true && { tls: { rejectUnauthorized: false } } }),
  'ioredis, protocol 2': ({ tls, ...where }) => new Redis({ lazyConnect: true, protocol: 2, ...where }),
  iovalkey: ({ tls, ...where }) => new Valkey({ lazyConnect: true, ...where, ...tls === true && { tls: { rejectUnauthorized: false } } }),
  'node-redis': ({ host, port, path, tls, ...options }) => createClient({
    ...options,
    socket: path !== undefined ? { path } : { host, port, ...tls === true && { tls: true, rejectUnauthorized: false } } as object
  }),
  'node-redis, protocol 2': ({ host, port, path, tls, ...options }) => createClient({ RESP: 2, ...options, socket: path !== undefined ? { path } : { host, port } as object })
}

for (const [name, client] of Object.entries(CLIENTS)) {
  const clientAt = (where: Where): Client => clientOf(client(where), 'client')

  t.test(`${name} sends commands in order, and has the server's errors among the replies`, withServer, async t => {
    const server = await redisServer(t)
    const { connection, events, ready } = listening(t, clientAt(server))
    t.equal(connection.isCluster, false)
    await t.rejects(connection.send('a', [['PING']]), { message: 'there is no connection' })
    await ready()
    t.strictSame(events.toSorted(), ['inboxReady', 'ready'])
    const bytes = Buffer.from([0, 13, 10, 255])
    const text = 'return {1, {"a"}, redis.status_reply("FINE"), false, redis.error_reply("BAD luck")}'
    const replies = await connection.send('a', [
      ['SET', 'a', new Uint8Array(bytes)], ['GET', 'a'], ['INCR', 'a'], ['GET', 'none'], ['EVAL', text, 0], ['NONSENSE'], ['EVALSHA', '0'.repeat(40), 0],
      ['HSET', 'h', 'field', 1.5], ['HGETALL', 'h'], ['SADD', 's', bytes], ['SMEMBERS', 's'], ['STRLEN', 'a'], ['SET', 'e', Buffer.alloc(0)], ['GET', 'e']
    ])
    const [, , wrong, , list, unknown, script] = replies
    t.strictSame([...replies.slice(0, 2), replies[3], ...replies.slice(7)], [
      Buffer.from('OK'), bytes, null, 1, [Buffer.from('field'), Buffer.from('1.5')], 1, [bytes], 4, Buffer.from('OK'), Buffer.alloc(0)
    ])
    t.strictSame((list as unknown[]).slice(0, 4), [1, [Buffer.from('a')], Buffer.from('FINE'), null])
    t.match(list, [1, [], Buffer, null, { message: 'BAD luck' }])
    t.match([wrong, unknown, script], [{ message: /^ERR value is not an integer/ }, { message: /^ERR unknown command/ }, { message: /^NOSCRIPT/ }])
    t.ok([wrong, unknown, script].every(error => error instanceof Error && !('command' in error)), 'none of them carries what was sent')
    const many = await Promise.all(Array.from({ length: 100 }, async (_, at) => await connection.send('n', [['INCR', 'n'], ['ECHO', at]])))
    t.strictSame(many, many.map((_, at) => [at + 1, Buffer.from(String(at))]))
  })

  t.test(`${name} hears messages as the bytes that they are`, withServer, async t => {
    const server = await redisServer(t)
    const { connection, messages, ready } = listening(t, clientAt(server))
    await ready()
    const large = Buffer.alloc(1024 * 1024, 'x')
    t.strictSame(await connection.send('a', [['PUBLISH', 'in:2', new Uint8Array([0, 255])], ['PUBLISH', 'in:3', 'x'], ['PUBLISH', 'in:1', large], ['PUBSUB', 'NUMSUB', 'in:1']]), [1, 0, 1, [Buffer.from('in:1'), 1]])
    await until(() => messages.length === 2)
    t.strictSame(messages, [['in:2', Buffer.from([0, 255])], ['in:1', large]])
  })

  t.test(`${name} comes back when connections are killed, and tells in order what is lost`, withServer, async t => {
    const server = await redisServer(t)
    const { connection, events, messages, ready } = listening(t, clientAt(server))
    await ready()
    events.length = 0
    await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await until(() => events.length === 2)
    t.strictSame(events.splice(0), ['inboxClosed', 'inboxReady'])
    await connection.send('a', [['PUBLISH', 'in:1', 'again']])
    await until(() => messages.length === 1)
    const pending = connection.send('a', [['DEBUG', 'SLEEP', 0], ['BLPOP', 'list', 0]])
    t.rejects(pending, { message: 'the connection was lost' })
    await until(() => events.length === 0)
    for (let blocked = ''; !blocked.includes('blocked_clients:1');) blocked = await server.command('INFO', 'clients') as string
    await server.command('CLIENT', 'KILL', 'TYPE', 'normal')
    await until(() => events.length === 2)
    t.strictSame(events.splice(0), ['closed', 'ready'])
    t.strictSame(await connection.send('a', [['PING']]), [Buffer.from('PONG')])
    await server.kill()
    await until(() => events.length === 2)
    t.strictSame(events.splice(0).toSorted(), ['closed', 'inboxClosed'])
    await server.start()
    await ready()
    t.strictSame(events.toSorted(), ['inboxReady', 'ready'])
    await connection.send('a', [['PUBLISH', 'in:2', 'once']])
    await until(() => messages.length === 2)
    t.equal(messages[1]?.[1].toString(), 'once')
  })

  t.test(`${name} sends nothing twice: what is not answered is given up`, withServer, async t => {
    const server = await redisServer(t)
    const proxy = await tcpProxy(t, server)
    const { connection, events, ready } = listening(t, clientAt({ host: proxy.host, port: proxy.port }))
    await ready()
    proxy.loseNextReply()
    await t.rejects(connection.send('n', [['INCR', 'n'], ['INCR', 'n']]), { message: 'the connection was lost' })
    await t.rejects(connection.send('n', [['INCR', 'n']]), { message: 'there is no connection' })
    await ready()
    t.equal(await server.command('GET', 'n'), '2')
    t.ok(events.includes('closed'))
    proxy.halfClose()
    await until(() => !connection.isReady)
    await ready()
  })

  t.test(`${name} gives up a server that says nothing, on either connection, also while it signs in`, withServer, async t => {
    const server = await redisServer(t)
    const proxy = await tcpProxy(t, server)
    const { connection, events, failures, ready } = listening(t, clientAt({ host: proxy.host, port: proxy.port }), ['in'], 10)
    await ready()
    events.length = 0
    proxy.blackHole()
    const pending = connection.send('a', [['PING']])
    await t.rejects(pending, { message: 'the connection was lost' })
    await until(() => events.includes('closed') && events.includes('inboxClosed'))
    t.ok(failures.some(({ message }) => message === 'the server does not answer'))
    await until(() => proxy.connections === 2, 'those who sign in')
    proxy.pass()
    await ready()
  })

  t.test(`${name} signs in with the user's password over the user's transport, and tells a wrong one`, withServer, async t => {
    const server = await redisServer(t, { config: { requirepass: 'secret' }, login: { password: 'secret' } })
    const right = listening(t, clientAt({ path: server.path, password: 'secret' }))
    await right.ready()
    t.strictSame(await right.connection.send('a', [['PING']]), [Buffer.from('PONG')])
    for (const { addr } of await server.clients()) t.match(addr, server.path)
    for (const password of ['wrong', undefined]) {
      const { connection, failures, events } = listening(t, clientAt({ path: server.path, password }))
      await until(() => failures.length > 2)
      t.match(failures[0]?.message, password === undefined ? /^NOAUTH/ : /^WRONGPASS/)
      // Without a password, and by the old protocol, nothing is asked that could be refused.
      t.notOk(events.includes('inboxReady'))
      await connection.close()
    }
  })

  if (!name.includes('2')) {
    t.test(`${name} speaks TLS`, withServer, async t => {
      const server = await redisServer(t, { tls: true })
      const { connection, ready } = listening(t, clientAt({ host: server.host, port: server.port, tls: true }))
      await ready()
      t.strictSame(await connection.send('a', [['PING']]), [Buffer.from('PONG')])
    })
  }

  t.test(`${name} leaves the user's prefix to who makes names`, withServer, async t => {
    const server = await redisServer(t)
    const { keyPrefix } = clientAt({ ...server, keyPrefix: 'app:' })
    t.equal(keyPrefix, 'app:')
    t.equal(clientAt({}).keyPrefix, '')
    const { connection, ready } = listening(t, clientAt({ host: server.host, port: server.port, keyPrefix: 'app:' }))
    await ready()
    await connection.send('a', [['SET', 'a', 1], ['EVAL', 'return redis.call("SET", KEYS[1], 1)', 1, 'b']])
    t.strictSame((await server.command('KEYS', '*') as string[]).toSorted(), ['a', 'b'])
  })

  t.test(`${name} leaves nothing when it closes, whatever it was doing`, withServer, async t => {
    const server = await redisServer(t)
    const proxy = await tcpProxy(t, server)
    const user = client({ host: proxy.host, port: proxy.port })
    const listeners = (user as NodeJS.EventEmitter).eventNames().length
    const start = () => listening(t, clientOf(user, 'client'))
    const resources = (): string[] => process.getActiveResourcesInfo().filter(name => name === 'Timeout')
    const before = resources().length
    const { connection, events, failures, ready } = start()
    await ready()
    const pending = connection.send('a', [['SET', 'last', 1]])
    await Promise.all([connection.close(), pending.catch(() => {})])
    t.equal(await server.command('GET', 'last'), '1', 'what was written arrives')
    t.equal(connection.isReady || connection.isInboxReady, false)
    t.strictSame(events.toSorted(), ['inboxReady', 'ready'], 'and it is not told, who asked for it knows')
    await until(() => proxy.connections === 0)
    await start().connection.close()
    proxy.refuse()
    const refused = start()
    await until(() => refused.failures.length > 3)
    await refused.connection.close()
    proxy.pass()
    const dead = start()
    await dead.ready()
    proxy.blackHole()
    dead.connection.send('a', [['PING']]).catch(() => {})
    await dead.connection.close()
    await until(() => proxy.connections === 0)
    await connection.close()
    t.equal((user as NodeJS.EventEmitter).eventNames().length, listeners)
    t.strictSame(failures, [])
    await until(() => resources().length <= before, 'the end of all timers')
  })
}

t.test('a channel that the user may not hear is told of, and heard once that is allowed', withServer, async t => {
  const server = await redisServer(t, { config: { user: 'app on nopass ~* resetchannels +@all' } })
  const user = new Redis({ host: server.host, port: server.port, username: 'app', password: 'any', lazyConnect: true })
  const { failures, events, ready } = listening(t, clientOf(user, 'client'), ['in'])
  await until(() => failures.length > 1)
  t.match(failures, [{ message: /^NOPERM/ }, { message: /^NOPERM/ }])
  t.strictSame(events, ['ready'])
  await server.command('ACL', 'SETUSER', 'app', '&in')
  await ready()
})

t.test('a url is connected to with the first client that is installed', withServer, async t => {
  const server = await redisServer(t, { config: { requirepass: 'secret' }, login: { password: 'secret' } })
  const client = await clientForUrl(`redis://:secret@${server.host}:${server.port}/3`, 'url')
  t.strictSame([client.isCluster, client.keyPrefix], [false, ''])
  const { connection, ready } = listening(t, client)
  await ready()
  t.match(String((await connection.send('a', [['CLIENT', 'INFO']]))[0]), / db=3 /)
})

t.test('each package that may be installed makes a client for a url, and none of them is an error that names them', withServer, async t => {
  const server = await redisServer(t)
  const missing = async (): Promise<never> => { throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' }) }
  for (const [at, [name, load]] of LOADERS.entries()) {
    const loaders = LOADERS.map(([name], other) => [name, other === at ? load : missing] as const)
    const { connection, ready } = listening(t, await clientForUrl(server.url, 'url', loaders))
    await ready()
    t.strictSame(await connection.send('a', [['PING']]), [Buffer.from('PONG')], name)
  }
  await t.rejects(clientForUrl(server.url, 'url', LOADERS.map(([name]) => [name, missing] as const)), {
    code: 'FST_COALESCE_REDIS_UNUSABLE', message: 'the option url needs a client: install one of ioredis, iovalkey, redis'
  })
  await t.rejects(clientForUrl('nonsense://', 'url', [['redis', async () => { throw new TypeError('Invalid protocol') }]]), { message: 'Invalid protocol' })
})

t.test('what is no client is refused by name', async t => {
  const wanted = 'client must be a client, or a client of a cluster, of ioredis, iovalkey, or redis (node-redis)'
  for (const [given, got] of [
    [null, 'null'], [undefined, 'undefined'], ['redis://localhost', 'string'], [{}, 'another object'], [new Map(), 'another object'],
    [createClientPool(), 'another object'], [{ duplicate () {}, connect () {}, on () {}, off () {} }, 'another object']
  ] as const) t.throws(() => clientOf(given, 'client'), { code: 'FST_COALESCE_INVALID_OPTION', message: `${wanted}, got ${got}` })
  const sentinel = createSentinel({ name: 'main', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] })
  t.throws(() => clientOf(sentinel, 'client'), { message: `${wanted}; for Sentinel, one of ioredis or iovalkey, got a Sentinel client of node-redis` })
})
