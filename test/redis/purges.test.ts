/**
 * "What is purged in one process is purged in all: nobody joins an older run, and everybody is told, at the latest when Redis is there again."
 */
import { Redis } from 'ioredis'
import t from 'tap'
import { until } from '../fixtures/gate.js'
import { leftIn, message, peerOf, peersOf, type Peer } from '../fixtures/redis/peers.js'
import { tcpProxy } from '../fixtures/redis/proxy.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

const CLOCK = 'coalesce:1:{0}:purges'

t.test('purges', withServer, async t => {
  const server = await redisServer(t)
  const [one, two, three] = await peersOf(t, server, 3) as [Peer, Peer, Peer]

  t.test('the others are told, and who purges is not', async t => {
    one.coordination.purge(['a', 'b'], false)
    one.coordination.purge(['c'], true)
    await until(() => two.purged.length === 2 && three.purged.length === 2)

    t.strictSame(two.purged, [[['a', 'b'], false], [['c'], true]])
    t.strictSame(one.purged, [])
    t.strictSame(two.figures.purges, { sent: 0, received: 2, resets: 0, missed: 0 })
    await until(() => one.figures.purges.sent === 2)
  })

  for (const soft of [false, true]) {
    t.test(`newcomers do not join a run that began before a ${soft ? 'soft' : 'hard'} purge`, async t => {
      const key = `since ${String(soft)}`
      const old = await one.lead(key, { labels: [`tag:${key}`, 'other'] })
      const { fate } = await two.follow(key, { labels: [`tag:${key}`] })
      three.coordination.purge([`tag:${key}`], soft)
      const lease = await three.lead(key, { labels: [`tag:${key}`], as: 'leader' })
      const { fate: newFate } = await two.follow(key, { labels: [`tag:${key}`] })
      old.land(message('old').make)
      t.strictSame(await fate, { message: 'old' }, 'who joined before gets the old result')
      lease.land(message('new').make)
      t.strictSame(await newFate, { message: 'new' })
    })
  }

  t.test('it counts what the run that leads is labelled with, and what the newcomer is', async () => {
    const runs = [await one.lead('k', { labels: ['of the leader'] }), await one.lead('l', { labels: [] })]
    two.coordination.purge(['of the leader', 'of the newcomer'], false)
    const later = [await two.lead('k', { as: 'leader' }), await two.lead('l', { labels: ['of the newcomer'], as: 'leader' })]
    for (const lease of [...runs, ...later]) lease.release()
  })

  t.test('a purge of something else changes nothing', async t => {
    const lease = await one.lead('m', { labels: ['this'] })
    two.coordination.purge(['that'], false)
    const { fate } = await two.follow('m', { labels: ['this'] })
    lease.land(message('here').make)

    t.strictSame(await fate, { message: 'here' })
  })

  t.test('who asks to follow gets nothing if what leads was purged', async t => {
    const lease = await one.lead('n', { labels: ['n'] })
    one.coordination.purge(['n'], false)

    t.strictSame(await two.join('n', { labels: ['n'], as: 'follower' }), { type: 'nothing' })
    lease.release()
  })

  t.test('a run from before the clock was lost is not joined', async () => {
    const lease = await one.lead('o')
    await server.command('DEL', CLOCK)
    const next = await two.lead('o', { as: 'leader' })
    lease.release()
    next.release()
  })

  t.test('members of another group are not told', async t => {
    const other = await peerOf(t, server, { group: 'others' }).connected()
    const before = two.purged.length
    one.coordination.purge(['group'], false)
    await until(() => two.purged.length > before)

    t.strictSame(other.purged, [])
    await other.coordination.close()
  })

  t.test('many labels are told in several messages', async t => {
    const labels = Array.from({ length: 1200 }, (_, index) => `label ${index}`)
    const before = two.purged.length
    one.coordination.purge(labels, false)
    one.coordination.purge([], false)
    one.coordination.purge(['x'.repeat(60_000), 'y'.repeat(60_000)], false)
    await until(() => two.purged.length === before + 5)
    const told = two.purged.slice(before)
    t.strictSame(told.slice(0, 3).flatMap(([some]) => some), labels)
    t.strictSame(told.map(([some]) => some.length), [500, 500, 200, 1, 1])
  })

  t.test('the clock shows no label', async t => {
    const fields = await server.command('HKEYS', CLOCK) as string[]
    t.strictSame(fields.filter(field => !/^(?:g|e|s?\d{1,5})$/.test(field)), [])
  })

  t.test('a message that cannot be read means that purges may have been missed', async t => {
    for (const bytes of ['', 'nonsense', `P${'x'.repeat(22)}\nforged`, `W${'x'.repeat(22)}:1`]) {
      const before = two.missed.count
      await server.command('PUBLISH', 'coalesce:1:{0}:all', bytes)
      await until(() => two.missed.count === before + 1)
    }
    t.equal(two.figures.rejected, 4)
  })

  t.test('when all have left, the clock is left', async t => {
    for (const { coordination } of [one, two, three]) await coordination.close()
    t.strictSame(await leftIn(server), { keys: [], channels: [] })
    t.equal(await server.command('PTTL', CLOCK), -1)
  })
})

t.test('who else takes part in the same process, over the same connection, is told as well', withServer, async t => {
  const server = await redisServer(t)
  const client = new Redis({ host: server.host, port: server.port, lazyConnect: true })
  const [one, two] = await peersOf(t, server, 2, { client }) as [Peer, Peer]
  const other = await peerOf(t, server, { client, group: 'others' }).connected()
  one.coordination.purge(['a'], true)
  t.strictSame([one.purged, two.purged, other.purged], [[], [[['a'], true]], []])
})

t.test('who was cut off from the inbox is told that purges may have been missed', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  t.equal(two.missed.count, 0)
  await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await until(() => one.missed.count === 1 && two.missed.count === 1)
  one.coordination.purge(['a'], false)
  await until(() => two.purged.length === 1)
})

t.test('a purge that cannot be sent is sent when Redis is there again, before anything else', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const cut = await peerOf(t, server, { port: proxy.port }).connected()
  const [two] = await peersOf(t, server, 1) as [Peer]
  const old = await two.lead('a', { labels: ['a'] })
  proxy.refuse()
  cut.coordination.purge(['a'], false)
  t.strictSame(two.purged, [])
  proxy.pass()
  await cut.connected()
  const lease = await cut.lead('a', { labels: ['a'], as: 'leader' })
  await until(() => two.purged.length === 1)
  old.release()
  lease.release()
})

t.test('a purge whose reply is lost is sent again', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const cut = await peerOf(t, server, { port: proxy.port }).connected()
  const [two] = await peersOf(t, server, 1) as [Peer]
  proxy.loseNextReply()
  cut.coordination.purge(['a'], false)
  await until(() => two.purged.length === 2)

  t.equal(Number(await server.command('HGET', CLOCK, 'e')), 2)
})

t.test('if too many purges cannot be sent, everything is purged', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const cut = await peerOf(t, server, { port: proxy.port }).connected()
  const [two] = await peersOf(t, server, 1) as [Peer]
  const old = await two.lead('a', { labels: ['never purged'] })
  proxy.refuse()
  await until(() => proxy.connections === 0)
  for (let count = 0; count < 1001; count++) cut.coordination.purge([`label ${count}`], false)
  proxy.pass()
  await until(() => two.missed.count === 1)

  t.strictSame(two.purged, [])
  const lease = await two.lead('a', { labels: ['never purged'], as: 'leader' })
  old.release()
  lease.release()
})
