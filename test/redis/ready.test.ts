/**
 * "A configuration that can never work is told at boot, by name; a server that is away is not waited for."
 */
import { createServer, type AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import t from 'tap'
import { freePort } from '../fixtures/redis/processes.js'
import { peerOf } from '../fixtures/redis/peers.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

const NEEDED = '~coalesce:* &coalesce:* +@connection +@scripting +@pubsub +get +getrange +set +del +unlink +rename +strlen +pexpire +pttl +sadd +srem +smembers +hset +hmget +hincrby +hexists +rpush +lrange +llen +info +cluster'

function clientOf (port: number, options: object = {}): Redis {
  return new Redis({ host: '127.0.0.1', port, lazyConnect: true, ...options })
}

t.test('a server that is away is not waited for, and is met once it is there', withServer, async t => {
  const server = await redisServer(t)
  await server.stop()
  const peer = peerOf(t, server)
  const start = performance.now()
  await peer.coordination.ready()
  const took = performance.now() - start
  t.ok(took < 2_500, `${took} ms`)
  t.equal(peer.coordination.join({ key: 'a', labels: [], as: 'either', leadsFor: 1000 }), undefined)
  t.match(peer.log, [{ level: 'warn', fields: { coalesce: { event: 'coordinator-failed' }, err: { message: /ECONNREFUSED/ } } }])
  await server.start()
  await peer.connected()
})

t.test('a wrong password', withServer, async t => {
  const server = await redisServer(t, { config: { requirepass: 'right' }, login: { password: 'right' } })
  for (const [password, says] of [['wrong', /WRONGPASS/], [undefined, /NOAUTH/]] as const) {
    const { coordination } = peerOf(t, server, { client: clientOf(server.port, { password }) })
    await t.rejects(coordination.ready(), { code: 'FST_COALESCE_REDIS_UNUSABLE', message: says })
    await t.rejects(coordination.ready(), { message: /does not accept the name or password/ }, 'it is told again')
  }
  const { coordination } = peerOf(t, server, { client: clientOf(server.port, { password: 'right' }) })
  await coordination.ready()
})

t.test('a user that may not do what is needed', withServer, async t => {
  const server = await redisServer(t)
  const rules: Readonly<Record<string, string>> = {
    scripts: `${NEEDED} -@scripting`,
    writing: `${NEEDED} -set`,
    publishing: `${NEEDED} -publish`,
    subscribing: `${NEEDED} -subscribe`,
    keys: NEEDED.replace('~coalesce:*', '~others:*'),
    channels: NEEDED.replace('&coalesce:*', '&others:*')
  }
  for (const [name, rule] of Object.entries(rules)) {
    await server.command('ACL', 'SETUSER', name, 'reset', 'on', '>word', ...rule.split(' '))
    const { coordination } = peerOf(t, server, { client: clientOf(server.port, { username: name, password: 'word' }) })
    await t.rejects(coordination.ready(), { code: 'FST_COALESCE_REDIS_UNUSABLE', message: `give it ${NEEDED}` }, name)
    await coordination.close()
  }
  await server.command('ACL', 'SETUSER', 'enough', 'reset', 'on', '>word', ...NEEDED.split(' '))
  const peer = peerOf(t, server, { client: clientOf(server.port, { username: 'enough', password: 'word' }) })
  await peer.coordination.ready()
  await peer.connected()
  const lease = await peer.lead('a')
  lease.release()
})

t.test('a server without scripts', withServer, async t => {
  const server = await redisServer(t, { config: { 'rename-command': ['EVAL hidden', 'EVALSHA concealed'] } })
  const { coordination } = peerOf(t, server)
  await t.rejects(coordination.ready(), { code: 'FST_COALESCE_REDIS_UNUSABLE', message: /lacks a command .* unknown command/ })
})

t.test('a server that is no Redis', withServer, async t => {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', () => { socket.end('HTTP/1.1 400 Bad Request\r\n\r\n') })
  })
  const port = await freePort()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { coordination } = peerOf(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  await t.rejects(coordination.ready(), { code: 'FST_COALESCE_REDIS_UNUSABLE', message: /no Redis|not a Redis/ })
})

t.test('a server that is full at boot is not wrong', withServer, async t => {
  const server = await redisServer(t)
  await server.command('SET', 'filling', 'x'.repeat(3_000_000))
  await server.command('CONFIG', 'SET', 'maxmemory', '1mb')
  const peer = peerOf(t, server)
  await peer.coordination.ready()
  t.equal((await peer.join('a')).type, 'unknown')
})

t.test('that there is no secret is told once', withServer, async t => {
  const server = await redisServer(t)
  const client = clientOf(server.port)
  const peers = [peerOf(t, server, { client, secret: undefined }), peerOf(t, server, { client, secret: undefined })]
  const told = peers.flatMap(({ log }) => log).filter(({ fields }) => fields.coalesce.event === 'coordinator-no-secret')
  t.equal(told.length, 1)
  t.equal(peerOf(t, server).log.length, 0)
})

t.test('a url will do, in the place of a client', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = [peerOf(t, server, { url: server.url }), peerOf(t, server, { url: server.url, namespace: 'coalesce' })]
  t.equal(one.coordination.join({ key: 'a', labels: [], as: 'either', leadsFor: 1000 }), undefined)
  await one.connected()
  await two.connected()
  t.equal(one.figures, two.figures, 'they share their connections')
  await one.coordination.close()
  await two.coordination.close()
  const early = peerOf(t, server, { url: server.url })
  await early.coordination.close()
  t.strictSame(await server.clients(), [])
})
