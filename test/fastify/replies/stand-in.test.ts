import { createReadStream } from 'node:fs'
import { PassThrough, pipeline, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { ReadableStream } from 'node:stream/web'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { standInFor } from '../../../lib/fastify/replies/stand-in.js'
import { gate, until } from '../../fixtures/gate.js'

const FILE = fileURLToPath(import.meta.url)

class Source extends PassThrough {
  #secret = 'a secret'
  mark: string | undefined
  secret (): string { return this.#secret }
  self (): this { return this }
  async text (): Promise<string> { return await text(this) }
}

function standIn<T> (payload: T, chunks: readonly string[] = ['ab', 'cd']) {
  const reader = Readable.from(chunks, { objectMode: false })
  const { given, untouched } = standInFor(payload, reader)
  return { given: given as T, reader, untouched }
}

t.test('a stand-in for a Node stream has its methods, its fields and its class, and is read as its reader is', async t => {
  const source = new Source()
  const { given, reader, untouched } = standIn(source)
  t.ok(given instanceof Source)
  t.equal(given.constructor, Source)
  t.equal(given.secret(), 'a secret')
  t.equal(given.secret, given.secret)
  t.equal(given.self(), given)
  t.equal(given.pause(), given)
  given.mark = 'marked'
  t.equal(source.mark, 'marked')
  given.secret = () => 'another'
  t.equal(given.secret(), 'another', 'a method that is put in the place of one')
  t.ok(untouched())
  t.equal(await text(given), 'abcd')
  t.ok(reader.readableEnded)
  t.notOk(source.readableDidRead)
})

t.test('a stand-in tells of being read as its reader does, and of all else as the stream itself', async t => {
  const source = new Source()
  const { given, reader } = standIn(source)
  const heard: string[] = []
  t.equal(given.on('end', () => { heard.push('end') }), given)
  given.once('finish', () => { heard.push('finish') })
  t.same([reader.listenerCount('end') > source.listenerCount('end'), given.listenerCount('finish')], [true, source.listenerCount('finish')])
  source.end()
  await until(() => heard.includes('finish'))
  given.resume()
  await until(() => heard.includes('end'))
  t.same(heard, ['finish', 'end'])
  given.on('end', () => {}).removeAllListeners()
  t.equal(reader.listenerCount('end'), 0)
  source.destroy()
})

t.test('what ends a stand-in ends its reader and not the stream', async t => {
  const file = createReadStream(FILE)
  const closed = gate()
  const { given, reader } = standIn(file)
  given.close(() => { closed.open() })
  await closed.promise
  t.ok(reader.destroyed)
  t.notOk(file.destroyed)
  const another = standIn(file)
  another.given.close()
  t.ok(another.reader.destroyed)
  const third = standIn(file)
  const sink = new PassThrough()
  await new Promise(resolve => {
    pipeline(third.given, sink, resolve)
    sink.destroy()
  })
  t.ok(third.reader.destroyed)
  t.notOk(file.destroyed)
  file.destroy()
})

t.test('a method that reads all of a stream reads its reader', async t => {
  const source = new Source()
  const { given } = standIn(source)
  t.equal(await given.text(), 'abcd')
  t.notOk(source.readableDidRead)
})

t.test('a stand-in for a web stream is read on demand, in memory of its own', async t => {
  const bytes = Buffer.from('abcd')
  let pulled = 0
  const reader = new Readable({ read () { this.push(pulled++ === 0 ? bytes : null) } })
  const { given, untouched } = standInFor(new ReadableStream(), reader)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(pulled, 0)
  t.ok(untouched())
  const chunks: Uint8Array[] = []
  for await (const chunk of given as ReadableStream<Uint8Array>) chunks.push(chunk)
  t.notOk(untouched())
  t.same(Buffer.concat(chunks), bytes)
  t.not(chunks[0]?.buffer, bytes.buffer)
})

t.test('who reads a stand-in for a web stream with memory of its own is told of the end', async t => {
  const { given } = standIn(new ReadableStream(), ['ab'])
  const reader = given.getReader({ mode: 'byob' })
  const { value } = await reader.read(new Uint8Array(5))
  t.equal(Buffer.from(value as Uint8Array).toString(), 'ab')
  t.ok((await reader.read(new Uint8Array(5))).done)
})

t.test('a web stream that is cancelled, and one whose reader fails', async t => {
  const { given, reader, untouched } = standIn(new ReadableStream())
  await given.cancel()
  t.ok(reader.destroyed)
  t.notOk(untouched())
  const failing = standIn(new ReadableStream())
  const locked = failing.given.getReader()
  t.notOk(failing.untouched())
  const read = locked.read()
  failing.reader.destroy(new Error('failed'))
  await t.rejects(read, /failed/)
})

t.test('a stand-in for a Response has its head, its class and what fetch tells of it', async t => {
  class Own extends Response {
    get own (): string { return this.headers.get('x-own') ?? '' }
  }
  const response = new Own('body', { status: 203, statusText: 'Well', headers: { 'x-own': 'yes' } })
  const { given, untouched } = standIn(response)
  t.ok(given instanceof Own)
  t.same([given.own, given.status, given.statusText, given.url, given.type, given.redirected], ['yes', 203, 'Well', '', 'default', false])
  t.ok(untouched())
  const [copy] = [given.clone()]
  t.equal(await given.text(), 'abcd')
  t.equal(await copy.text(), 'abcd')
  t.notOk(untouched())
  t.notOk(response.bodyUsed)
})
