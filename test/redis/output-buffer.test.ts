/**
 * "An inbox that the server drops, since it reads too slowly, is there again soon, and whoever waited is told how it ended."
 */
import t from 'tap'
import { until } from '../fixtures/gate.js'
import { inShort, leftIn, message, peersOf, type Peer } from '../fixtures/redis/peers.js'
import { redisServer, withServer, type RedisServer } from '../fixtures/redis/server.js'

const LARGE = 'x'.repeat(200_000)

/** The inbox of the one who waits. */
async function inboxOf (server: RedisServer): Promise<string> {
  const waiters = (await leftIn(server)).keys.find(key => key.includes(':w:')) as string
  const [member] = await server.command('SMEMBERS', waiters) as string[]
  const instance = String(member).split(' ')[1] as string
  return (await leftIn(server)).channels.find(channel => channel.endsWith(instance)) as string
}

/** Whoever hears has next to nothing for what it has not read yet. */
async function limit (server: RedisServer): Promise<void> {
  await server.command('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 1000 0 0')
}

t.test('a result that is fetched is got all the same', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  const inbox = await inboxOf(server)
  await limit(server)
  await server.command('PUBLISH', inbox, LARGE)
  lease.land(message(LARGE).make)
  t.strictSame(await fate, { message: inShort(LARGE) })
  await until(() => two.missed.count === 1, 'the end of the inbox')
  t.equal(one.missed.count, 0, 'the other one was not dropped')
})

t.test('a result inside a message that is dropped with the inbox is lost, and who waited for it is told, and can lead', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  await until(() => lease.isWaitedFor)
  await limit(server)
  lease.land(message('y'.repeat(60_000)).make)
  t.strictSame(await fate, { lost: 'rejected' })
  t.equal(two.missed.count, 1)
  const next = await two.lead('a', { as: 'leader' })
  next.release()
})
