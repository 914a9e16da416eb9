import { PassThrough, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { Broadcast, WINDOW } from '../../lib/http/broadcast.js'
import type { Cut, Listener } from '../../lib/http/broadcast-reader.js'
import { TestClock, until } from '../fixtures/gate.js'

class Ear implements Listener {
  readonly cuts: Cut[] = []
  cutOff (reason: Cut, cause: Error | undefined): Error {
    this.cuts.push(reason)
    return cause ?? new Error(reason)
  }
}

function broadcast (source: Readable, { maxBytes = 10_000_000, room = Infinity, length }: { maxBytes?: number, room?: number, length?: number } = {}) {
  const events: string[] = []
  const held = { bytes: 0, most: 0 }
  const cast = new Broadcast(source, {
    clock: new TestClock(),
    pace: step => { while (step()); },
    maxBytes,
    length,
    wrongLength: (declared, got) => new Error(`${declared} is not ${got}`),
    hold (bytes) {
      if (bytes > 0 && held.bytes + bytes > room) return false
      held.bytes += bytes
      held.most = Math.max(held.most, held.bytes)
      return true
    }
  }, {
    early () { events.push('early') },
    begun () { events.push('begun') },
    tooLarge () { events.push('too-large') },
    over (how) { events.push(how) }
  })
  return { cast, events, held }
}

/** All that a reader gives. */
async function textOf (reader: Readable): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of reader) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

t.test('all readers get all bytes, those who join late from the first one on, and the bytes are let go at the end', async t => {
  const source = new PassThrough()
  const { cast, events, held } = broadcast(source)
  const first = textOf(cast.join(new Ear()))
  cast.start()
  source.write('ab')
  await until(() => events.includes('begun'))
  const late = textOf(cast.join(new Ear()))
  source.end('cd')
  t.same(await Promise.all([first, late]), ['abcd', 'abcd'])
  t.same(events, ['begun', 'complete'])
  t.same(held, { bytes: 0, most: 4 })
})

t.test('strings and bytes are copied, and anything else is a failure', async t => {
  const source = new Readable({ objectMode: true, read () {} })
  const { cast } = broadcast(source)
  const ear = new Ear()
  const reader = cast.join(ear)
  cast.start()
  const chunk = Buffer.from('before')
  source.push(chunk)
  source.push('ä')
  await turn()
  chunk.write('after!')
  t.equal((reader.read() as Buffer).toString(), 'beforeä')
  source.push(5)
  await until(() => reader.destroyed)
  t.same(ear.cuts, ['cut-off'])
})

t.test('nothing is read before the start while nobody reads', async t => {
  let pulled = 0
  const { cast } = broadcast(new Readable({ read () { pulled++; this.push(null) } }))
  const reader = cast.join(new Ear())
  await turn()
  t.equal(pulled, 0)
  cast.start()
  t.equal(await textOf(reader), '')
})

t.test('who reads before the start gets all of it, and nobody else joins until it is started', async t => {
  for (const [what, chunks, before] of [['an empty one', [], ['early']], ['one of some bytes', ['ab', 'cd'], ['early']]] as const) {
    const { cast, events, held } = broadcast(Readable.from(chunks, { objectMode: false }))
    t.equal(await textOf(cast.join(new Ear())), chunks.join(''), what)
    t.same(events, before)
    t.equal(held.bytes, chunks.join('').length, 'for those who may join')
    const late = cast.join(new Ear())
    cast.start()
    t.same(events, [...before, 'begun', 'complete'])
    t.equal(await textOf(late), chunks.join(''))
    t.equal(held.bytes, 0)
  }
})

t.test('what was read before the start is let go with it if nobody else reads', async t => {
  const { cast, events, held } = broadcast(Readable.from(['ab']))
  await textOf(cast.join(new Ear()))
  cast.start()
  t.same(events, ['early', 'begun', 'complete'])
  t.equal(held.bytes, 0)
})

t.test('a source that is read before the start, and goes on after it, begins with the start', async t => {
  const source = new PassThrough()
  const { cast, events } = broadcast(source)
  const read = textOf(cast.join(new Ear()))
  source.write('ab')
  await until(() => events.includes('early'))
  await until(() => source.readableFlowing === true)
  await turn()
  t.same(events, ['early'])
  cast.start()
  await until(() => events.includes('begun'))
  const late = textOf(cast.join(new Ear()))
  source.end('cd')
  t.same(await Promise.all([read, late]), ['abcd', 'abcd'])
})

t.test('who reads a moment before the start is not early', async t => {
  const { cast, events } = broadcast(Readable.from(['ab']))
  const read = textOf(cast.join(new Ear()))
  await Promise.resolve()
  cast.start()
  t.equal(await read, 'ab')
  await turn()
  t.same(events, ['begun', 'complete'])
})

t.test('a source of which somebody else has read some is a failure, but not one that had been read before', async t => {
  const source = Readable.from(['ab', 'cd'])
  const { cast, events } = broadcast(source)
  const reader = cast.join(new Ear())
  source.resume()
  await until(() => source.readableEnded)
  cast.start()
  t.match(reader.errored, /somebody else has read/)
  t.same(events, ['cut-off'])
  const peeked = new PassThrough()
  peeked.end('abcd')
  peeked.unshift(peeked.read(2))
  const another = broadcast(peeked).cast
  another.start()
  t.equal(await textOf(another.join(new Ear())), 'abcd')
})

t.test('a source is read no further than a window ahead of its fastest reader', async t => {
  let made = 0
  const source = new Readable({ highWaterMark: 1024, read () { made += 1024; this.push(Buffer.alloc(1024)) } })
  const { cast } = broadcast(source)
  cast.join(new Ear())
  cast.start()
  for (let turns = 0; turns < 2000; turns++) await turn()
  t.ok(made >= WINDOW && made < WINDOW + 100_000, `${made}`)
  source.destroy()
})

t.test('who falls out of what is held is cut off, and who reads is not', async t => {
  const source = new PassThrough()
  const { cast, events, held } = broadcast(source, { maxBytes: 200_000 })
  const [fast, slow] = [new Ear(), new Ear()]
  let got = 0
  cast.join(fast).on('data', (chunk: Buffer) => { got += chunk.length })
  const stalled = cast.join(slow)
  cast.start()
  for (let i = 0; i < 100; i++) {
    source.write(Buffer.alloc(10_000))
    await turn()
  }
  source.end()
  await until(() => events.includes('complete'))
  t.equal(got, 1_000_000)
  t.same([fast.cuts, slow.cuts], [[], ['fell-behind']])
  t.ok(stalled.destroyed)
  t.same(events, ['begun', 'too-large', 'complete'])
  t.ok(held.most <= 200_000)
  t.equal(held.bytes, 0)
})

t.test('where there is no room for more the fastest reader still gets all', async t => {
  const source = new PassThrough()
  const { cast, held } = broadcast(source, { room: 25_000 })
  const read = textOf(cast.join(new Ear()))
  cast.start()
  source.end(Buffer.alloc(500_000, 'x'))
  t.equal((await read).length, 500_000)
  t.equal(held.bytes, 0)
})

t.test('a length that was declared wrong is a failure, never a clean end', async t => {
  for (const [length, message] of [[5, '5 is not 4'], [3, '3 is not 4']] as const) {
    const source = Readable.from([Buffer.from('abcd')])
    const { cast, events, held } = broadcast(source, { length })
    const read = textOf(cast.join(new Ear()))
    cast.start()
    await t.rejects(read, { message })
    t.equal(events.at(-1), 'cut-off')
    t.ok(source.destroyed)
    t.equal(held.bytes, 0)
  }
})

t.test('nothing is allocated for a length that is only declared', async t => {
  const source = new PassThrough()
  const { cast, held } = broadcast(source, { length: 1e15, maxBytes: 1e15 })
  const reader = cast.join(new Ear())
  const before = process.memoryUsage().arrayBuffers
  cast.start()
  source.write('abcd')
  reader.read(0)
  await until(() => reader.readableLength === 4)
  t.equal(held.most, 4)
  t.ok(process.memoryUsage().arrayBuffers - before < 1_000_000)
  reader.on('error', () => {})
  source.end()
  await until(() => reader.destroyed, 'the error of the wrong length')
})

t.test('the last reader that leaves takes the source with it, unless somebody may be waiting', async t => {
  const source = new PassThrough()
  const { cast, events, held } = broadcast(source)
  cast.join(new Ear()).destroy()
  cast.start()
  t.notOk(source.destroyed)
  source.write('a')
  await until(() => events.includes('unheard'))
  t.ok(source.destroyed)
  t.same(events, ['begun', 'unheard'])
  t.equal(held.bytes, 0)
})

t.test('a reader of a span gets its bytes as they come, whatever chunks they come in, and ends with the last of them', async t => {
  const source = new PassThrough()
  const { cast } = broadcast(source)
  const spans = [[0, 1], [1, 4], [2, 3], [5, 6], [4, 8]] as const
  const texts = spans.map(([start, end]) => textOf(cast.join(new Ear(), { start, end })))
  cast.join(new Ear()).resume()
  cast.start()
  for (const chunk of ['ab', 'cdef', 'g']) {
    source.write(chunk)
    await turn()
  }
  t.same(await Promise.all(texts.slice(0, 4)), ['a', 'bcd', 'c', 'f'], 'while the source goes on')
  const late = textOf(cast.join(new Ear(), { start: 3, end: 5 }))
  t.equal(await late, 'de')
  source.end('h')
  t.equal(await texts[4], 'efgh')
})

t.test('a reader that has its span holds nothing, even if its client has not taken it', async t => {
  const source = new PassThrough()
  const { cast, events, held } = broadcast(source)
  const stalled = cast.join(new Ear(), { start: 0, end: 100_000 })
  stalled.read(0)
  cast.start()
  source.write(Buffer.alloc(150_000))
  await until(() => events.includes('unheard'), 'the last one to have left')
  t.ok(source.destroyed)
  t.equal(held.bytes, 0)
  t.notOk(stalled.destroyed)
  let rest = 0
  for await (const chunk of stalled) rest += (chunk as Buffer).length
  t.equal(rest, 100_000, 'and is given all of it')
})

t.test('who waits for its span takes what comes before it at any pace, where nothing is held either', async t => {
  for (const room of [Infinity, 0]) {
    const source = new PassThrough()
    const { cast, events } = broadcast(source, { room })
    const text = textOf(cast.join(new Ear(), { start: 3_000_000, end: 3_000_002 }))
    cast.start()
    for (let i = 0; i < 30; i++) source.write(Buffer.alloc(100_000, 'x'))
    source.end('ok')
    t.equal(await text, 'ok')
    t.ok(events.includes(room === 0 ? 'too-large' : 'begun'))
  }
})

t.test('a span of a source that is not what it says ends as visibly as the whole', async t => {
  const source = new PassThrough()
  const { cast } = broadcast(source, { length: 10 })
  const [inTime, late] = [textOf(cast.join(new Ear(), { start: 0, end: 2 })), textOf(cast.join(new Ear(), { start: 2, end: 8 }))]
  cast.start()
  source.end('abcd')
  t.equal(await inTime, 'ab')
  await t.rejects(late, { message: '10 is not 4' })
})

t.test('a span that begins before what is held is cut off, and one that begins in it is not', async t => {
  const source = new PassThrough()
  const { cast, events } = broadcast(source, { maxBytes: 100_000 })
  cast.join(new Ear()).resume()
  cast.start()
  for (let i = 0; i < 20; i++) {
    source.write(Buffer.alloc(10_000, 'x'))
    await turn()
  }
  t.ok(events.includes('too-large'))
  const ear = new Ear()
  cast.join(ear, { start: 5, end: 10 })
  t.same(ear.cuts, ['fell-behind'])
  const text = textOf(cast.join(new Ear(), { start: 199_998, end: 200_002 }))
  source.end('ok')
  t.equal(await text, 'xxok')
})

t.test('whatever the schedule, each reader gets a prefix of its span, and ends cleanly only with all of it or with the source', async () => {
  type Step = { readonly type: 'write', readonly size: number } | { readonly type: 'read', readonly who: number, readonly size: number } |
    { readonly type: 'leave' | 'join', readonly who: number } |
    { readonly type: 'span', readonly start: number, readonly size: number } | { readonly type: 'turn' }
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ type: fc.constant('write' as const), size: fc.integer({ min: 0, max: 40_000 }) }),
    fc.record({ type: fc.constant('read' as const), who: fc.nat(5), size: fc.integer({ min: 1, max: 90_000 }) }),
    fc.record({ type: fc.constantFrom('leave' as const, 'join' as const), who: fc.nat(5) }),
    fc.record({ type: fc.constant('span' as const), start: fc.nat(300_000), size: fc.integer({ min: 1, max: 100_000 }) }),
    fc.record({ type: fc.constant('turn' as const) }))
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.boolean(), fc.integer({ min: 1000, max: 400_000 }), fc.option(fc.integer({ min: 1, max: 400_000 })),
    async (steps, fails, maxBytes, room) => {
      const source = new PassThrough({ highWaterMark: 1_000_000 })
      source.on('error', () => {})
      const { cast, events, held } = broadcast(source, { maxBytes, room: room ?? Infinity })
      const written: Buffer[] = []
      const all: Array<{ reader: Readable, ear: Ear, got: Buffer[], ended: boolean, left: boolean, start: number, end: number }> = []
      const join = (start = 0, end = Infinity): void => {
        const ear = new Ear()
        const each = { reader: cast.join(ear, { start, end }), start, end, ear, got: [] as Buffer[], ended: false, left: false }
        each.reader.on('end', () => { each.ended = true })
        all.push(each)
      }
      join()
      join()
      cast.start()
      for (const [index, each] of steps.entries()) {
        const target = 'who' in each ? all[each.who % all.length] : undefined
        if (each.type === 'write' && !source.destroyed) {
          const chunk = Buffer.alloc(each.size, index + 1)
          written.push(chunk)
          source.write(chunk)
        } else if (each.type === 'read' && target !== undefined) {
          const chunk = (target.reader.read(Math.min(each.size, target.reader.readableLength)) ?? target.reader.read()) as Buffer | null
          if (chunk !== null) target.got.push(chunk)
        } else if (each.type === 'leave' && target !== undefined) {
          target.left = true
          target.reader.destroy()
        } else if (each.type === 'join' && all.length < 6 && events.join() === 'begun') {
          join()
        } else if (each.type === 'span' && all.length < 6 && (index === 0 || events.join() === 'begun')) {
          join(each.start, each.start + each.size)
        } else {
          await turn()
        }
      }
      if (fails) source.destroy(new Error('broken'))
      else source.end()
      for (const each of all) each.reader.on('data', (chunk: Buffer) => { each.got.push(chunk) }).resume()
      await until(() => all.every(({ reader, ended }) => ended || reader.destroyed), 'the end of all readers')
      await until(() => events.some(event => ['complete', 'cut-off', 'unheard'].includes(event)), 'the end')
      const whole = Buffer.concat(written)
      for (const { got, ended, ear, left, start, end } of all) {
        const bytes = Buffer.concat(got)
        const span = whole.subarray(start, end)
        if (!bytes.equals(span.subarray(0, bytes.length))) throw new Error('not a prefix')
        const hasAll = start + bytes.length === end || (events.includes('complete') && bytes.length === span.length)
        if (ended && !hasAll) throw new Error('a clean end of a part')
        if (!ended && !left && ear.cuts.length === 0) throw new Error('neither ended nor cut off')
        if (left && ear.cuts.length > 1) throw new Error('cut off twice')
      }
      if (held.bytes !== 0) throw new Error(`${held.bytes} bytes are still held`)
      if (held.most > maxBytes) throw new Error('more is held than may be')
    }), { numRuns: 300 })
})
