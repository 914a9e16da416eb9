/**
 * "A connection by a url is one like any other once its client is loaded, and none before."
 */
import t from 'tap'
import { urlClient } from '../../lib/redis/url-client.js'
import { gate, until } from '../fixtures/gate.js'
import { fakeIoredis } from '../fixtures/redis/fake-ioredis.js'
import { listening } from '../fixtures/redis/listening.js'

t.test('nothing can be sent before the client is loaded, and all goes through it afterwards', async t => {
  const loaded = gate<unknown>()
  const { connection, events, ready } = listening(t, urlClient('redis://localhost', [['ioredis', async () => await loaded.promise]]))
  t.strictSame([connection.isCluster, connection.isReady, connection.isInboxReady], [false, false, false])
  await t.rejects(connection.send('a', [['PING']]), { message: 'there is no connection' })
  loaded.open(fakeIoredis(() => Buffer.from('PONG')))
  await ready()
  t.strictSame(events.toSorted(), ['inboxReady', 'ready'])
  t.strictSame(await connection.send('a', [['PING']]), [Buffer.from('PONG')])
  await connection.close()
  t.equal(connection.isReady, false)
})

t.test('one that is closed before its client is loaded never connects', async t => {
  const loaded = gate<unknown>()
  const { connection, events, failures } = listening(t, urlClient('redis://localhost', [['ioredis', async () => await loaded.promise]]))
  const closed = connection.close()
  loaded.open(fakeIoredis())
  await closed
  t.strictSame([events, failures, connection.isReady], [[], [], false])
})

t.test('what fails while it is loaded is told', async t => {
  const { failures } = listening(t, urlClient('redis://localhost', [['redis', async () => { throw new TypeError('Invalid protocol') }]]))
  await until(() => failures.length > 0)
  t.match(failures, [{ code: 'FST_COALESCE_REDIS_UNUSABLE', message: /Invalid protocol/ }])
})
