/**
 * "What a connection tells holds at that moment, in whatever order its wires come, go and answer."
 */
import t from 'tap'
import { ClusterConnection, type Scouted } from '../../lib/redis/clients/cluster.js'
import type { Reply } from '../../lib/redis/clients/connection.js'
import { StandaloneConnection } from '../../lib/redis/clients/standalone.js'
import { gate } from '../fixtures/gate.js'
import { turn } from '../fixtures/redis/scripted.js'
import { Wires, type FakeWire } from '../fixtures/redis/wires.js'

function standalone () {
  const wires = new Wires()
  const connection = new StandaloneConnection(listener => wires.make({ host: 'a', port: 1 }, listener), ['in'], wires.listener, wires.timing)
  const [commands, inbox] = wires.all as [FakeWire, FakeWire]
  return { wires, connection, commands, inbox }
}

t.test('messages are taken from the inbox only', async t => {
  const { wires: { said }, commands, inbox } = standalone()
  for (const { listener } of [commands, inbox]) listener.message('in', Buffer.from('x'))
  commands.listener.moved()
  inbox.listener.moved()
  t.strictSame(said, ['message in'])
})

t.test('an inbox that is lost before it is subscribed was never there', async t => {
  const { wires, connection, inbox } = standalone()
  inbox.listener.down()
  wires.subscribes = async () => await gate().promise
  inbox.listener.up()
  inbox.listener.down()
  await turn()
  t.strictSame(wires.said, [])
  wires.subscribes = () => {}
  inbox.listener.up()
  await turn()
  t.strictSame([wires.said, connection.isInboxReady], [['inboxReady'], true])
  inbox.listener.down()
  t.strictSame([wires.said, connection.isInboxReady], [['inboxReady', 'inboxClosed'], false])
})

t.test('an inbox that is subscribed, or refused, while it closes is not told of', async t => {
  for (const outcome of ['open', 'fail'] as const) {
    const { wires, connection, inbox } = standalone()
    const subscribed = gate()
    wires.subscribes = async () => { await subscribed.promise }
    wires.closing = gate()
    inbox.listener.up()
    const closed = connection.close()
    if (outcome === 'open') subscribed.open()
    else subscribed.fail(new Error('NOPERM'))
    await turn()
    wires.closing.open()
    await closed
    t.strictSame([wires.said, connection.isInboxReady, wires.clock.timers], [[], false, 0])
  }
})

const A = { host: 'a', port: 1 }
const CHANNEL = '{0}:in'
const ranges = (...hosts: readonly string[]): Reply => hosts.map((host, at) => [16_384 * at / hosts.length, 16_384 * (at + 1) / hosts.length - 1, [Buffer.from(host), 1]])
const SLOTS_ERROR = 'ERR This instance has cluster support disabled'

function clustered ({ slots = () => ranges('a'), scout }: { slots?: (wire: FakeWire) => Reply | Promise<Reply>, scout?: () => Promise<Scouted> } = {}) {
  const wires = new Wires()
  const scouted = { times: 0, slots }
  wires.answer = ([name], wire) => name === 'CLUSTER' ? scouted.slots(wire) : Buffer.from(name)
  const found = { seeds: [A], make: wires.make }
  const connection = new ClusterConnection(async () => {
    scouted.times++
    return scout === undefined ? found : await scout()
  }, [CHANNEL], wires.listener, wires.timing)
  const asked = (): number => wires.all.flatMap(({ written }) => written).filter(([command]) => command?.[0] === 'CLUSTER').length
  return { wires, connection, scouted, found, asked }
}

/** Has all that has been made connect. */
async function up (wires: Wires): Promise<void> {
  for (let known = 0; known < wires.all.length;) {
    const fresh = wires.all.slice(known)
    known = wires.all.length
    for (const { listener } of fresh) listener.up()
    await turn()
  }
}

t.test('a cluster is ready once the node of each channel is, for commands and for messages', async t => {
  const { wires, connection } = clustered()
  await turn()
  await up(wires)
  t.strictSame([wires.said, connection.isReady, connection.isInboxReady], [['ready', 'inboxReady'], true, true])
  const [commands, inbox] = wires.to('a') as [FakeWire, FakeWire]
  commands.listener.message(CHANNEL, Buffer.from('x'))
  commands.listener.moved()
  inbox.listener.message(CHANNEL, Buffer.from('x'))
  t.strictSame(wires.said, ['ready', 'inboxReady', `message ${CHANNEL}`], 'messages come from the inbox only')
  t.strictSame(await connection.send(CHANNEL, [['PING']]), [Buffer.from('PING')])
  await connection.close()
  t.equal(wires.clock.timers, 0)
})

t.test('a node that answers with an error where its slots are asked for is told of, and asked again', async t => {
  const { wires, connection, scouted, asked } = clustered({ slots: () => new Error(SLOTS_ERROR) })
  await turn()
  await up(wires)
  t.strictSame([wires.said, connection.isReady], [[`failed: ${SLOTS_ERROR}`], false])
  const before = asked()
  scouted.slots = () => []
  for (let times = 0; times < 20 && asked() === before; times++) {
    wires.clock.advance(500)
    await turn()
    await up(wires)
  }
  t.ok(asked() > before)
  t.equal(connection.isReady, false, 'nobody has anything')
  scouted.slots = () => ranges('a')
  for (let times = 0; times < 20 && !connection.isReady; times++) {
    wires.clock.advance(500)
    await turn()
    await up(wires)
  }
  t.equal(connection.isReady, true)
  await connection.close()
})

t.test('a cluster that is not there, or that is lost altogether, is looked for anew, again and again', async t => {
  for (const roundsBefore of [0, 1]) {
    let fails = true
    const { wires, connection, scouted, found } = clustered({
      scout: async () => {
        if (fails) throw new Error('connect ECONNREFUSED')
        return found
      }
    })
    await turn()
    t.strictSame(wires.said.splice(0), ['failed: connect ECONNREFUSED'])
    wires.clock.advance(5_000)
    await turn()
    t.equal(scouted.times, 2)
    fails = false
    wires.clock.advance(5_000)
    await turn()
    t.equal(scouted.times, 3)
    await up(wires)
    t.equal(connection.isReady, true)
    for (let round = 0; round < roundsBefore; round++) {
      wires.to('a')[1]?.listener.moved()
      await turn()
    }
    for (const { listener } of wires.all) listener.down()
    t.equal(connection.isReady, false)
    wires.clock.advance(10_000)
    await turn()
    t.equal(scouted.times, 5, `after ${roundsBefore}`)
    await connection.close()
  }
})

t.test('a closed cluster heeds no answer that was on its way, neither of a node nor of the scout', async t => {
  const slots = gate<Reply>()
  const { wires, connection } = clustered({ slots: async () => await slots.promise })
  await turn()
  wires.to('a')[0]?.listener.up()
  await turn()
  wires.closing = gate()
  const closed = connection.close()
  slots.open(new Error(SLOTS_ERROR))
  await turn()
  wires.closing.open()
  await closed
  t.strictSame(wires.said, [])

  for (const outcome of ['found', 'failed'] as const) {
    const scouting = gate<Scouted>()
    const late = clustered({ scout: async () => await scouting.promise })
    await late.connection.close()
    if (outcome === 'found') scouting.open(late.found)
    else scouting.fail(new Error('connect ECONNREFUSED'))
    await turn()
    t.strictSame([late.wires.all, late.wires.said], [[], []])
  }
})

t.test('a command that is sent on to a node that is not connected is answered with the refusal, and sent nowhere', async t => {
  const { wires, connection } = clustered()
  await turn()
  await up(wires)
  const { answer } = wires
  wires.answer = (command, wire) => command[0] === 'GET' ? new Error('MOVED 0 b:1') : answer(command, wire)
  const [moved] = await connection.send(CHANNEL, [['GET', 'a']])
  t.match(moved, { message: 'MOVED 0 b:1' })
  t.strictSame(wires.to('b').map(({ written }) => written), [[]])
  await connection.close()
})

t.test('a channel whose node has just become another is asked for there, and at the old one no more', async t => {
  const { wires, connection, scouted, asked } = clustered()
  await turn()
  wires.subscribes = (_channels, { address }) => {
    if (address.host === 'a') throw new Error('MOVED 13907 b:1')
  }
  await up(wires)
  t.strictSame(wires.said, ['ready'], 'it is no failure')
  const before = asked()
  t.equal(before, 2, 'it is asked again who has what, once')
  t.equal(wires.to('a')[1]?.subscribed.length, 1, 'and the channel is not asked for again before its time')
  scouted.slots = () => ranges('b')
  wires.clock.advance(500)
  await turn()
  await up(wires)
  t.strictSame([connection.isReady, connection.isInboxReady], [true, true])
  t.ok(wires.to('a').every(({ isClosed }) => isClosed))
  t.strictSame(wires.to('b').flatMap(({ subscribed }) => subscribed), [[CHANNEL]])
  await connection.close()
})

t.test('a subscription that is lost with its connection is no failure, and is made again with the next one', async t => {
  const { wires, connection } = clustered()
  await turn()
  wires.subscribes = async () => await gate().promise
  await up(wires)
  const [, inbox] = wires.to('a') as [FakeWire, FakeWire]
  inbox.listener.down()
  await turn()
  t.strictSame(wires.said, ['ready'])
  wires.subscribes = () => {}
  inbox.listener.up()
  await turn()
  t.strictSame([wires.said, connection.isInboxReady], [['ready', 'inboxReady'], true])
  await connection.close()
})
