import { PassThrough, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Tape, type TapeEnd } from '../../lib/http/tape.js'
import { until } from '../fixtures/gate.js'

const KILOBYTE = Buffer.alloc(1024, 'x')

/** A tape of a source that the test feeds, and what became of it. */
function record (source: Readable, { maxBytes = 1_000_000, room = Infinity } = {}) {
  const ends: TapeEnd[] = []
  const held = { bytes: 0, most: 0 }
  const tape = new Tape(source, {
    maxBytes,
    hold (bytes) {
      if (bytes > 0 && held.bytes + bytes > room) return false
      held.bytes += bytes
      held.most = Math.max(held.most, held.bytes)
      return true
    }
  }, end => { ends.push(end) })
  const ended = async (): Promise<TapeEnd> => {
    await until(() => ends.length > 0, 'the end of the tape')
    return ends[0] as TapeEnd
  }
  return { tape, ends, held, ended }
}

async function textOf (reader: Readable): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of reader) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

t.test('a stream is recorded to its end while its client reads it', async t => {
  const { tape, held, ended, ends } = record(Readable.from(['ab', Buffer.from('cd'), 'ä'], { objectMode: true }))
  tape.start()
  tape.start()
  t.equal(await textOf(tape.reader), 'abcdä')
  t.strictSame(await ended(), { type: 'complete', body: Buffer.from('abcdä') })
  t.equal(ends.length, 1)
  t.strictSame(held, { bytes: 0, most: 6 }, 'what was held is let go')
})

t.test('an empty stream is recorded as no bytes', async t => {
  const { tape, ended } = record(Readable.from([]))
  tape.start()
  t.equal(await textOf(tape.reader), '')
  t.strictSame(await ended(), { type: 'complete', body: Buffer.alloc(0) })
})

t.test('nothing is read before the start', async t => {
  let pulled = 0
  const { tape } = record(new Readable({ read () { pulled++; this.push(null) } }))
  await turn()
  t.equal(pulled, 0)
  tape.start()
  await textOf(tape.reader)
  t.equal(pulled, 1)
})

t.test('a recording does not change when the source uses its memory again', async t => {
  const source = new PassThrough()
  const { tape, ended } = record(source)
  tape.start()
  const chunk = Buffer.from('before')
  source.end(chunk)
  const body = textOf(tape.reader)
  await ended()
  chunk.write('after!')
  t.strictSame(await ended(), { type: 'complete', body: Buffer.from('before') })
  t.equal(await body, 'before')
})

t.test('a client that does not read delays no recording', async t => {
  const { tape, ended } = record(Readable.from(Array.from({ length: 200 }, () => KILOBYTE)))
  tape.start()
  const end = await ended()
  t.equal(end.type === 'complete' && end.body.length, 200 * 1024)
  t.equal((await textOf(tape.reader)).length, 200 * 1024, 'and gets all of it later')
})

t.test('a client that leaves ends no recording', async t => {
  const source = new PassThrough()
  const { tape, ended } = record(source)
  tape.start()
  source.write('a')
  await turn()
  tape.reader.destroy()
  source.end('b')
  t.strictSame(await ended(), { type: 'complete', body: Buffer.from('ab') })
})

t.test('past the limit nothing is recorded, and the client\'s pace rules', async t => {
  let made = 0
  const source = Readable.from((function * () {
    while (made < 500) {
      made++
      yield KILOBYTE
    }
  })())
  const { tape, ended, ends, held } = record(source, { maxBytes: 10 * 1024 })
  tape.start()
  t.strictSame(await ended(), { type: 'too-large' })
  for (let turns = 0; turns < 50; turns++) await turn()
  t.ok(made < 200, 'a source that nobody reads is not read to its end')
  t.equal((await textOf(tape.reader)).length, 500 * 1024, 'the client gets all of it')
  t.equal(ends.length, 1)
  t.strictSame(held, { bytes: 0, most: 10 * 1024 })
})

t.test('a body of exactly the limit is recorded, one byte more is not', async t => {
  for (const [size, type] of [[10, 'complete'], [11, 'too-large']] as const) {
    const { tape, ended } = record(Readable.from(['12345', 'x'.repeat(size - 5)]), { maxBytes: 10 })
    tape.start()
    t.equal((await textOf(tape.reader)).length, size)
    t.equal((await ended()).type, type)
  }
})

t.test('where there is no room for a chunk nothing is recorded', async t => {
  const { tape, ended, held } = record(Readable.from(['12345', '67890']), { room: 7 })
  tape.start()
  t.equal(await textOf(tape.reader), '1234567890')
  t.strictSame(await ended(), { type: 'too-large' })
  t.strictSame(held, { bytes: 0, most: 5 })
})

t.test('a source that grows past the limit after its client left is destroyed', async t => {
  const source = new PassThrough()
  const { tape, ended } = record(source, { maxBytes: 1 })
  tape.start()
  tape.reader.destroy()
  source.write('ab')
  t.strictSame(await ended(), { type: 'too-large' })
  t.ok(source.destroyed)
})

t.test('a source whose client leaves after the limit is destroyed', async t => {
  const source = new PassThrough()
  const { tape, ended } = record(source, { maxBytes: 1 })
  tape.start()
  source.write('ab')
  await ended()
  t.notOk(source.destroyed)
  tape.reader.destroy()
  await until(() => source.destroyed, 'the end of the source')
  t.pass()
})

t.test('a stream that fails, before its first byte or after, is cut off for its client and never complete', async t => {
  for (const first of ['', 'a']) {
    const source = new PassThrough()
    const { tape, ended, ends, held } = record(source)
    tape.start()
    const read = textOf(tape.reader)
    if (first !== '') source.write(first)
    await turn()
    const error = new Error('broken')
    source.destroy(error)
    await t.rejects(read, error)
    t.strictSame(await ended(), { type: 'cut-off', error })
    t.equal(ends.length, 1)
    t.equal(held.bytes, 0)
  }
})

t.test('a stream that is closed before its end is cut off', async t => {
  const source = new PassThrough()
  const { tape, ended } = record(source)
  tape.start()
  const read = textOf(tape.reader)
  source.write('a')
  await turn()
  source.destroy()
  await t.rejects(read)
  t.match(await ended(), { type: 'cut-off', error: { code: 'ERR_STREAM_PREMATURE_CLOSE' } })
})

t.test('a stream that had failed already is cut off', async t => {
  const source = new PassThrough()
  source.on('error', () => {})
  source.destroy(new Error('early'))
  await turn()
  const { tape, ended } = record(source)
  tape.start()
  t.match(await ended(), { type: 'cut-off', error: { message: 'early' } })
  t.ok(tape.reader.destroyed)
})

t.test('a failure after the limit is told to the client only', async t => {
  const source = new PassThrough()
  const { tape, ended, ends } = record(source, { maxBytes: 1 })
  tape.start()
  const read = textOf(tape.reader)
  source.write('ab')
  await ended()
  const error = new Error('broken')
  source.destroy(error)
  await t.rejects(read, error)
  t.strictSame(ends, [{ type: 'too-large' }])
})

t.test('a tape that is stopped says no more and lets its client read on', async t => {
  const source = new PassThrough()
  const { tape, ends, held } = record(source)
  tape.start()
  const read = textOf(tape.reader)
  source.write('a')
  await until(() => held.bytes === 1)
  tape.stop()
  tape.stop()
  t.equal(held.bytes, 0)
  source.end('b')
  t.equal(await read, 'ab')
  t.strictSame(ends, [])
})

t.test('a tape that is stopped before its start is read by its client all the same', async t => {
  const { tape, ends } = record(Readable.from(['a', 'b']))
  tape.stop()
  t.equal(await textOf(tape.reader), 'ab')
  t.strictSame(ends, [])
})

t.test('a source whose tape is stopped after its client left is destroyed', async t => {
  const source = new PassThrough()
  const { tape, ends } = record(source)
  tape.start()
  tape.reader.destroy()
  await turn()
  t.notOk(source.destroyed, 'somebody may wait for it')
  tape.stop()
  t.ok(source.destroyed)
  await turn()
  t.strictSame(ends, [])
})
