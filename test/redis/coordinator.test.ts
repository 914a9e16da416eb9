/**
 * "One process leads a key, and the others get what its run came to."
 */
import { Redis } from 'ioredis'
import t from 'tap'
import { deduplicate } from '../../lib/index.js'
import { redisCoordinator } from '../../lib/redis/coordinator.js'
import { PATIENCE, until } from '../fixtures/gate.js'
import { empty, following, inShort, leftIn, message, peersOf, type Peer } from '../fixtures/redis/peers.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

t.test('processes that meet', withServer, async t => {
  const server = await redisServer(t)
  const [one, two, three] = await peersOf(t, server, 3) as [Peer, Peer, Peer]

  t.test('the first leads, the others follow and get its message', async t => {
    const lease = await one.lead('a')
    const followers = [await two.follow('a'), await three.follow('a'), await three.follow('a')]
    lease.land(message('the result').make)

    for (const { fate } of followers) t.strictSame(await fate, { message: 'the result' })
    t.strictSame((await leftIn(server)).keys, [])
  })

  t.test('a leader learns that another process waits', async t => {
    const lease = await one.lead('b')
    t.equal(lease.isWaitedFor, false)
    const { fate } = await two.follow('b')
    await until(() => lease.isWaitedFor)
    lease.release()
    t.strictSame(await fate, { lost: 'released' })
  })

  t.test('a message that nobody waits for is not made', async t => {
    const lease = await one.lead('c')
    const { make, made } = message('for nobody')
    lease.land(make)
    await empty(server)
    const next = await two.lead('c')
    next.release()

    t.equal(made(), 0)
  })

  t.test('a message that is too large for the inbox is fetched', async t => {
    const lease = await one.lead('d')
    const { fate } = await two.follow('d')
    const { fate: fateOfThree } = await three.follow('d')
    lease.land(message('x'.repeat(200_000)).make)

    t.strictSame(await fate, { message: inShort('x'.repeat(200_000)) })
    t.strictSame(await fateOfThree, { message: inShort('x'.repeat(200_000)) })
    t.equal(one.figures.uploads.count, 1)
  })

  t.test('who leaves while it asks for the same key again is not forgotten', async t => {
    const lease = await one.lead('again')
    const { run } = await two.follow('again')
    const asked = two.join('again')
    run.leave()
    const joined = await asked
    if (joined.type !== 'follows') throw new Error(joined.type)
    const { fate } = following(joined.run)
    lease.land(message('here').make)

    t.strictSame(await fate, { message: 'here' })
    const next = await one.lead('again')
    const { run: left } = await two.follow('again')
    const askedAgain = two.join('again', { as: 'leader' })
    left.leave()
    t.strictSame(await askedAgain, { type: 'nothing' })
    next.release()
    await empty(server)
  })

  t.test('a key is free again once its run has ended', async t => {
    const lease = await one.lead('e')
    lease.release()
    const next = await two.lead('e')
    lease.release()
    lease.land(message('too late').make)
    const { fate } = await three.follow('e')
    next.land(message('of the second').make)

    t.strictSame(await fate, { message: 'of the second' })
  })

  t.test('who asks to lead gets nothing if another process leads', async t => {
    const lease = await one.lead('f')
    t.strictSame(await two.join('f', { as: 'leader' }), { type: 'nothing' })
    lease.release()
    const next = await two.lead('f', { as: 'leader' })
    next.release()
  })

  t.test('who asks to follow gets nothing if nobody leads', async t => {
    t.strictSame(await one.join('g', { as: 'follower' }), { type: 'nothing' })
    const lease = await one.lead('g')
    const { fate } = await two.follow('g', { as: 'follower' })
    lease.land(message('here').make)
    t.strictSame(await fate, { message: 'here' })
  })

  t.test('a note is for all who come, also if nobody waited', async t => {
    const lease = await one.lead('h')
    lease.land(message('the result').make, { message: Buffer.from('unshareable'), ttl: 60_000 })
    let joined = await two.join('h')
    // The note may be on its way.
    if (joined.type === 'follows') {
      await following(joined.run).fate
      joined = await two.join('h')
    }
    t.same(joined, { type: 'noted', note: Buffer.from('unshareable') })
    t.equal((await three.join('h', { as: 'leader' })).type, 'noted')
    const [key] = (await leftIn(server)).keys
    const left = Number(await server.command('PTTL', key as string))
    t.ok(left > 50_000 && left <= 60_000, `${left} ms`)
    await server.command('DEL', key as string)
    two.coordination.forget?.('h')
    const next = await two.lead('h')
    next.release()
  })

  t.test('who leaves is not told, and leaves nothing', async t => {
    const lease = await one.lead('i')
    const joined = await two.join('i')
    if (joined.type !== 'follows') throw new Error(joined.type)
    let told = 0
    joined.run.follow({ landed: () => { told++ }, lost: () => { told++ } })
    const { fate, run } = await three.follow('i')
    joined.run.leave()
    joined.run.leave()
    lease.land(message('for those who stayed').make)
    t.strictSame(await fate, { message: 'for those who stayed' })
    run.leave()

    t.equal(told, 0)
    t.strictSame((await leftIn(server)).keys, [])
  })

  t.test('members of different groups do not meet', async t => {
    const [other] = await peersOf(t, server, 1, { group: 'others' }) as [Peer]
    const lease = await one.lead('j')
    const own = await other.lead('j')
    lease.release()
    own.release()
    await other.coordination.close()
  })

  t.test('when all have left, nothing is left', async t => {
    for (const { coordination } of [one, two, three]) await coordination.close()
    t.strictSame(await leftIn(server), { keys: [], channels: [] })
  })
})

t.test('a coordinator of functions without an app keeps its connections until it is closed', withServer, async t => {
  const server = await redisServer(t)
  const client = new Redis({ host: server.host, port: server.port, lazyConnect: true })
  const coordinator = redisCoordinator({ client, namespace: 'functions', secret: 'a secret for tests' })
  t.teardown(async () => { await coordinator.close() })
  let runs = 0
  const find = deduplicate(async (id: string) => `${id}${++runs}`, { key: id => id, name: 'find', coordinator })
  const listens = async (wanted: boolean): Promise<void> => {
    const deadline = performance.now() + PATIENCE
    while (((await leftIn(server)).channels.length > 0) !== wanted) if (performance.now() > deadline) throw new Error(`it ${wanted ? 'does not listen' : 'listens'}`)
  }
  await listens(true)
  t.equal(await find('a'), 'a1')
  await coordinator.close()
  await listens(false)
  t.equal(await find('a'), 'a2', 'from then on each process runs for itself')
})
