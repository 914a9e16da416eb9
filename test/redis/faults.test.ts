/**
 * "Redis fails, and each process coalesces for itself: nobody waits for long, and nothing stays locked."
 */
import t from 'tap'
import { until } from '../fixtures/gate.js'
import { count, empty as nothingIn, inShort, leftIn, message, peerOf, peersOf, type Peer } from '../fixtures/redis/peers.js'
import { tcpProxy } from '../fixtures/redis/proxy.js'
import { redisServer, withServer, type RedisServer } from '../fixtures/redis/server.js'

const LARGE = 'x'.repeat(1_000_000)

/** Once they are connected again, they meet again; when they have left, nothing is left. */
async function recovered (t: Pick<typeof import('tap').t, 'strictSame'>, server: RedisServer, ...peers: readonly Peer[]): Promise<void> {
  const [one, two] = peers as [Peer, Peer]
  await Promise.all(peers.map(async peer => await peer.connected()))
  const lease = await one.lead('after')
  const { fate } = await two.follow('after')
  lease.land(message('after').make)
  t.strictSame(await fate, { message: 'after' }, 'they meet again')
  for (const { coordination } of peers) await coordination.close()
  t.strictSame(await leftIn(server), { keys: [], channels: [] }, 'nothing is left')
}

/** How long something takes, in milliseconds. */
async function took (what: Promise<unknown>): Promise<number> {
  const start = performance.now()
  await what
  return performance.now() - start
}

t.test('Redis is killed while somebody waits, and comes back', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  await server.kill()
  t.strictSame(await fate, { lost: 'unreachable' })
  t.equal(two.coordination.join({ key: 'a', labels: [], as: 'either', leadsFor: 1000 }), undefined, 'it is not asked')
  lease.land(message('for nobody').make)
  await until(() => two.figures.isOpen === true)
  t.match(two.log.filter(({ fields }) => fields.coalesce.event === 'coordinator-down'), [{ level: 'warn', fields: { coalesce: { cause: /closed|timeout/ } } }])
  await server.start()
  await recovered(t, server, one, two)
  // On a busy machine it may be too slow once more.
  const told = two.log.map(({ fields }) => fields.coalesce.event).filter(event => event === 'coordinator-down' || event === 'coordinator-up')
  t.strictSame(told, told.map((_, place) => place % 2 === 0 ? 'coordinator-down' : 'coordinator-up'), 'each is told once')
  t.equal(told.at(-1), 'coordinator-up')
})

t.test('Redis hangs while somebody waits, and goes on', withServer, async t => {
  const server = await redisServer(t)
  const [one, two, three] = await peersOf(t, server, 3) as [Peer, Peer, Peer]
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  server.pause()
  const asked = three.join('b')
  t.equal((await asked).type, 'leads', 'it may lead, for all that it knows')
  t.equal(three.coordination.join({ key: 'b', labels: [], as: 'either', leadsFor: 1000 }), undefined, 'nothing is sent any more')
  t.strictSame(await fate, { lost: 'unreachable' })
  lease.land(message('for nobody').make)
  const joined = await asked
  if (joined.type === 'leads') joined.lease.land(message('for nobody').make)
  t.match(three.figures, { isOpen: true, openings: { timeout: 1 } })
  server.resume()
  await recovered(t, server, one, two, three)
})

t.test('a follower that is cut off runs for itself, and the others do not notice', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const cut = await peerOf(t, server, { port: proxy.port }).connected()
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  const lease = await one.lead('a')
  const [mine, other] = [await cut.follow('a'), await two.follow('a')]
  proxy.blackHole()
  t.strictSame(await mine.fate, { lost: 'unreachable' })
  lease.land(message('here').make)
  t.strictSame(await other.fate, { message: 'here' })
  proxy.refuse()
  proxy.pass()
  await recovered(t, server, cut, one, two)
})

for (const [size, text] of [['small', 'here'], ['large', LARGE]] as const) {
  t.test(`the inboxes are cut right before a ${size} message is sent`, withServer, async t => {
    const server = await redisServer(t)
    const [one, two, three] = await peersOf(t, server, 3) as [Peer, Peer, Peer]
    const lease = await one.lead('a')
    const followers = [await two.follow('a'), await three.follow('a')]
    await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    lease.land(message(text).make)
    for (const { fate } of followers) t.strictSame(await fate, { message: inShort(text) })
    await recovered(t, server, one, two, three)
  })

  t.test(`the inboxes are cut right before a ${size} message is sent, over connections that are slow to come back`, withServer, async t => {
    const server = await redisServer(t)
    const proxy = await tcpProxy(t, server)
    const slow = await peerOf(t, server, { port: proxy.port }).connected()
    const [one] = await peersOf(t, server, 1) as [Peer]
    const lease = await one.lead('a')
    const { fate } = await slow.follow('a')
    const [inbox] = (await server.clients()).filter(({ sub }) => Number(sub) > 0 || Number(sub) === 2).slice(-1)
    t.ok(inbox)
    proxy.set({ down: 20 })
    await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await until(() => one.coordination.join({ key: 'x', labels: [], as: 'follower', leadsFor: 1 }) !== undefined)
    lease.land(message(text).make)
    t.strictSame(await fate, { message: inShort(text) })
    proxy.pass()
    await recovered(t, server, one, slow)
  })

  t.test(`the connections for commands are cut right before a ${size} message is sent`, withServer, async t => {
    const server = await redisServer(t)
    const [one, two] = await peersOf(t, server, 2, { opTimeout: 1000 }) as [Peer, Peer]
    const lease = await one.lead('a')
    const { fate } = await two.follow('a')
    await server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    lease.land(message(text).make)
    t.strictSame(await fate, { message: inShort(text) })
    await recovered(t, server, one, two)
  })

  t.test(`the reply to a ${size} message is lost`, withServer, async t => {
    const server = await redisServer(t)
    const proxy = await tcpProxy(t, server)
    const one = await peerOf(t, server, { port: proxy.port }).connected()
    const [two] = await peersOf(t, server, 1) as [Peer]
    const lease = await one.lead('a')
    const { fate } = await two.follow('a')
    await until(() => lease.isWaitedFor)
    proxy.loseNextReply()
    lease.land(message(text).make)
    t.strictSame(await fate, { message: inShort(text) })
    await until(() => count(one.figures.handOffTimes) === 1)
    if (text === LARGE) await server.command('FLUSHALL')
    await recovered(t, server, one, two)
  })
}

t.test('the reply is lost that says who leads: it may lead, and those who wait get its message', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const one = await peerOf(t, server, { port: proxy.port }).connected()
  const [two] = await peersOf(t, server, 1) as [Peer]
  proxy.loseNextReply()
  const lease = await one.lead('a')
  await one.connected()
  const { fate } = await two.follow('a')
  lease.land(message('here').make)
  t.strictSame(await fate, { message: 'here' })
  await recovered(t, server, one, two)
})

t.test('the reply is lost that says that another process leads: it runs for itself, and is not waited for', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const one = await peerOf(t, server, { port: proxy.port }).connected()
  const [two] = await peersOf(t, server, 1) as [Peer]
  for (const ending of ['release', 'land'] as const) {
    const first = await two.lead(ending)
    proxy.loseNextReply()
    const second = await one.lead(ending)
    await until(() => first.isWaitedFor)
    await one.connected()
    if (ending === 'land') second.land(message('its own').make)
    else second.release()
    first.land(message('for nobody').make)
    await nothingIn(server)
  }
  await recovered(t, server, one, two)
})

t.test('the reply is lost to who only wants to follow', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const one = await peerOf(t, server, { port: proxy.port }).connected()
  proxy.loseNextReply()
  t.strictSame(await one.join('a', { as: 'follower' }), { type: 'unknown' })
})

t.test('Redis is slower than the time limit', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const slow = await peerOf(t, server, { port: proxy.port }).connected()
  proxy.set({ down: 400 })
  const asked = slow.join('a')
  const joined = await asked
  t.equal(slow.figures.timeouts, 1, 'it is asked once, and not waited for')
  t.equal(slow.coordination.join({ key: 'b', labels: [], as: 'either', leadsFor: 1000 }), undefined)
  if (joined.type === 'leads') joined.lease.release()
  proxy.pass()
  const [two] = await peersOf(t, server, 1) as [Peer]
  await recovered(t, server, slow, two)
})

t.test('Redis is slow, but not slower than the time limit', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const slow = await peerOf(t, server, { port: proxy.port, opTimeout: 400 }).connected()
  const [two] = await peersOf(t, server, 1) as [Peer]
  proxy.set({ down: 60 })
  const lease = await two.lead('a')
  const { fate } = await slow.follow('a')
  lease.land(message('here').make)
  t.strictSame(await fate, { message: 'here' })
  await recovered(t, server, two, slow)
})

async function fill (server: RedisServer): Promise<void> {
  await server.command('SET', 'filling', 'x'.repeat(5_000_000))
  await server.command('CONFIG', 'SET', 'maxmemory', '2mb')
}

async function empty (server: RedisServer): Promise<void> {
  await server.command('CONFIG', 'SET', 'maxmemory', '0')
  await server.command('DEL', 'filling')
}

t.test('Redis is full', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  await fill(server)
  t.strictSame(await one.join('a'), { type: 'unknown' })
  t.equal(one.coordination.join({ key: 'b', labels: [], as: 'either', leadsFor: 1000 }), undefined)
  t.equal(one.figures.openings.OOM, 1)
  await empty(server)
  await recovered(t, server, one, two)
})

t.test('Redis becomes full while somebody waits for a small message', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  await fill(server)
  lease.land(message('here').make)
  t.strictSame(await fate, { message: 'here' }, JSON.stringify(two.log))
  await empty(server)
  await recovered(t, server, one, two)
})

t.test('Redis becomes full while somebody waits for a large message', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  await fill(server)
  lease.land(message(LARGE).make)
  t.strictSame(await fate, { lost: 'rejected' })
  await empty(server)
  await recovered(t, server, one, two)
})

t.test('the scripts are removed while somebody waits', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  await server.command('SCRIPT', 'FLUSH')
  lease.land(message('here').make)
  t.strictSame(await fate, { message: 'here' })
  await recovered(t, server, one, two)
})

t.test('Redis becomes a replica that cannot be written to', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  await server.command('REPLICAOF', '127.0.0.1', '1')
  t.strictSame(await one.join('a'), { type: 'unknown' })
  t.equal(one.figures.openings.READONLY, 1)
  await server.command('REPLICAOF', 'NO', 'ONE')
  await recovered(t, server, one, two)
})

t.test('Redis is emptied while somebody waits', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2, { lease: 500 }) as [Peer, Peer]
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  await server.command('FLUSHALL')
  const next = await two.lead('a')
  t.strictSame(await fate, { lost: 'rejected' }, 'once the lease would have run out')
  lease.land(message('late').make)
  next.release()
  await recovered(t, server, one, two)
})

t.test('a process that closes releases what it leads, and leaves whom it follows', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  await one.lead('a')
  const { fate } = await two.follow('a')
  await two.lead('b')
  const { fate: own } = await one.follow('b')
  await one.coordination.close()
  await one.coordination.close()
  t.strictSame(await fate, { lost: 'released' })
  t.strictSame(await own, { lost: 'unreachable' })
  t.equal(one.coordination.join({ key: 'a', labels: [], as: 'either', leadsFor: 1000 }), undefined)
  await two.coordination.close()
  t.strictSame(await leftIn(server), { keys: [], channels: [] })
})

t.test('a process that asks while it closes gets nothing', withServer, async t => {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2) as [Peer, Peer]
  await two.lead('b')
  const asked = [one.join('a'), one.join('b')]
  await one.coordination.close()
  t.strictSame(await Promise.all(asked), [{ type: 'unknown' }, { type: 'unknown' }])
  await two.coordination.close()
  t.strictSame(await leftIn(server), { keys: [], channels: [] })
})

t.test('Redis hangs while a process closes', withServer, async t => {
  const server = await redisServer(t)
  const [one] = await peersOf(t, server, 1) as [Peer]
  await one.lead('a')
  server.pause()
  t.ok(await took(one.coordination.close()) < 2_000)
  server.resume()
})
