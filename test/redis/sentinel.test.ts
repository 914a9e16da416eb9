/**
 * "Behind Sentinels the master is found, and found again when it has become another."
 */
import { Redis, type RedisOptions } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import t from 'tap'
import { clientOf } from '../../lib/redis/clients/connect.js'
import { until } from '../fixtures/gate.js'
import { listening } from '../fixtures/redis/listening.js'
import { redisSentinel } from '../fixtures/redis/sentinel.js'
import { withServer } from '../fixtures/redis/server.js'

const CLIENTS: Readonly<Record<string, (options: RedisOptions) => object>> = {
  ioredis: options => new Redis({ lazyConnect: true, ...options }),
  iovalkey: options => new Valkey({ lazyConnect: true, ...options as object })
}

t.test('behind Sentinels', withServer, async t => {
  const { name, sentinels, master, failover } = await redisSentinel(t, { sentinels: 3 })
  for (const [which, client] of Object.entries(CLIENTS)) {
    await t.test(`${which} follows a failover at once if it listens to Sentinels`, async t => {
      const user = client({ sentinels: sentinels.map(({ host, port }) => ({ host, port })), name, failoverDetector: true })
      const { connection, events, messages, ready } = listening(t, clientOf(user, 'client'), ['in'])
      await ready()
      events.length = 0
      const before = await master()
      const role = async (): Promise<unknown> => ((await connection.send('a', [['ROLE']]))[0] as unknown[])[0]
      t.strictSame(await role(), Buffer.from('master'))
      await failover()
      await until(() => events.includes('closed') && events.includes('inboxClosed'))
      await ready()
      t.strictSame(await role(), Buffer.from('master'))
      t.not(await master(), before)
      t.strictSame(await connection.send('a', [['SET', 'a', 1], ['PUBLISH', 'in', 'message']]), [Buffer.from('OK'), 1])
      await until(() => messages.length === 1)
    })

    await t.test(`${which} leaves a server that has become a replica by itself`, async t => {
      const server = await master()
      const user = client({ host: server.host, port: server.port })
      const { connection, events, ready } = listening(t, clientOf(user, 'client'), ['in'])
      await ready()
      events.length = 0
      await server.command('REPLICAOF', '127.0.0.1', '1')
      t.match(await connection.send('a', [['SET', 'a', 1]]), [{ message: /^READONLY/ }])
      await until(() => events.includes('closed') && events.includes('inboxClosed'))
      await server.command('REPLICAOF', 'NO', 'ONE')
    })
  }

  await t.test('who does not listen to Sentinels asks them when the master has died', async t => {
    const user = new Redis({ sentinels: sentinels.map(({ host, port }) => ({ host, port })), name, lazyConnect: true })
    const { connection, events, ready } = listening(t, clientOf(user, 'client'), ['in'])
    await ready()
    const before = await master()
    await before.kill()
    while (await master() === before);
    await ready()
    t.strictSame(await connection.send('a', [['SET', 'a', 1]]), [Buffer.from('OK')])
    t.strictSame(events.slice(2, 4).toSorted(), ['closed', 'inboxClosed'])
  })

  await t.test('no Sentinel that answers is told of, again and again', async t => {
    const user = new Redis({ sentinels: [{ host: '127.0.0.1', port: 1 }], name, lazyConnect: true })
    const { failures, events } = listening(t, clientOf(user, 'client'), ['in'])
    await until(() => failures.length > 3)
    t.match(failures[0]?.message, /sentinel/)
    t.strictSame(events, [])
  })
})
