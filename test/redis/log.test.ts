/**
 * "What is read of a stream of another process is a beginning of it, and ends only if it is all of it."
 */
import { PassThrough, Readable } from 'node:stream'
import t, { type Test } from 'tap'
import type { LiveMessage } from '../../types/index.js'
import { Figures } from '../../lib/redis/figures.js'
import type { Link, Replies, Step } from '../../lib/redis/link.js'
import { LogReader } from '../../lib/redis/log-reader.js'
import { LogWriter, PLACE_OF, type LoggedRun } from '../../lib/redis/log-writer.js'
import { Names } from '../../lib/redis/names.js'
import { scripts, type Call } from '../../lib/redis/scripts.js'
import { Seal } from '../../lib/redis/seal.js'
import { TestClock, until } from '../fixtures/gate.js'
import { following, message, peersOf, type Peer } from '../fixtures/redis/peers.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

const seal = new Seal('test', 'a secret of the tests')
const names = new Names('', 'test', 1, seal)
const run: LoggedRun = { key: 'k', names: names.of('k'), token: 'leader:1' }

/** A link whose answers the test gives. */
function linkOf (send: (step: Step) => Replies | undefined | Promise<Replies | undefined>) {
  const figures = new Figures()
  const clock = new TestClock()
  const link = { seal, names, figures, clock, opTimeout: 100, scripts: scripts(false), send: async (_lane: number, [step]: readonly Step[]) => await send(step as Step) }
  return { link: link as unknown as Link, figures, clock }
}

const head = seal.seal(PLACE_OF.head(run.token), run.key, [Buffer.from('head')])
const chunk = (offset: number, text: string, { key, token } = run): Buffer => seal.seal(PLACE_OF.body(token, offset), key, [Buffer.from(text)])
const end = (offset: number): Buffer => seal.seal(PLACE_OF.end(run.token, offset), run.key, [])

/** Reads a log of these entries, of which `told` are told of. */
function read (entries: readonly unknown[], told = entries.length, maxBytes = 1_000) {
  const { link, figures } = linkOf(step => {
    const [, , first, last] = step as unknown as readonly [string, string, number, number]
    return [entries.slice(first, last + 1)] as unknown as Replies
  })
  const events: string[] = []
  const reader = new LogReader(link, run, maxBytes, {
    opened: head => { events.push(head.length > 0 ? String(head) : '') },
    failed: () => { events.push('failed') },
    closed: isComplete => { events.push(isComplete ? 'complete' : 'closed') }
  })
  let text = ''
  reader.on('data', (bytes: Buffer) => { text += bytes.toString() })
  const over = new Promise<string>(resolve => {
    reader.on('close', () => { resolve(reader.readableEnded ? `${text} and the end` : `${text} broken off`) })
  })
  reader.more(told, false)
  return { reader, events, figures, over, text: () => text }
}

t.test('a log is read in order, to its end', async t => {
  const { events, over, figures } = read([head, chunk(0, 'one '), chunk(4, 'two'), end(7)])
  t.equal(await over, 'one two and the end')
  t.strictSame(events, ['head', 'complete'])
  t.equal(figures.received.messages, 1)
})

t.test('a log that grows is read on', async t => {
  const entries = [head, chunk(0, 'one ')]
  const { reader, over, text } = read(entries)
  await until(() => text() === 'one ')
  for (let count = 0; count < 40; count++) entries.push(chunk(4 + count, 'x'))
  reader.more(entries.length, false)
  await until(() => text().length === 44)
  entries.push(end(44))
  reader.more(entries.length, true)
  t.match(await over, /x{40} and the end$/)
})

for (const [what, entries] of Object.entries({
  'has a gap': [head, chunk(0, 'one '), chunk(8, 'three')],
  'has an entry twice': [head, chunk(0, 'one '), chunk(0, 'one ')],
  'has an entry of another run': [head, chunk(0, 'one '), chunk(4, 'two', { ...run, token: 'leader:2' })],
  'has an entry of another key': [head, chunk(0, 'one '), chunk(4, 'two', { ...run, key: 'l' })],
  'has an entry that nobody of us has sealed': [head, chunk(0, 'one '), Buffer.from('two'.repeat(30))],
  'has an entry that was changed': [head, chunk(0, 'one '), Buffer.from(chunk(4, 'two').map((byte, index, all) => index === all.length - 1 ? byte ^ 1 : byte))],
  'has its end too early': [head, chunk(0, 'one '), end(3)]
})) {
  t.test(`a log that ${what} is broken off`, async t => {
    const { events, over, figures } = read(entries)
    t.equal(await over, 'one  broken off')
    t.strictSame(events, ['head', 'closed'])
    t.equal(figures.rejected, 1)
  })
}

t.test('a log without its head, or with that of another run, is none', async t => {
  const { events, over } = read([chunk(0, 'one ')])
  t.equal(await over, ' broken off')
  t.strictSame(events, ['failed'])
})

t.test('a log that is shorter than was told, or is gone, is broken off', async t => {
  const short = read([head, chunk(0, 'one ')], 3)
  t.equal(await short.over, 'one  broken off')
  const gone = read([head, chunk(0, 'one ')])
  await until(() => gone.text() === 'one ')
  gone.reader.more(0, false)
  gone.reader.fail()
  t.equal(await gone.over, 'one  broken off')
  t.strictSame(gone.events, ['head', 'closed'])
})

t.test('a log of more bytes than a message may have is broken off', async t => {
  const { over } = read([head, chunk(0, 'one '), chunk(4, 'two'), end(7)], 4, 6)
  t.equal(await over, 'one  broken off')
})

t.test('who is not there any more when entries arrive gets none', async t => {
  const { reader, events, over } = read([head, chunk(0, 'one ')])
  reader.destroy()
  t.equal(await over, ' broken off')
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(events, ['closed'])
})

/** Writes a log to a link that answers with how many wait. */
function write (answer: (entries: number, times: number) => Replies | undefined, live: Partial<LiveMessage> = {}, maxMessageBytes = 1_000_000) {
  const written: string[] = []
  let times = 0
  const { link, figures, clock } = linkOf(step => {
    const [, , before, keep, ...entries] = (step as Call).args
    written.push(keep === 0 ? 'cut' : `${entries.length} after ${String(before)}`)
    return answer(entries.length, ++times)
  })
  const body = new PassThrough()
  const told: string[] = []
  const bodies: Readable[] = []
  const writer = new LogWriter(link, { lease: 300, maxMessageBytes }, run, {
    head: () => Buffer.from('head'),
    body: () => {
      bodies.push(body)
      return body
    },
    ...live
  }, () => { told.push('unwanted') })
  return { writer, written, figures, clock, body, bodies, told }
}

const later = async (): Promise<void> => { for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve)) }

t.test('nothing is read or sent before somebody waits', async t => {
  const { writer, written, bodies } = write(() => [1])
  writer.cut()
  writer.waited()
  t.equal(writer.finished(), undefined)
  t.strictSame([written, bodies], [[], []])
})

t.test('a log has the head and the first bytes at once, and large chunks in pieces', async t => {
  const { writer, written, body } = write(() => [1])
  body.write('x'.repeat(300_000))
  writer.waited()
  await later()
  body.end()
  const finished = await writer.finished()
  t.equal(finished?.entries, written.reduce((sum, line) => sum + Number(line.split(' ')[0]), 0))
  t.equal(written[0]?.startsWith('4 after 0'), true)
})

t.test('a body without a byte has a head and an end', async t => {
  const { writer, written, body } = write(() => [1])
  writer.waited()
  body.end()
  t.equal((await writer.finished())?.entries, 1)
  t.strictSame(written, ['1 after 0'])
})

t.test('who comes later is told of what there is', async t => {
  const { writer, written, body, clock } = write(() => [1])
  body.write('one')
  writer.waited()
  writer.waited()
  await later()
  writer.waited()
  clock.advance(100)
  await later()
  t.strictSame(written, ['2 after 0', '0 after 2', '0 after 2'])
  writer.cut()
  t.equal(await writer.finished(), undefined)
  t.equal(written.at(-1), 'cut')
})

t.test('what may be lost is sent once more, and then given up', async t => {
  for (const [answer, last] of [[undefined, 'cut'], [[new Error('OOM')], 'cut'], [[-1], 'cut']] as ReadonlyArray<[Replies | undefined, string]>) {
    const { writer, written, body, clock } = write((_entries, times) => times === 1 ? [1] : answer)
    body.write('one')
    writer.waited()
    await later()
    body.write('two')
    await later()
    clock.advance(100)
    t.equal(await writer.finished(), undefined)
    t.equal(written.at(-1), last)
    t.equal(body.destroyed, true)
  }
  const { writer, written, body, clock } = write((_entries, times) => times === 2 ? undefined : [1])
  body.write('one')
  writer.waited()
  await later()
  body.end('two')
  await later()
  clock.advance(100)
  t.equal((await writer.finished())?.entries, 3)
  t.strictSame(written, ['2 after 0', '1 after 2', '0 after 3', '1 after 2'])
})

t.test('what is cut while it is sent once more is not', async t => {
  const { writer, written, body, clock } = write(() => undefined)
  body.write('one')
  writer.waited()
  await later()
  writer.cut()
  clock.advance(100)
  t.equal(await writer.finished(), undefined)
  t.strictSame(written, ['2 after 0', 'cut'])
})

t.test('what is cut when all has been sent but its end is not whole', async t => {
  let cut = (): void => {}
  const { writer, written, body } = write((_entries, times) => {
    if (times === 2) cut()
    return [1]
  })
  cut = () => { writer.cut() }
  body.write('one')
  writer.waited()
  await later()
  body.end('two')
  t.equal(await writer.finished(), undefined)
  t.strictSame(written, ['2 after 0', '1 after 2', 'cut'])
})

t.test('a log is read no faster than its reader, and to its end once it is whole', async t => {
  const large = 'x'.repeat(100_000)
  let there = 2
  const { link } = linkOf(step => {
    const [, , first, last] = step as unknown as readonly [string, string, number, number]
    return [[head, chunk(0, large), chunk(100_000, large), end(200_000)].slice(0, there).slice(first, last + 1)] as unknown as Replies
  })
  let isComplete: boolean | undefined
  const reader = new LogReader(link, run, 1_000_000, { opened () {}, failed () {}, closed: complete => { isComplete = complete } })
  reader.more(2, false)
  await later()
  there = 3
  reader.more(3, false)
  await later()
  t.equal(isComplete, undefined)
  there = 4
  reader.more(4, true)
  await later()
  t.equal(isComplete, true)
  reader.destroy()
})

t.test('what has no head, or is too large, is not read elsewhere', async t => {
  const headless = write(() => [1], { head: () => undefined })
  headless.writer.waited()
  t.equal(await headless.writer.finished(), undefined)
  t.equal(headless.bodies.length, 0)
  const large = write(() => [1], {}, 10)
  large.body.write('x'.repeat(11))
  large.writer.waited()
  t.equal(await large.writer.finished(), undefined)
  t.equal(large.figures.tooLarge, 1)
})

t.test('if nobody waits any more, nothing more is read, and who comes then has all', async t => {
  const bodies: PassThrough[] = []
  const { writer, told, clock } = write(() => [waiting], {
    body: () => {
      const body = new PassThrough()
      body.write('one')
      bodies.push(body)
      return body
    }
  })
  let waiting = 0
  writer.waited()
  await writer.finished()
  t.equal(writer.finished(), undefined)
  t.equal(bodies[0]?.destroyed, true)
  waiting = 1
  writer.waited()
  await later()
  waiting = 0
  clock.advance(100)
  await later()
  t.strictSame([told.length, bodies.length, bodies[1]?.destroyed], [2, 2, true])
})

t.test('who comes while the last one leaves has all', async t => {
  const bodies: PassThrough[] = []
  const { writer, told } = write((_entries, times) => {
    if (times === 1) writer.waited()
    return [times === 1 ? 0 : 1]
  }, {
    body: () => {
      const body = new PassThrough()
      body.end('one')
      bodies.push(body)
      return body
    }
  })
  writer.waited()
  t.equal((await writer.finished())?.entries, 2)
  t.strictSame([told.length, bodies.length], [0, 2])
})

async function begun (t: Test, options = {}): Promise<{ one: Peer, two: Peer, body: PassThrough }> {
  const server = await redisServer(t)
  const [one, two] = await peersOf(t, server, 2, { relay: true, ...options }) as [Peer, Peer]
  return { one, two, body: new PassThrough() }
}

t.test('a listener that takes no streams waits for the whole, or asks again', withServer, async t => {
  const { one, two, body } = await begun(t)
  const live = (): LiveMessage => ({ head: () => Buffer.from('head'), body: () => body })
  const lease = await one.lead('a')
  const { fate } = await two.follow('a')
  await until(() => lease.isWaitedFor)
  const relay = lease.relay?.(live())
  t.equal(lease.relay?.(live()), undefined)
  relay?.cut()
  lease.land(message('the whole').make)
  t.strictSame(await fate, { message: 'the whole' })
  t.equal(lease.relay?.(live()), undefined)

  const next = await one.lead('b')
  const { fate: lost } = await two.follow('b')
  await until(() => next.isWaitedFor)
  const whole = new PassThrough()
  next.relay?.({ head: () => Buffer.from('head'), body: () => whole })
  whole.end('one')
  next.land(message('not sent').make)
  t.strictSame(await lost, { lost: 'rejected' })
})

t.test('who begins to listen late has the stream, and one that is told of it too early as well', withServer, async t => {
  const { one, two } = await begun(t)
  const lease = await one.lead('a')
  const joined = await two.join('a')
  if (joined.type !== 'follows') throw new Error(joined.type)
  await until(() => lease.isWaitedFor)
  const body = new PassThrough()
  lease.relay?.({ head: () => Buffer.from('head'), body: () => body })
  body.write('one')
  await until(() => (one.coordination.figures?.().sent.bytes ?? 0) > 0)
  const text = await new Promise<string>(resolve => {
    joined.run.follow({
      landed: () => { resolve('landed') },
      lost: resolve,
      opened: (_head, body) => {
        body.once('data', (bytes: Buffer) => { resolve(bytes.toString()) })
        body.on('error', () => {})
      }
    })
  })
  t.equal(text, 'one')
  lease.release()
  following(joined.run)
})
