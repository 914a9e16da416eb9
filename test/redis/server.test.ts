/**
 * "A test can have a real server: it starts at once, does what a server's failures do, and leaves nothing."
 */
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import t from 'tap'
import { stateOf } from '../fixtures/redis/processes.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

t.test('a server starts, dies, comes back on its port, and is gone with its test', withServer, async t => {
  let pid = 0
  let path = ''
  await t.test('in a test', async t => {
    const server = await redisServer(t, { config: { maxmemory: '3mb', user: ['one on nopass ~* &* +@all', 'two off'] } })
    ;({ pid, path } = server)
    t.equal(await server.command('SET', 'key', 'value'), 'OK')
    t.strictSame(await server.command('CONFIG', 'GET', 'maxmemory'), ['maxmemory', String(3 * 1024 * 1024)])
    t.strictSame(await server.command('ACL', 'USERS'), ['default', 'one', 'two'])
    t.ok(existsSync(path))
    const { port } = server
    await server.kill()
    await t.rejects(server.command('PING'))
    await server.start()
    t.equal(server.port, port)
    t.equal(await server.command('GET', 'key'), null)
    server.pause()
    pid = server.pid
    t.equal(stateOf(pid), 'T', 'it answers nothing any more')
  })
  t.throws(() => process.kill(pid, 0))
  t.notOk(existsSync(dirname(path)))
})

t.test('a server can ask for a password and speak TLS only', withServer, async t => {
  const server = await redisServer(t, { tls: true, config: { requirepass: 'secret' }, login: { password: 'secret' } })
  t.match(server.url, /^rediss:/)
  t.equal(await server.command('PING'), 'PONG')
  t.equal((await server.clients()).length, 0)
})
