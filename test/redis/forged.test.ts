/**
 * "What somebody else writes to Redis, or has changed there, is never taken for a result."
 */
import t from 'tap'
import { until } from '../fixtures/gate.js'
import { leftIn, message, peerOf, peersOf, type Peer } from '../fixtures/redis/peers.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

t.test('messages that are forged, or of another run, are rejected', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  const spy = await peerOf(t, server, { secret: 'another secret of others' }).connected()
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  const pointer = (await leftIn(server)).keys.find(key => key.includes(':p:')) as string
  const [token] = String(await server.command('GET', pointer)).split('|')
  const waiter = (await leftIn(server)).keys.find(key => key.includes(':w:')) as string
  const [member] = await server.command('SMEMBERS', waiter) as string[]
  const inbox = `coalesce:1:{0}:in:${String(member).split(' ')[1]}`
  await server.command('PUBLISH', inbox, `I${token}\nforged`)
  t.strictSame(await fate, { lost: 'rejected' })
  lease.release()

  const large = await one.lead('b')
  const { fate: second } = await two.follow('b')
  const other = (await server.command('GET', (await leftIn(server)).keys.filter(key => key.includes(':p:')).at(-1) as string)) as string
  await server.command('PUBLISH', inbox, `R${other.split('|')[0]}\n999999999999`)
  t.strictSame(await second, { lost: 'rejected' }, 'it is not fetched')
  large.release()
  await server.command('PUBLISH', inbox, 'nonsense')
  await until(() => two.figures.rejected === 3)
  t.equal(two.log.filter(({ fields }) => fields.coalesce.event === 'coordinator-rejected').length, 1, 'the log is not flooded')
  await spy.coordination.close()
})

t.test('a note that was changed is not taken', withServer, async t => {
  const server = await redisServer(t)
  const [one] = await peersOf(t, server, 1) as [Peer]
  const lease = await one.lead('a')
  const pointer = (await leftIn(server)).keys.find(key => key.includes(':p:')) as string
  await server.command('SET', pointer.replace(':p:', ':n:'), 'forged')
  t.strictSame(await one.join('a'), { type: 'unknown' })
  lease.release()
})

t.test('those with another secret do not meet, and do not see what others do', withServer, async t => {
  const server = await redisServer(t)
  const [one] = await peersOf(t, server, 1) as [Peer]
  const other = await peerOf(t, server, { secret: 'another secret of others' }).connected()
  const lease = await one.lead('GET /account')
  const own = await other.lead('GET /account')
  t.notOk((await leftIn(server)).keys.some(key => key.includes('account')))
  other.coordination.purge(['a'], false)
  await until(() => one.missed.count === 1)
  t.strictSame(one.purged, [])
  lease.release()
  own.release()
})

t.test('what a run came to is not sent if it cannot be made, or is too large', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2, { maxMessageBytes: 10 }) as [Peer, Peer]
  const first = await one.lead('a')
  const { fate } = await two.follow('a')
  first.land(message('more than ten bytes').make)
  t.strictSame(await fate, { lost: 'released' })
  t.equal(one.figures.tooLarge, 1)
  const told = await one.lead('c')
  const { fate: others } = await two.follow('c')
  told.land(message('more than ten bytes').make, undefined, message('too large').make)
  t.strictSame(await others, { message: 'too large' })
  const second = await one.lead('b')
  const { fate: other } = await two.follow('b')
  second.land(() => { throw new Error('it cannot be made') })
  t.strictSame(await other, { lost: 'released' })
})
