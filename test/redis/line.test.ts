/**
 * "A line settles what it was given, comes back, and is silent once it is closed."
 */
import t from 'tap'
import { bare, mapped, type WireListener } from '../../lib/redis/clients/client.js'
import type { Command, Reply } from '../../lib/redis/clients/connection.js'
import { Line } from '../../lib/redis/clients/line.js'
import { gate, TestClock, type Gate } from '../fixtures/gate.js'

/** A line over a wire that the test moves, with what both have said. */
function lined () {
  const clock = new TestClock()
  const said: string[] = []
  const writes: Array<{ readonly commands: readonly Command[], readonly replies: Gate<readonly Reply[]> }> = []
  let wire!: WireListener
  const line = new Line(listener => {
    wire = listener
    return {
      open () { said.push('open') },
      async write (commands) {
        const replies = gate<readonly Reply[]>()
        writes.push({ commands, replies })
        return await replies.promise
      },
      async subscribe () {},
      cut () { said.push('cut') },
      async close () { said.push('close') }
    }
  }, {
    ready () { said.push('ready') },
    closed () { said.push('closed') },
    message (channel) { said.push(`message ${channel}`) },
    moved () { said.push('moved') },
    failed (error) { said.push(`failed: ${error.message}`) }
  }, { clock, opTimeout: 10 })
  return { clock, said, writes, wire, line }
}

t.test('it connects again, later from time to time, and says so once', async t => {
  const { clock, said, wire } = lined()
  wire.up()
  wire.down()
  wire.down()
  clock.advance(99)
  t.strictSame(said, ['open', 'ready', 'closed'])
  clock.advance(1)
  t.strictSame(said.splice(0), ['open', 'ready', 'closed', 'open'])
  for (let round = 0; round < 20; round++) wire.down()
  clock.advance(499)
  t.strictSame(said, [])
  clock.advance(1)
  t.strictSame(said, ['open'])
})

t.test('a server that was asked nothing is asked, and given up if it does not answer', async t => {
  const { clock, said, writes, wire, line } = lined()
  wire.up()
  clock.advance(200)
  t.strictSame(writes.map(({ commands }) => commands), [[['ping']]])
  writes[0]?.replies.open([null])
  await new Promise(setImmediate)
  clock.advance(200)
  t.equal(writes.length, 2)
  const asked = line.send([['GET', 'a']])
  clock.advance(100)
  writes[1]?.replies.open([null])
  await new Promise(setImmediate)
  clock.advance(199)
  t.notOk(said.includes('cut'), 'a reply shows that it lives')
  clock.advance(1)
  t.strictSame(said, ['open', 'ready', 'failed: the server does not answer', 'cut'])
  wire.down()
  await t.rejects(asked, { message: 'the connection was lost' })
  writes[2]?.replies.fail(new Error('too late'))
  line.cut()
  t.equal(said.filter(word => word === 'cut').length, 1, 'what is not connected is not cut')
})

t.test('a wire that refuses the question is cut', async t => {
  const { clock, said, writes, wire } = lined()
  wire.up()
  clock.advance(200)
  writes[0]?.replies.fail(new Error('Connection in subscriber mode'))
  await new Promise(setImmediate)
  t.equal(said.at(-1), 'cut')
})

t.test('nothing is heard of a closed line, and its timers are gone', async t => {
  const { clock, said, wire, line } = lined()
  wire.up()
  const asked = line.send([['GET', 'a']])
  await Promise.all([line.close(), t.rejects(asked, { message: 'the connection was lost' })])
  wire.up()
  wire.message('channel', Buffer.from(''))
  wire.moved()
  wire.failed(new Error('late'))
  wire.down()
  t.strictSame(said, ['open', 'ready', 'close'])
  t.equal(line.isReady, false)
  t.equal(clock.timers, 0)
})

t.test('an error is told in its own words, without what it carries', async t => {
  const carrying = Object.assign(new Error('ERR wrong'), { command: { args: ['secret'] }, code: 'X' })
  t.strictSame({ ...bare(carrying) }, { code: 'X' })
  t.equal(bare(carrying).message, 'ERR wrong')
  t.equal(bare(Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })).message, 'ECONNREFUSED')
  t.equal(bare('text').message, 'text')
  t.equal(bare(new Error('')).message, 'Error')
})

t.test('the address of a node is what the client finds it by', async t => {
  const inside = { host: 'inside', port: 1 }
  const outside = { host: 'outside', port: 2 }
  t.equal(mapped(undefined, inside), inside)
  t.equal(mapped(null, inside), inside)
  t.equal(mapped({ 'inside:1': outside }, inside), outside)
  t.equal(mapped({ 'other:1': outside }, inside), inside)
  t.equal(mapped((name: string) => name === 'inside:1' ? outside : null, inside), outside)
  t.equal(mapped(() => null, inside), inside)
})
