/**
 * The rules of a broadcast, one by one: each test here fails without the one that it names.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { Duplex, PassThrough, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { pace } from '../../lib/engine/flights/pace.js'
import { Broadcast } from '../../lib/http/broadcast.js'
import type { Cut, Listener } from '../../lib/http/broadcast-reader.js'
import { TestClock, until } from '../fixtures/gate.js'

class Ear implements Listener {
  readonly cuts: Cut[] = []
  cutOff (reason: Cut, cause: Error | undefined): Error {
    this.cuts.push(reason)
    return cause ?? new Error(reason)
  }
}

function broadcast (source: Readable, { maxBytes = 10_000_000, length }: { maxBytes?: number, length?: number } = {}) {
  const events: string[] = []
  const held = { bytes: 0, most: 0, givenBack: 0 }
  const clock = new TestClock()
  const cast = new Broadcast(source, {
    clock,
    pace: (step, yields) => { pace(clock, step, yields) },
    maxBytes,
    length,
    wrongLength: (declared, got) => new Error(`${declared} is not ${got}`),
    hold (bytes) {
      held.bytes += bytes
      held.most = Math.max(held.most, held.bytes)
      if (bytes < 0) held.givenBack -= bytes
      return true
    }
  }, {
    early () { events.push('early') },
    begun () { events.push('begun') },
    tooLarge () { events.push('too-large') },
    over (how) { events.push(how) }
  })
  return { cast, clock, events, held }
}

/** One who reads all that comes, and what it has so far. */
function reading (reader: Readable): { readonly got: () => string, readonly ended: () => boolean } {
  let got = ''
  let ended = false
  reader.on('data', (chunk: Buffer) => { got += chunk.toString('latin1') }).on('end', () => { ended = true })
  return { got: () => got, ended: () => ended }
}

const source = (): PassThrough => new PassThrough({ highWaterMark: 100_000_000 })

t.test('a source that can be written to is over when it has been read', async t => {
  const duplex = new Duplex({ read () { this.push('all'); this.push(null) }, write () {}, allowHalfOpen: true })
  const { cast, events } = broadcast(duplex)
  const reader = reading(cast.join(new Ear()))
  cast.start()
  await until(() => reader.ended())
  t.same([reader.got(), events], ['all', ['begun', 'complete']])
})

t.test('only what takes newcomers to its end is complete', async t => {
  const whole = broadcast(Readable.from([Buffer.from('abc')]))
  const closed = broadcast(Readable.from([Buffer.from('abc')]))
  const large = broadcast(Readable.from([Buffer.from('abc')]), { maxBytes: 2 })
  for (const { cast } of [whole, closed, large]) {
    cast.join(new Ear())
    cast.start()
  }
  closed.cast.close()
  await until(() => [whole, closed, large].every(({ events }) => events.includes('complete')))
  t.same([whole, closed, large].map(({ cast }) => cast.complete), [true, false, false])
  t.same(closed.events, ['complete'], 'nobody is told that it has begun')
  t.same(large.events, ['too-large', 'complete'])
})

t.test('it is heard while somebody listens to a source that is not over', async t => {
  const from = source()
  const { cast } = broadcast(from)
  t.equal(cast.heard, false)
  cast.join(new Ear())
  t.equal(cast.heard, true)
  cast.start()
  from.end('abc')
  await until(() => cast.complete)
  t.equal(cast.heard, false, 'although that reader has not read it')
})

t.test('the whole is what was written, however it came', async t => {
  const from = source()
  const { cast } = broadcast(from)
  cast.join(new Ear())
  cast.start()
  for (const chunk of ['ab', 'c', 'defg', 'h', 'ijklmnopq']) from.write(chunk)
  await turn()
  t.equal(cast.whole().toString(), 'abcdefghijklmnopq')
})

t.test('who joins when the first bytes are gone is cut off before it has any', async t => {
  const from = source()
  const { cast, events, held } = broadcast(from, { maxBytes: 100 })
  const first = reading(cast.join(new Ear()))
  cast.start()
  for (let i = 0; i < 20; i++) {
    from.write(String.fromCharCode(97 + i).repeat(50))
    await turn()
  }
  await until(() => first.got().length === 1000)
  t.ok(events.includes('too-large'))
  t.ok(held.givenBack >= 850, 'their room was given back as they went')
  const ear = new Ear()
  const late = cast.join(ear)
  const read = reading(late)
  await until(() => late.destroyed)
  t.same([ear.cuts, read.got()], [['fell-behind'], ''])
  from.end()
})

t.test('started twice, it is read once', async t => {
  const from = source()
  const { cast } = broadcast(from)
  const reader = reading(cast.join(new Ear()))
  cast.start()
  cast.start()
  from.end('abc')
  await until(() => reader.ended())
  t.equal(reader.got(), 'abc')
})

t.test('a source that was over before the start is empty', async t => {
  for (const [length, ending] of [[undefined, 'complete'], [5, 'cut-off']] as const) {
    const from = new PassThrough()
    from.end()
    from.resume()
    const { cast, events } = broadcast(from, { length })
    await until(() => from.readableEnded)
    await turn()
    t.same(events, [], 'nobody is told before the start')
    const ear = new Ear()
    const stream = cast.join(ear)
    const reader = reading(stream)
    cast.start()
    await until(() => reader.ended() || stream.destroyed)
    t.equal(events.at(-1), ending)
    t.same([reader.got(), reader.ended(), ear.cuts], ['', length === undefined, length === undefined ? [] : ['cut-off']])
  }
})

t.test('a source that its owner had paused is read all the same', async t => {
  const from = source().pause() as PassThrough
  const { cast } = broadcast(from)
  const reader = reading(cast.join(new Ear()))
  cast.start()
  from.end('abc')
  await until(() => reader.ended())
  t.equal(reader.got(), 'abc')
})

t.test('closed before the start, it starts for those who have joined', async t => {
  const from = source()
  const { cast, events } = broadcast(from)
  const reader = reading(cast.join(new Ear()))
  cast.close()
  from.end('abc')
  await until(() => reader.ended())
  t.same([reader.got(), events], ['abc', ['complete']])
})

t.test('closed when nobody listens, it ends its source, begun or not', async t => {
  for (const begins of [false, true]) {
    const from = source()
    const { cast, events, held } = broadcast(from)
    const reader = cast.join(new Ear())
    cast.start()
    if (!begins) reader.destroy()
    await turn()
    t.equal(from.destroyed, false, 'somebody may be waiting for it to begin')
    if (begins) {
      from.write('a')
      await until(() => events.includes('begun'))
      reader.destroy()
    }
    cast.close()
    await until(() => from.destroyed)
    t.same(events, begins ? ['begun', 'unheard'] : ['unheard'])
    t.equal(held.bytes, 0)
  }
})

t.test('of those who listen only those who are named are cut off', async t => {
  const from = source()
  const { cast } = broadcast(from)
  const [mine, others] = [new Ear(), new Ear()]
  const [staying, leaving] = [cast.join(mine), cast.join(others)]
  const [stays, leaves] = [reading(staying), reading(leaving)]
  cast.start()
  from.write('for all, ')
  await until(() => leaves.got() !== '')
  cast.cut(listener => listener === others)
  from.end('for one')
  await until(() => stays.ended())
  t.same([stays.got(), leaves.got(), leaves.ended()], ['for all, for one', 'for all, ', false])
  t.same([mine.cuts, others.cuts, leaving.destroyed], [[], ['vary'], true])
})

t.test('when the fastest reader has left, nothing is let go that the next one has not had', async t => {
  const from = source()
  const { cast, events } = broadcast(from, { maxBytes: 100_000 })
  const fast = cast.join(new Ear())
  const slowEar = new Ear()
  const slow = cast.join(slowEar)
  const [fastRead] = [reading(fast)]
  cast.start()
  for (let i = 0; i < 9; i++) from.write('x'.repeat(10_000))
  await until(() => fastRead.got().length === 90_000)
  fast.destroy()
  await until(() => fast.closed)
  for (let i = 0; i < 5; i++) from.write('y'.repeat(10_000))
  from.end()
  await turn()
  const slowRead = reading(slow)
  await until(() => slowRead.ended() || slow.destroyed)
  t.same([slowEar.cuts, slowRead.got().length], [[], 140_000])
  t.ok(events.includes('too-large'))
})

t.test('what a reader is given flows in the context in which it joined, its cut as well', async t => {
  const storage = new AsyncLocalStorage<string>()
  const seen: string[] = []
  const from = source()
  const { cast } = broadcast(from)
  storage.run('reader', () => {
    cast.join(new Ear())
      .on('data', () => { seen.push(`data: ${storage.getStore()}`) })
      .on('error', () => { seen.push(`error: ${storage.getStore()}`) })
  })
  storage.run('source', () => { cast.start() })
  await storage.run('writer', async () => {
    from.write('a')
    await until(() => seen.length === 1)
    from.emit('data', Buffer.from('b'))
    cast.cut(() => true)
  })
  await until(() => seen.length === 3)
  t.same(seen, ['data: reader', 'data: reader', 'error: reader'])
})

t.test('who does not read is given no more than its buffer holds', async t => {
  const from = source()
  const { cast } = broadcast(from)
  const fast = reading(cast.join(new Ear()))
  const slow = cast.join(new Ear())
  slow.read(0)
  cast.start()
  for (let i = 0; i < 100; i++) from.write('x'.repeat(20_000))
  await until(() => fast.got().length === 2_000_000)
  t.ok(slow.readableLength > 0 && slow.readableLength <= 65_536 + 20_000, `${slow.readableLength}`)
  from.destroy()
})

t.test('what a source says after its end is not heard', async t => {
  const from = source()
  const { cast, events } = broadcast(from)
  const fast = reading(cast.join(new Ear()))
  const slow = cast.join(new Ear())
  cast.start()
  from.end('abc')
  await until(() => fast.ended())
  from.emit('data', Buffer.from('more'))
  const late = reading(slow)
  await until(() => late.ended())
  t.same([fast.got(), late.got(), events], ['abc', 'abc', ['begun', 'complete']])
})

t.test('no byte is given past the length that was declared', async t => {
  const from = source()
  const { cast, events } = broadcast(from, { length: 3 })
  const ear = new Ear()
  const stream = cast.join(ear)
  const reader = reading(stream)
  cast.start()
  from.write('ab')
  await until(() => reader.got() === 'ab')
  from.write('c')
  await turn()
  from.write('d')
  await until(() => stream.destroyed)
  t.same([reader.got(), reader.ended(), ear.cuts, events], ['ab', false, ['cut-off'], ['begun', 'cut-off']])
  t.ok(from.destroyed, 'nobody needs the rest')
})

t.test('an empty chunk does not begin it', async t => {
  const from = new Readable({ objectMode: true, read () {} })
  const { cast, events } = broadcast(from)
  cast.join(new Ear())
  cast.start()
  from.push(Buffer.alloc(0))
  await turn()
  await turn()
  t.same(events, [])
  from.push(Buffer.from('a'))
  await until(() => events.includes('begun'))
  from.destroy()
})

t.test('a source that fails, or is left, in the turn of its first bytes has not begun', async t => {
  const failing = source()
  const first = broadcast(failing)
  first.cast.join(new Ear())
  first.cast.start()
  failing.on('data', () => { failing.destroy(new Error('broken')) })
  failing.write('a')
  await until(() => first.events.length > 0)
  await turn()
  t.same(first.events, ['cut-off'])

  const left = source()
  const second = broadcast(left)
  const reader = second.cast.join(new Ear())
  second.cast.start()
  left.on('data', () => {
    second.cast.close()
    reader.destroy()
  })
  left.write('a')
  await until(() => second.events.length > 0)
  await turn()
  t.same(second.events, ['unheard'])
})

t.test('a source that takes no newcomers is read no further than its fastest reader', async t => {
  let made = 0
  const from = new Readable({
    highWaterMark: 1024,
    read () {
      made += 1024
      this.push(Buffer.alloc(1024))
    }
  })
  const { cast } = broadcast(from)
  cast.join(new Ear())
  cast.close()
  for (let turns = 0; turns < 500; turns++) await turn()
  t.ok(made < 10_000, `${made}`)
  from.destroy()
})

t.test('small chunks are put together, in no more memory than twice what they need', async t => {
  const from = source()
  const { cast } = broadcast(from, { length: 1001 })
  const reader = reading(cast.join(new Ear()))
  cast.start()
  for (let i = 0; i < 1000; i++) from.emit('data', Buffer.from('x'))
  await until(() => reader.got().length === 1000)
  const chunks: Buffer[] = []
  cast.join(new Ear()).on('data', (chunk: Buffer) => { chunks.push(chunk) })
  await until(() => chunks.reduce((sum, { length }) => sum + length, 0) === 1000)
  t.ok(chunks.length < 20, `${chunks.length} chunks`)
  const memory = chunks.reduce((sum, { buffer }) => sum + buffer.byteLength, 0)
  t.ok(memory <= 2000, `${memory} bytes, whatever Content-Length says`)
  from.destroy()
})

t.test('all bytes are let go when the last reader has them, although newcomers might have come', async t => {
  const from = source()
  const { cast, events, held } = broadcast(from)
  const [fast, slow] = [cast.join(new Ear()), cast.join(new Ear())]
  const read = reading(fast)
  cast.start()
  from.end('x'.repeat(100_000))
  await until(() => read.ended())
  t.same([events, held.bytes], [['begun', 'complete'], 100_000])
  const last = reading(slow)
  await until(() => last.ended())
  t.equal(held.bytes, 0)
  const ear = new Ear()
  const late = cast.join(ear)
  const afterwards = reading(late)
  await until(() => late.destroyed)
  t.same([ear.cuts, afterwards.got()], [['fell-behind'], ''], 'who comes afterwards is not given a part')
})

t.test('what takes no newcomers holds no more than its readers have not had', async t => {
  const from = source()
  const { cast, held } = broadcast(from)
  const reader = reading(cast.join(new Ear()))
  cast.close()
  for (let i = 0; i < 100; i++) {
    from.write('x'.repeat(10_000))
    await until(() => reader.got().length === (i + 1) * 10_000)
  }
  t.ok(held.most <= 40_000, `${held.most}`)
  from.end()
  await until(() => reader.ended())
  t.equal(held.bytes, 0)
})

t.test('who leaves while it is given bytes gets no more, and who asks for more then gets them in order', async t => {
  const from = source()
  const { cast } = broadcast(from)
  const leaving = cast.join(new Ear())
  let got = ''
  leaving.on('data', (chunk: Buffer) => {
    got += chunk.toString()
    leaving.destroy()
  })
  const asking = cast.join(new Ear())
  let all = ''
  asking.on('data', (chunk: Buffer) => {
    asking.read(0)
    all += chunk.toString()
  })
  cast.start()
  await turn()
  for (const chunk of ['one ', 'two ', 'three']) {
    from.write(chunk)
    await turn()
  }
  await until(() => all.length === 13)
  t.same([got, all], ['one ', 'one two three'])
  from.destroy()
})

t.test('very many readers are fed in order, in as many turns as that takes, and the source waits for the last of them', async t => {
  const from = source()
  const { cast, clock } = broadcast(from)
  const fed: string[] = []
  for (const name of 'abcdef') {
    cast.join(new Ear()).on('data', (chunk: Buffer) => {
      fed.push(`${name}${chunk.toString()}`)
      clock.advance(3)
    })
  }
  cast.start()
  for (let turns = 0; turns < 5; turns++) await turn()

  from.write('1')
  await until(() => fed.length > 0)
  t.same(fed, ['a1', 'b1'])
  from.write('2')
  t.equal(from.isPaused(), true)
  await turn()
  t.same(fed, ['a1', 'b1', 'c1', 'd1'])
  t.equal(from.isPaused(), true)
  await turn()
  t.same(fed.slice(0, 6), ['a1', 'b1', 'c1', 'd1', 'e1', 'f1'])
  await until(() => fed.length === 12)
  t.same(fed.slice(6), ['a2', 'b2', 'c2', 'd2', 'e2', 'f2'])
  t.equal(from.isPaused(), false)
})

t.test('readers whose turn has not come get all of a source that ends, and those that leave meanwhile nothing', async t => {
  const from = source()
  const { cast, clock, events, held } = broadcast(from)
  const got = Array<string>(6).fill('')
  const readers = got.map((_, index) => cast.join(new Ear()).on('data', (chunk: Buffer) => {
    got[index] += chunk.toString()
    clock.advance(3)
  }).on('end', () => { got[index] += '.' }))
  cast.start()
  for (let turns = 0; turns < 5; turns++) await turn()
  from.write('1')
  await until(() => got[0] === '1')
  readers[4]?.destroy()
  // One that does not heed that it is paused.
  from.pause = () => from.resume()
  from.end('2')

  await until(() => events.includes('complete') && got[5]?.endsWith('.') === true)
  t.same(got, ['12.', '12.', '12.', '12.', '', '12.'])
  t.equal(held.bytes, 0)
})

t.test('a source that waits for readers goes on although the last of them leaves', async t => {
  const from = source()
  const { cast, clock } = broadcast(from)
  const got = Array<string>(3).fill('')
  const readers = got.map((_, index) => cast.join(new Ear()).on('data', (chunk: Buffer) => {
    got[index] += chunk.toString()
    clock.advance(3)
  }))
  cast.start()
  for (let turns = 0; turns < 5; turns++) await turn()
  from.write('1')
  await until(() => got[1] === '1')
  readers[2]?.destroy()
  from.write('2')

  await until(() => got[1] === '12')
  t.same(got, ['12', '12', ''])
})
