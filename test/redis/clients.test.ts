/**
 * "Whatever client a user has, it makes the connections that this package needs of it."
 */
import { Redis } from 'ioredis'
import t from 'tap'
import { systemClock } from '../../lib/clock.js'
import { clientOf } from '../../lib/redis/connect.js'
import { until } from '../fixtures/gate.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

t.test('a connection of ioredis sends, hears, and comes back', withServer, async t => {
  const server = await redisServer(t)
  const user = new Redis({ port: server.port, lazyConnect: true })
  const seen: string[] = []
  const connection = clientOf(user, 'client').connect(['in:1', 'in:2'], {
    ready () { seen.push('ready') },
    closed () { seen.push('closed') },
    inboxReady () { seen.push('inboxReady') },
    inboxClosed () { seen.push('inboxClosed') },
    message (channel, message) { seen.push(`${channel} ${message.toString('hex')}`) },
    failed (error) { seen.push(error.message) }
  }, { clock: systemClock, opTimeout: 150 })
  await until(() => connection.isReady && connection.isInboxReady)
  const [ok, bytes, told, wrong, none] = await connection.send('a', [['SET', 'a', new Uint8Array([0, 255])], ['GET', 'a'], ['PUBLISH', 'in:1', Buffer.from([0, 255])], ['INCR', 'a'], ['GET', 'b']])
  t.strictSame([ok, bytes, told, none], [Buffer.from('OK'), Buffer.from([0, 255]), 1, null])
  t.match(wrong, { message: 'ERR value is not an integer or out of range' })
  await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await until(() => !connection.isInboxReady)
  await until(() => connection.isInboxReady)
  await server.command('CLIENT', 'KILL', 'TYPE', 'normal')
  await until(() => !connection.isReady)
  await until(() => connection.isReady)
  await connection.close()
  t.strictSame(seen, ['ready', 'inboxReady', 'in:1 00ff', 'inboxClosed', 'inboxReady', 'closed', 'ready'])
  t.equal(user.status, 'wait')
})
