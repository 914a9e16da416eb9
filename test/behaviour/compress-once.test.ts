/**
 * Each encoding of a shared response is made once, and each client is given the one that it asked for.
 */
import { request } from 'node:http'
import { PassThrough } from 'node:stream'
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import compress from '@fastify/compress'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce, { sharedZlib } from '../../lib/index.js'
import type { CoalesceOptions } from '../../types/index.js'
import { distinct, held, type HeldHandler } from '../fixtures/crowd.js'
import { grounded, outcomes } from '../fixtures/endings.js'
import { gate, until } from '../fixtures/gate.js'
import { listen, metric, type TestServer } from '../fixtures/server.js'
import { spyOnZlib } from '../fixtures/zlib-spy.js'

type Order = 'before' | 'after' | 'without'
type CompressOptions = NonNullable<Parameters<typeof compress>[1]>

const WORDS = Array.from({ length: 12_000 }, (_, index) => `word${index * 7919 % 10_007}`).join(' ')
const LARGE = WORDS.slice(0, 100_000)
const SMALL = WORDS.slice(0, 5000)
const ON = { config: { coalesce: true } }

async function compressing (t: Parameters<typeof listen>[0], order: Order, handler: HeldHandler, options: CompressOptions = {}, own: CoalesceOptions = {}, routes?: (app: FastifyInstance) => void): Promise<TestServer> {
  const app = Fastify() as unknown as FastifyInstance
  const register = async (): Promise<unknown> => await app.register(coalesce, { metrics: { path: false }, ...own })
  if (order === 'after') await register()
  await app.register(compress, { threshold: 0, zlib: sharedZlib, ...options })
  if (order !== 'after') await register()
  app.get('/', order === 'without' ? {} : ON, handler)
  routes?.(app)
  return await listen(t, app)
}

interface Raw {
  readonly status: number | undefined
  readonly headers: unknown
  readonly encoding: string | undefined
  readonly bytes: Buffer
}

/** What one client is given, its body as it comes. */
function get (server: TestServer, encoding: string | undefined, headers: Record<string, string> = {}): Promise<Raw> {
  return new Promise((resolve, reject) => {
    request({ port: server.port, host: '127.0.0.1', agent: false, headers: { ...encoding === undefined ? {} : { 'accept-encoding': encoding }, ...headers } }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => { chunks.push(chunk) }).on('error', reject).on('end', () => {
        const { date, ...rest } = response.headers
        resolve({ status: response.statusCode, headers: rest, encoding: response.headers['content-encoding'], bytes: Buffer.concat(chunks) })
      })
    }).on('error', reject).end()
  })
}

function plain ({ encoding, bytes }: Raw): string {
  switch (encoding) {
    case 'gzip': return gunzipSync(bytes).toString()
    case 'deflate': return inflateSync(bytes).toString()
    case 'br': return brotliDecompressSync(bytes).toString()
    default: return bytes.toString()
  }
}

/** So many clients for each encoding, who have all met before the handler answers. */
async function burst (server: TestServer, handler: HeldHandler, encodings: ReadonlyArray<string | undefined>, each: number): Promise<Raw[]> {
  const before = server.app.coalesce.stats().totalRequests
  const asked = encodings.flatMap(encoding => Array.from({ length: each }, () => get(server, encoding)))
  if (server.app.coalesce.stats().routes.length > 0) await server.arrived(before + asked.length)
  handler.gate.open()
  return await Promise.all(asked)
}

const ENCODINGS = ['gzip', 'br', 'deflate', 'identity', undefined, 'gzip, br;q=0.5']

for (const order of ['before', 'after'] as const) {
  for (const [kind, body, options, wanted] of [
    ['a large string', () => LARGE, {}, ['gzip', 'brotliCompress', 'deflate']],
    ['large bytes', () => Buffer.from(LARGE), {}, ['gzip', 'brotliCompress', 'deflate']],
    ['a small string', () => SMALL, { syncThreshold: 8192 }, ['gzipSync', 'brotliCompressSync', 'deflateSync']],
    ['small bytes', () => Buffer.from(SMALL), { syncThreshold: 8192 }, ['gzipSync', 'brotliCompressSync', 'deflateSync']],
    ['what is not only ASCII', () => 'Übergröße 🐘 '.repeat(5000), {}, ['gzip', 'brotliCompress', 'deflate']]
  ] as const) {
    t.test(`${kind}, @fastify/compress ${order}: one run, one compression for each encoding, and to each its own`, async t => {
      const answer = (_request: unknown, reply: { type: (type: string) => unknown }): unknown => { reply.type('text/plain'); return body() }
      const bare = held(answer)
      const alone = await burst(await compressing(t, 'without', bare, options), bare, ENCODINGS, 1)
      const handler = held(answer)
      const server = await compressing(t, order, handler, options)
      const spy = spyOnZlib(t)
      const answers = await burst(server, handler, ENCODINGS, 5)
      t.strictSame([...spy.calls].sort(), [...wanted].sort())
      t.equal(handler.runs, 1)
      t.strictSame(distinct(answers.map(plain)), [String(body())])
      t.strictSame(answers.filter((_, index) => index % 5 === 0).map(({ status, headers }) => [status, headers]), alone.map(({ status, headers }) => [status, headers]))
      for (let index = 0; index < ENCODINGS.length; index++) {
        t.equal(distinct(answers.slice(index * 5, index * 5 + 5).map(({ headers, bytes }) => [headers, bytes])).length, 1, String(ENCODINGS[index]))
        t.ok(answers[index * 5]?.bytes.equals(alone[index]?.bytes as Buffer), 'the very same bytes')
      }
      await grounded(server.app)
    })
  }
}

t.test('what a client\'s own hook changed is compressed for itself', async t => {
  const handler = held((_request, reply) => reply.type('text/plain').send(LARGE))
  const app = Fastify() as unknown as FastifyInstance
  await app.register(coalesce, { metrics: { path: false } })
  app.addHook('onSend', async (request, _reply, payload) => request.headers['x-mark'] === undefined ? payload : String(payload).replace('word1', request.headers['x-mark'] as string))
  await app.register(compress, { threshold: 0, zlib: sharedZlib })
  app.get('/', ON, handler)
  const server = await listen(t, app)
  const spy = spyOnZlib(t)
  const asked = [undefined, undefined, 'WORD2', 'WORD3', 'longer than that', undefined].map(mark => get(server, 'gzip', mark === undefined ? {} : { 'x-mark': mark }))
  await server.arrived(6)
  handler.gate.open()
  const bodies = (await Promise.all(asked)).map(plain)
  t.strictSame(bodies, [LARGE, LARGE, ...['WORD2', 'WORD3', 'longer than that'].map(mark => LARGE.replace('word1', mark)), LARGE])
  t.strictSame(spy.calls.sort(), ['createGzip', 'createGzip', 'createGzip', 'gzip'])
})

t.test('routes that compress in another way have their own compressions, of the same body as well', async t => {
  const handlers = [held(() => LARGE), held(() => LARGE)] as const
  const server = await compressing(t, 'before', handlers[0], {}, {}, app => {
    app.get('/best', { ...ON, compress: { zlibOptions: { level: 9 }, zlib: sharedZlib } } as never, handlers[1])
  })
  const spy = spyOnZlib(t)
  const asked = ['/', '/best'].flatMap(path => Array.from({ length: 4 }, () => server.get(path, { headers: { 'accept-encoding': 'gzip' } })))
  await server.arrived(8)
  for (const { gate } of handlers) gate.open()
  const answers = await Promise.all(asked)
  t.strictSame(spy.calls, ['gzip', 'gzip'])
  t.equal(distinct(answers.map(({ body }) => body)).length, 2)
})

t.test('past maxRecordedBytes each client\'s is compressed as without coalescing, and is right', async t => {
  for (const [options, wanted] of [[{ syncThreshold: 200_000 }, 'gzipSync'], [{}, 'createGzip']] as const) {
    const handler = held(() => LARGE)
    const server = await compressing(t, 'before', handler, options, { maxRecordedBytes: 1000 })
    const spy = spyOnZlib(t)
    const answers = await burst(server, handler, ['gzip'], 5)
    t.strictSame(spy.calls, Array(5).fill(wanted))
    t.strictSame(distinct(answers.map(plain)), [LARGE])
    t.equal(handler.runs, 1)
    await grounded(server.app)
  }
})

t.test('a compression that fails is not kept: each client has its own', async t => {
  const handler = held(() => LARGE)
  const server = await compressing(t, 'before', handler)
  const spy = spyOnZlib(t)
  spy.fail = new Error('no memory')
  const answers = await burst(server, handler, ['gzip'], 3)
  t.strictSame(distinct(answers.map(plain)), [LARGE])
  t.strictSame(spy.calls, ['gzip', 'createGzip', 'createGzip', 'createGzip'])
  await grounded(server.app)
})

t.test('what is compressed counts as recorded while clients are given it', async t => {
  const sending = gate()
  const app = Fastify() as unknown as FastifyInstance
  await app.register(coalesce, { metrics: { path: false } })
  await app.register(compress, { threshold: 0, syncThreshold: 200_000, zlib: sharedZlib })
  app.addHook('onRoute', options => {
    options.onSend = [...options.onSend as never[], async () => { await sending.promise }] as never
  })
  const handler = held(() => Buffer.from(LARGE))
  app.get('/', ON, handler)
  const server = await listen(t, app)
  const asked = ['gzip', 'br', 'gzip'].map(encoding => get(server, encoding))
  await server.arrived(3)
  handler.gate.open()
  await until(() => server.app.coalesce.stats().deduplicatedRequests === 2)
  const counted = await metric(app, 'coalesce_recorded_bytes')
  sending.open()
  const [gzip, br] = await Promise.all(asked)
  t.equal(counted, Number(gzip?.bytes.length) + Number(br?.bytes.length))
  await grounded(app)
})

t.test('a kept response is compressed once in each encoding, however far apart its clients are', async t => {
  const app = Fastify() as unknown as FastifyInstance
  await app.register(coalesce, { metrics: { path: false } })
  await app.register(compress, { threshold: 0, zlib: sharedZlib })
  let runs = 0
  app.get('/', { config: { coalesce: { ttl: '1m' } } }, async () => {
    runs++
    return LARGE
  })
  const server = await listen(t, app)
  await get(server, undefined)
  const spy = spyOnZlib(t)
  const answers: Raw[] = []
  for (const encoding of ['gzip', 'br', 'gzip', 'br', 'gzip', undefined]) answers.push(await get(server, encoding))
  t.strictSame(answers.map(plain), answers.map(() => LARGE))
  t.strictSame(answers.map(({ encoding }) => encoding), ['gzip', 'br', 'gzip', 'br', 'gzip', undefined])
  t.equal(runs, 1)
  t.equal(spy.calls.length, 2)
})

t.test('a stream that flows is compressed for each client, and late ones share', async t => {
  const source = new PassThrough()
  const handler = held((_request, reply) => reply.type('text/plain').send(source))
  const server = await compressing(t, 'before', handler)
  const asked = ENCODINGS.slice(0, 4).map(encoding => get(server, encoding))
  await server.arrived(4)
  handler.gate.open()
  source.write(LARGE.slice(0, 50_000))
  await until(() => server.app.coalesce.stats().deduplicatedRequests === 3)
  const late = get(server, 'gzip')
  await server.arrived(5)
  source.end(LARGE.slice(50_000))
  const answers = await Promise.all([...asked, late])
  t.strictSame(answers.map(({ encoding }) => encoding), ['gzip', 'br', 'deflate', undefined, 'gzip'])
  t.strictSame(distinct(answers.map(plain)), [LARGE])
  t.equal(handler.runs, 1)
  t.strictSame(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 4 })
  await grounded(server.app)
})
