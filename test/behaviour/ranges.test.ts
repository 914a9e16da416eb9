import { PassThrough, Readable } from 'node:stream'
import compress from '@fastify/compress'
import etag from '@fastify/etag'
import staticFiles from '@fastify/static'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { distinct, held, queue, times } from '../fixtures/crowd.js'
import { grounded, outcomes } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { listen, serve, type Answer, type GetOptions, type TestServer } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }
const WHOLE = '0123456789'.repeat(100)

const ranges = (...all: Array<string | Record<string, string>>): GetOptions[] =>
  all.map(each => ({ headers: typeof each === 'string' ? { range: `bytes=${each}` } : each }))

/** A client that leads, and one for each of the others, which follow. */
async function follow (server: TestServer, handler: ReturnType<typeof held>, followers: readonly GetOptions[]): Promise<Answer[]> {
  const waiting = await queue(server, [{}, ...followers].map(options => () => server.get('/', options)))
  handler.gate.open()
  return (await Promise.all(waiting)).slice(1)
}

const seen = ({ status, body, headers }: Answer): unknown[] => [status, headers['content-range'], headers['content-length'], body]

for (const [kind, make] of Object.entries({
  'a string': () => WHOLE,
  'a Buffer': () => Buffer.from(WHOLE),
  'a finished stream': () => Readable.from([WHOLE])
})) {
  t.test(`followers are given their ranges of ${kind}, of one run`, async t => {
    const handler = held((_request, reply) => { reply.header('etag', '"a"').type('text/plain'); return make() })
    const server = await serve(t, app => { app.get('/', ON, handler) })
    const answers = await follow(server, handler, ranges('0-3', '-2', '998-', '0-', '1000-', {}))
    t.strictSame(answers.map(seen), [
      [206, 'bytes 0-3/1000', '4', '0123'], [206, 'bytes 998-999/1000', '2', '89'], [206, 'bytes 998-999/1000', '2', '89'],
      [206, 'bytes 0-999/1000', '1000', WHOLE], [416, 'bytes */1000', '0', ''],
      kind === 'a finished stream' ? answers.at(-1) && seen(answers.at(-1) as Answer) : [200, undefined, '1000', WHOLE]
    ])
    t.equal(answers.at(-1)?.body, WHOLE)
    t.strictSame(distinct(answers.slice(0, 4).map(({ headers }) => [headers.etag, headers['content-type']])), [['"a"', answers.at(-1)?.headers['content-type']]])
    t.strictSame([answers[4]?.headers.etag, answers[4]?.headers['content-type'], answers[4]?.headers['accept-ranges']], [undefined, undefined, undefined])
    t.equal(handler.runs, 1)
    t.strictSame(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 6 })
  })
}

t.test('bytes are counted, not characters', async t => {
  const text = 'Übergröße 🐘'
  const handler = held(() => text)
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const [one, two] = await follow(server, handler, ranges('0-1', '-4'))
  t.strictSame([one?.body, two?.body], ['Ü', '🐘'])
  t.equal(one?.headers['content-range'], `bytes 0-1/${Buffer.byteLength(text)}`)
})

t.test('a body without a type is sliced as any other', async t => {
  const handler = held(() => Readable.from([Buffer.from(WHOLE)]))
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const [answer] = await follow(server, handler, ranges('0-3'))
  t.strictSame(seen(answer as Answer), [206, 'bytes 0-3/1000', '4', '0123'])
  t.equal(answer?.headers['content-type'], undefined)
})

t.test('several ranges are one multipart answer', async t => {
  const handler = held((_request, reply) => reply.type('text/plain').send(WHOLE))
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const [answer, whole] = await follow(server, handler, ranges('0-1, 500-501,-2', {}))
  t.equal(answer?.status, 206)
  t.equal(answer?.headers['content-range'], undefined)
  const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(answer?.headers['content-type'] ?? '')?.[1] as string
  const parts = answer?.body.split(`\r\n--${boundary}`) ?? []
  t.strictSame(parts, ['', ...[['0-1', '01'], ['500-501', '01'], ['998-999', '89']].map(([at, bytes]) =>
    `\r\nContent-Type: ${whole?.headers['content-type']}\r\nContent-Range: bytes ${at}/1000\r\n\r\n${bytes}`), '--\r\n'])
  t.equal(answer?.headers['content-length'], String(answer?.body.length))
})

t.test('what would be more than the whole, overlaps, or is no range at all is answered with the whole', async t => {
  const handler = held(() => WHOLE)
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const many = Array.from({ length: 500 }, (_, index) => `${index}-${index}`).join()
  const answers = await follow(server, handler, [
    ...ranges('0-499,501-', '0-,0-,0-', many, '5-1', 'x'), ...ranges({ range: 'items=0-1' }, { range: '' })
  ])
  t.strictSame(distinct(answers.map(seen)), [[200, undefined, '1000', WHOLE]])
  t.equal(handler.runs, 1)
})

t.test('If-Range gives a range of this very state, else the whole; conditions come first', async t => {
  const handler = held((_request, reply) => { reply.header('etag', '"a"'); return WHOLE })
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const range = 'bytes=0-1'
  const answers = await follow(server, handler, ranges(
    { range, 'if-range': '"a"' }, { range, 'if-range': '"b"' }, { range, 'if-range': 'W/"a"' }, { range, 'if-none-match': '"a"' }, { range, 'if-match': '"b"' },
    { range: 'bytes=5000-', 'if-range': '"b"' }
  ))
  t.strictSame(answers.map(({ status }) => status), [206, 200, 200, 304, 412, 200])
  t.equal(handler.runs, 1)
})

t.test('a Range without a flight runs by itself, and nobody joins it', async t => {
  const handler = held((request, reply) => request.headers.range === undefined ? WHOLE : reply.code(206).header('content-range', 'bytes 0-0/1000').send('0'))
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: false } } }, handler) })
  const waiting = await queue(server, [...ranges('0-0', '0-0', {}, {}, '0-3')].map(options => () => server.get('/', options)))
  t.equal(handler.runs, 3)
  handler.gate.open()
  t.strictSame((await Promise.all(waiting)).map(({ body }) => body), ['0', '0', WHOLE, WHOLE, '0123'])
  t.strictSame(await outcomes(server.app), { 'bypass range': 2, 'leader shared': 1, 'follower shared': 2 })
})

t.test('a handler that looks at Range answers those who have one by itself', async t => {
  const handler = held((request, reply) => request.headers.range === undefined ? WHOLE : reply.code(206).header('content-range', 'bytes 0-0/*').send('its own'))
  const server = await serve(t, app => { app.get('/', ON, handler) })
  for (const burst of [1, 2]) {
    const answers = await follow(server, handler, ranges('0-3', '0-3', {}))
    t.strictSame(answers.map(({ body }) => body), ['its own', 'its own', WHOLE], `burst ${burst}`)
  }
  t.match(await outcomes(server.app), { 'alone range': 2 })
})

t.test('ranges that wait for a run that comes to nothing run by themselves, and none takes over', async t => {
  const handler = held((request, reply) => request.headers.range === undefined ? reply.raw.destroy() : 'its own')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: false } } }, handler) })
  const [leader, ...rest] = await queue(server, ranges({}, '0-3', '0-3').map(options => () => server.get('/', options)))
  leader?.catch(() => {})
  handler.gate.open()
  t.strictSame((await Promise.all(rest)).map(({ body }) => body), ['its own', 'its own'])
  t.equal(handler.runs, 3)
  t.notOk('leader shared' in await outcomes(server.app))
  await grounded(server.app)
})

t.test('a key that is remembered as unshareable is not cleared by what answers a Range', async t => {
  const handler = held((request, reply) => {
    if (request.headers.range === undefined) reply.header('cache-control', 'private')
    return WHOLE
  })
  handler.gate.open()
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: false } } }, handler) })
  await server.get('/')
  await server.get('/', { headers: { range: 'bytes=0-1' } })
  await server.get('/')
  t.strictSame(await outcomes(server.app), { 'leader private': 1, 'bypass range': 1, 'bypass unshareable': 1 })
})

/** A leader and followers of a stream of WHOLE, of which half has been sent. */
async function flowing (t: Parameters<typeof serve>[0], followers: readonly GetOptions[], headers: Record<string, string> = { 'content-length': '1000' }, hook?: unknown) {
  const source = new PassThrough()
  const handler = held((_request, reply) => reply.headers({ etag: '"a"', ...headers }).type('text/plain').send(source))
  const server = await serve(t, app => {
    if (hook !== undefined) app.addHook('onSend', hook as never)
    app.get('/', ON, handler)
  })
  const [leader, ...answers] = await queue(server, [{}, ...followers].map(options => () => server.get('/', options)))
  handler.gate.open()
  source.write(WHOLE.slice(0, 500))
  await until(() => server.app.coalesce.stats().deduplicatedRequests === followers.length, 'the landing')
  return { server, source, handler, leader: leader as Promise<Answer>, answers }
}

t.test('ranges are cut out of a stream of known length as it flows', async t => {
  const { server, source, handler, leader, answers } = await flowing(t, ranges('0-3', '498-501', '700-709', '-2', '998-', '0-', '1000-'))
  const early = ranges('3-5', '490-499').map(options => server.get('/', options))
  t.strictSame((await Promise.all([answers[0], answers[6], ...early])).map(answer => seen(answer as Answer)), [
    [206, 'bytes 0-3/1000', '4', '0123'], [416, 'bytes */1000', '0', ''], [206, 'bytes 3-5/1000', '3', '345'], [206, 'bytes 490-499/1000', '10', '0123456789']
  ], 'what has flowed past is not waited for')
  const late = ranges('-1').map(options => server.get('/', options))
  await server.arrived(11)
  source.end(WHOLE.slice(500))
  t.strictSame((await Promise.all([...answers.slice(1, 6), ...late])).map(seen), [
    [206, 'bytes 498-501/1000', '4', '8901'], [206, 'bytes 700-709/1000', '10', '0123456789'], [206, 'bytes 998-999/1000', '2', '89'],
    [206, 'bytes 998-999/1000', '2', '89'], [206, 'bytes 0-999/1000', '1000', WHOLE], [206, 'bytes 999-999/1000', '1', '9']
  ])
  t.equal((await leader).body, WHOLE)
  t.equal((await answers[0])?.headers['transfer-encoding'], undefined)
  t.equal(handler.runs, 1)
  await grounded(server.app)
})

t.test('conditions and If-Range hold for a stream that flows as for any response, and several ranges get the whole', async t => {
  const range = 'bytes=0-3'
  const { source, leader, answers } = await flowing(t, ranges(
    { range, 'if-range': '"a"' }, { range, 'if-range': '"b"' }, { range, 'if-none-match': '"a"' }, { range, 'if-match': '"b"' }, '0-1,5-6', '0-1,0-1', 'x'))
  source.end(WHOLE.slice(500))
  t.strictSame((await Promise.all(answers)).map(({ status, body }) => [status, body]),
    [[206, '0123'], [200, WHOLE], [304, ''], [412, ''], [200, WHOLE], [200, WHOLE], [200, WHOLE]])
  t.equal((await leader).body, WHOLE)
})

t.test('a range of a stream that turns out shorter or longer than it said is cut off, or an error if none of it had been sent', async t => {
  for (const rest of [WHOLE.slice(600), WHOLE]) {
    const { server, source, leader, answers } = await flowing(t, ranges('0-3', '490-', '990-'))
    const ends = [leader, ...answers].map(answer => answer.then(({ status, headers, body }) => [status, headers['content-range'], body], () => 'cut off'))
    t.strictSame(await ends[1], [206, 'bytes 0-3/1000', '0123'])
    source.end(rest)
    const [whole, , begun, waiting] = await Promise.all(ends)
    t.strictSame([whole, begun], ['cut off', 'cut off'])
    t.match(waiting, [500, undefined, /FST_COALESCE_WRONG_LENGTH/])
    t.equal(waiting?.[1], undefined)
    await grounded(server.app)
  }
})

t.test('a client that has its range keeps no source alive', async t => {
  const { server, source, leader, answers } = await flowing(t, ranges('0-3'))
  t.equal((await answers[0])?.body, '0123')
  leader.catch(() => {})
  ;(leader as unknown as { request: { destroy: () => void } }).request.destroy()
  await until(() => source.destroyed, 'the end of the source')
  await grounded(server.app)
})

t.test('ranges are not cut out of a stream that a hook put another in the place of', async t => {
  const upper = async (_request: unknown, _reply: unknown, payload: unknown): Promise<unknown> =>
    payload instanceof Readable ? Readable.from((async function * () { for await (const chunk of payload) yield String(chunk).replaceAll('0', 'O') })()) : payload
  const { source, leader, answers } = await flowing(t, ranges('0-3'), undefined, upper)
  source.end(WHOLE.slice(500))
  t.strictSame((await Promise.all([leader, ...answers])).map(({ status, body }) => [status, body]), Array(2).fill([200, WHOLE.replaceAll('0', 'O')]))
})

t.test('a stream of unknown length that still flows is given whole', async t => {
  const source = new PassThrough()
  const handler = held((_request, reply) => reply.type('text/plain').header('etag', '"a"').send(source))
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const [leader, ranged] = await queue(server, ranges({}, '0-3').map(options => () => server.get('/', options)))
  handler.gate.open()
  source.write(WHOLE.slice(0, 500))
  const late = server.get('/', { headers: { range: 'bytes=0-3' } })
  await server.arrived(3)
  source.end(WHOLE.slice(500))
  t.strictSame((await Promise.all([leader, ranged, late])).map(answer => [answer?.status, answer?.body]), Array(3).fill([200, WHOLE]))
  t.equal(handler.runs, 1)
})

t.test('a response that takes no ranges is given whole, and one that takes them says so itself or not at all', async t => {
  for (const [value, status] of [['none', 200], ['bytes', 206], [undefined, 206]] as const) {
    const handler = held((_request, reply) => { if (value !== undefined) reply.header('accept-ranges', value); return WHOLE })
    const server = await serve(t, app => { app.get('/', ON, handler) })
    const [answer] = await follow(server, handler, ranges('0-3'))
    t.strictSame([answer?.status, answer?.headers['accept-ranges']], [status, value])
  }
})

t.test('only bytes that every hook lets pass are sliced', async t => {
  for (const where of ['instance', 'route'] as const) {
    const handler = held(() => WHOLE)
    const footer = async (request: { headers: Record<string, unknown> }, _reply: unknown, payload: unknown): Promise<unknown> =>
      request.headers['x-plain'] === undefined ? `${String(payload)} and a footer` : payload
    const server = await serve(t, app => {
      if (where === 'instance') app.addHook('onSend', footer as never)
      app.get('/', { ...ON, ...(where === 'route' ? { onSend: footer as never } : {}) }, handler)
    })
    const [changed, plain] = await follow(server, handler, ranges('0-3', { range: 'bytes=0-3', 'x-plain': 'yes' }))
    t.strictSame([changed?.status, changed?.body], [200, `${WHOLE} and a footer`], where)
    t.strictSame([plain?.status, plain?.body], [206, '0123'], where)
  }
})

t.test('where a hook comes after the last moment, ranges are not taken', async t => {
  const handler = held(() => WHOLE)
  const server = await serve(t, app => {
    app.addHook('onRoute', options => {
      options.onSend = [...options.onSend as never[], async (_request: unknown, _reply: unknown, payload: unknown) => `${String(payload)} and a footer`] as never
    })
    app.get('/', ON, handler)
  })
  const [answer] = await follow(server, handler, ranges('0-3'))
  t.strictSame([answer?.status, answer?.body], [200, `${WHOLE} and a footer`])
})

for (const order of ['before', 'after'] as const) {
  t.test(`a range is never compressed, nor taken of what is: @fastify/compress registered ${order}`, async t => {
    const app = Fastify() as unknown as FastifyInstance
    if (order === 'after') await app.register(coalesce, { metrics: { path: false } })
    await app.register(compress, { threshold: 0 })
    if (order === 'before') await app.register(coalesce, { metrics: { path: false } })
    const handler = held((_request, reply) => reply.type('text/plain').header('etag', '"a"').send(WHOLE))
    app.get('/', ON, handler)
    const server = await listen(t, app)
    const range = 'bytes=0-3'
    const [plain, identity, gzip] = await follow(server, handler, ranges({ range }, { range, 'accept-encoding': 'identity' }, { range, 'accept-encoding': 'gzip' }))
    // Registered after, its hook comes last, and there is no telling what it will do.
    const expected = order === 'before' ? [206, '0123', undefined] : [200, WHOLE, undefined]
    for (const answer of [plain, identity]) t.strictSame([answer?.status, answer?.body, answer?.headers['content-encoding']], expected)
    t.strictSame([gzip?.status, gzip?.headers['content-encoding'], gzip?.headers['content-range']], [200, 'gzip', undefined])
    t.equal(handler.runs, 1)
  })

  t.test(`a range has the tag of the whole: @fastify/etag registered ${order}`, async t => {
    const app = Fastify() as unknown as FastifyInstance
    if (order === 'after') await app.register(coalesce, { metrics: { path: false } })
    await app.register(etag)
    if (order === 'before') await app.register(coalesce, { metrics: { path: false } })
    const handler = held(() => WHOLE)
    app.get('/', ON, handler)
    app.get('/bare', async () => WHOLE)
    const server = await listen(t, app)
    const tag = (await server.get('/bare')).headers.etag as string
    const range = 'bytes=0-3'
    const answers = await follow(server, handler, ranges({ range }, { range, 'if-range': tag }, { range, 'if-range': '"b"' }, { range, 'if-none-match': tag }))
    t.strictSame(answers.map(({ status, headers }) => [status, headers.etag]), [[206, tag], [206, tag], [200, tag], [304, tag]])
  })
}

t.test('ranges are cut out of a file of @fastify/static while it is read', async t => {
  const folder = t.testdir({ 'file.txt': WHOLE })
  const app = Fastify() as unknown as FastifyInstance
  await app.register(staticFiles, { root: folder, serve: false })
  await app.register(coalesce, { metrics: { path: false } })
  const handler = held((_request, reply) => (reply as unknown as { sendFile: (name: string) => unknown }).sendFile('file.txt'))
  app.get('/', { config: { coalesce: { learnVary: false } } }, handler)
  const server = await listen(t, app)
  const [whole, known, first, last] = await follow(server, handler, ranges({}, { 'if-none-match': '*' }, '0-3', '-3'))
  t.strictSame([whole?.status, whole?.body, known?.status], [200, WHOLE, 304])
  t.equal(handler.runs, 1)
  const alone = await server.get('/', { headers: { range: 'bytes=0-3' } })
  const comparable = ({ status, headers, body }: Answer): unknown => [status, { ...headers, date: undefined }, body]
  t.strictSame(comparable(first as Answer), comparable(alone), 'as the file server itself would')
  t.strictSame(seen(last as Answer), [206, 'bytes 997-999/1000', '3', '789'])
})

t.test('200 followers with ranges of a megabyte hold it once', async t => {
  const big = 'x'.repeat(1_000_000)
  const handler = held(() => big)
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const waiting = await queue(server, [() => server.get('/')])
  const others = times(200, server, '/', { headers: { range: 'bytes=10-19' } }).map(send => send())
  await server.arrived(201)
  const before = process.memoryUsage().arrayBuffers
  let most = 0
  const watch = setInterval(() => { most = Math.max(most, process.memoryUsage().arrayBuffers) }, 1)
  handler.gate.open()
  const answers = await Promise.all(others)
  clearInterval(watch)
  await Promise.all(waiting)
  t.strictSame(distinct(answers.map(seen)), [[206, 'bytes 10-19/1000000', '10', 'xxxxxxxxxx']])
  t.ok(most - before < 50_000_000, `${most - before} bytes more`)
})
