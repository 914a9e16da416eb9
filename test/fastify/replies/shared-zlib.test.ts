import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import zlib from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { sharedBodies } from '../../../lib/http/encodings.js'
import { sharedZlib, type SharedZlib } from '../../../lib/index.js'
import { spyOnZlib } from '../../fixtures/zlib-spy.js'

const room = (): boolean => true
const KINDS = [
  ['createGzip', 'gzipSync', 'gunzipSync', 'gzip'],
  ['createDeflate', 'deflateSync', 'inflateSync', 'deflate'],
  ['createBrotliCompress', 'brotliCompressSync', 'brotliDecompressSync', 'brotliCompress']
] as const

/** What a compressor makes of chunks that come in turns. */
async function compressed (stream: ReturnType<SharedZlib['createGzip']>, chunks: readonly Buffer[], turns = 0): Promise<Buffer> {
  const all: Buffer[] = []
  stream.on('data', (chunk: Buffer) => { all.push(chunk) })
  const end = new Promise((resolve, reject) => stream.on('end', resolve).on('error', reject))
  end.catch(() => {})
  for (const chunk of chunks) {
    stream.write(chunk)
    for (let i = 0; i < turns; i++) await turn()
  }
  stream.end()
  await end
  return Buffer.concat(all)
}

t.test('it has every compressor that Node has, and no more', t => {
  const node = zlib as unknown as Record<string, unknown>
  const names = [...KINDS.flatMap(kind => kind.slice(0, 2)), 'createZstdCompress', 'zstdCompressSync']
  t.strictSame(Object.keys(sharedZlib).sort(), names.filter(name => typeof node[name] === 'function').sort())
  t.end()
})

t.test('whatever comes in whatever chunks, it makes what Node makes', async t => {
  const body = Buffer.from('serendipity '.repeat(1000))
  const letGo = sharedBodies.use(body, body.length, room)
  const piece = fc.oneof(fc.constant(body), fc.constant(body.subarray(0, 100)), fc.uint8Array({ maxLength: 50 }).map(bytes => Buffer.from(bytes)))
  await fc.assert(fc.asyncProperty(fc.array(piece, { maxLength: 4 }), fc.nat(2), fc.constantFrom(...KINDS), fc.constantFrom(undefined, 1, 9),
    async (chunks, turns, [stream, sync, decode], level) => {
      const options = level === undefined ? undefined : stream === 'createBrotliCompress' ? { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: level } } : { level }
      const whole = Buffer.concat(chunks)
      const made = await compressed(sharedZlib[stream](options as never), chunks, turns)
      if (!zlib[decode](made).equals(whole)) throw new Error('not the same')
      if (chunks.length === 1 && !made.equals(zlib[sync](whole, options as never))) throw new Error('not as Node makes it')
      if (!sharedZlib[sync](whole, options as never).equals(zlib[sync](whole, options as never))) throw new Error('not as Node makes it at once')
    }), { numRuns: 200 })
  letGo()
  t.equal(sharedBodies.size, 0)
})

t.test('a body in use is compressed once in each way; options that differ are another way', async t => {
  const body = Buffer.from('serendipity '.repeat(1000))
  const letGo = sharedBodies.use(body, body.length, room)
  const spy = spyOnZlib(t)
  for (const [stream, sync, , name] of KINDS) {
    spy.calls.length = 0
    await Promise.all(Array.from({ length: 20 }, () => compressed(sharedZlib[stream](), [Buffer.from(body)])))
    sharedZlib[sync](Buffer.from(body))
    t.strictSame(spy.calls, [name])
  }
  spy.calls.length = 0
  for (let i = 0; i < 3; i++) {
    for (const level of [1, 9]) {
      await compressed(sharedZlib.createGzip({ level }), [body])
      sharedZlib.gzipSync(body, { level })
    }
  }
  t.strictSame(spy.calls, ['gzip', 'gzip'])
  letGo()
  spy.calls.length = 0
  sharedZlib.gzipSync(body)
  sharedZlib.gzipSync(body)
  await compressed(sharedZlib.createGzip(), [body])
  t.strictSame(spy.calls, ['gzipSync', 'gzipSync', 'createGzip'], 'and a body that nobody uses as ever')
})

t.test('a stream whose first chunk is a body in use flows on after a turn', async t => {
  const body = Buffer.from('serendipity '.repeat(1000))
  const letGo = sharedBodies.use(body, body.length, room)
  const spy = spyOnZlib(t)
  const stream = sharedZlib.createGzip()
  stream.write(body)
  await turn()
  await turn()
  t.strictSame(spy.calls, ['createGzip'], 'it does not wait for more')
  stream.destroy()
  letGo()
})

t.test('options that Node refuses end in its error, and those that cannot be told apart are not shared', async t => {
  const body = Buffer.from('serendipity '.repeat(1000))
  const letGo = sharedBodies.use(body, body.length, room)
  for (const chunk of [body, Buffer.from('other')]) {
    await t.rejects(compressed(sharedZlib.createGzip({ level: 99 }), [chunk]), { code: 'ERR_OUT_OF_RANGE' })
    await t.rejects(compressed(sharedZlib.createGzip({ level: 99 }), [chunk], 2), { code: 'ERR_OUT_OF_RANGE' })
    t.throws(() => sharedZlib.gzipSync(chunk, { level: 99 }), { code: 'ERR_OUT_OF_RANGE' })
  }
  t.match(sharedZlib.gzipSync(body, { info: true } as never), { buffer: Buffer })
  const spy = spyOnZlib(t)
  const options = { own: () => {} } as never
  await compressed(sharedZlib.createGzip(options), [body])
  sharedZlib.gzipSync(body, options)
  sharedZlib.gzipSync(body, options)
  t.strictSame(spy.calls, ['createGzip', 'gzipSync', 'gzipSync'])
  letGo()
})

t.test('a compressor that is destroyed while others compress for it is told nothing', async t => {
  const body = Buffer.from('serendipity '.repeat(1000))
  const letGo = sharedBodies.use(body, body.length, room)
  const gone = sharedZlib.createGzip()
  const read: Buffer[] = []
  gone.on('data', (chunk: Buffer) => { read.push(chunk) })
  gone.end(body)
  const other = compressed(sharedZlib.createGzip(), [body])
  await turn()
  gone.destroy()
  t.ok(zlib.gunzipSync(await other).equals(body))
  t.equal(read.length, 0)
  const spy = spyOnZlib(t)
  spy.fail = new Error('no memory')
  const late = sharedZlib.createDeflate()
  late.end(body)
  late.destroy()
  for (let turns = 0; turns < 5; turns++) await turn()
  t.strictSame(spy.calls, ['deflate'], 'nor does it begin anew where they fail')
  letGo()
})

t.test('who does not read holds no more than a little of what is compressed', async t => {
  const chunks = Array.from({ length: 40 }, () => randomBytes(100_000))
  const stream = sharedZlib.createGzip()
  for (const chunk of chunks) stream.write(chunk)
  for (let i = 0; i < 2000 && stream.readableLength === 0; i++) await turn()
  await new Promise(resolve => setTimeout(resolve, 200))
  t.ok(stream.readableLength < 200_000, `it holds ${stream.readableLength}`)
  const made = await compressed(stream, [])
  t.ok(zlib.gunzipSync(made).equals(Buffer.concat(chunks)), 'and gets all of it')
})
