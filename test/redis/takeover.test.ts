/**
 * "If the process that leads is gone, those who wait for it are told, and one of them can lead at once."
 */
import t from 'tap'
import { until } from '../fixtures/gate.js'
import { leftIn, message, peerOf, peersOf, type Peer } from '../fixtures/redis/peers.js'
import { tcpProxy } from '../fixtures/redis/proxy.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

/** A lease that does not run out in these tests. */
const LONG = 300_000

t.test('a leader whose process is killed is gone within the liveness interval', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const killed = await peerOf(t, server, { port: proxy.port, lease: LONG }).connected()
  const [two, three] = await peersOf(t, server, 2, { lease: LONG }) as [Peer, Peer]
  await killed.lead('a')
  const followers = [await two.follow('a'), await three.follow('a')]
  proxy.refuse()

  for (const { fate } of followers) t.strictSame(await fate, { lost: 'gone' })
  t.equal(two.figures.takeovers + three.figures.takeovers, 1, 'its lease has not run out')
  const joined = [await two.join('a'), await three.join('a')]
  t.strictSame(joined.map(({ type }) => type), ['leads', 'follows'])
  for (const { coordination } of [two, three, killed]) await coordination.close()
  t.strictSame(await leftIn(server), { keys: [], channels: [] })
})

t.test('a leader that says nothing for as long as its lease is gone', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const silent = await peerOf(t, server, { port: proxy.port, lease: 600 }).connected()
  const [two] = await peersOf(t, server, 1, { lease: 600 }) as [Peer]
  const late = await silent.lead('a')
  const { fate } = await two.follow('a')
  proxy.blackHole()

  t.strictSame(await fate, { lost: 'gone' })
  const lease = await two.lead('a', { as: 'leader' })
  late.land(message('of the one that was silent').make)
  proxy.refuse()
  proxy.pass()
  await silent.connected()
  t.strictSame(await silent.join('a', { as: 'leader' }), { type: 'nothing' }, 'it has not ended the lease of the other')
  lease.release()
})

t.test('a leader that renews its lease leads for longer than that', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2, { lease: 600 }) as [Peer, Peer]
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  await until(() => one.figures.renewals >= 4, 'renewals')
  lease.land(message('late').make)

  t.strictSame(await fate, { message: 'late' })
  t.equal(one.figures.lostLeases, 0)
})

t.test('a leader does not lead for longer than it may', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2, { lease: 150 }) as [Peer, Peer]
  const lease = await one.lead('a', { leadsFor: 1 })
  const { fate } = await two.follow('a')

  t.strictSame(await fate, { lost: 'gone' })
  lease.release()
})

t.test('a leader that is gone after its run has ended: who missed the message gets the result', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const two = await peerOf(t, server, { port: proxy.port, livenessInterval: 20, opTimeout: 5_000 }).connected()
  const [one] = await peersOf(t, server, 1) as [Peer]
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  // Its inbox is cut off, and takes some round trips to come back.
  proxy.set({ down: 200 })
  await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  lease.land(message('here').make)
  await one.coordination.close()
  t.strictSame(await fate, { message: 'here' })
  t.equal(two.figures.takeovers, 0)
})
