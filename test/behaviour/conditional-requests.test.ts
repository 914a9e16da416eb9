import { PassThrough, Readable } from 'node:stream'
import compress from '@fastify/compress'
import etag from '@fastify/etag'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { distinct, held, queue, times } from '../fixtures/crowd.js'
import { grounded, outcomes } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { listen, serve, type Answer, type GetOptions, type TestServer } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }
const TEXT = 'serendipity '.repeat(200)
const THEN = 'Sun, 06 Nov 1994 08:49:37 GMT'
const BEFORE = 'Sun, 06 Nov 1994 08:49:36 GMT'

/** A document with both validators. */
function document (_request: FastifyRequest, reply: FastifyReply): string {
  reply.headers({ etag: '"a"', 'last-modified': THEN, 'cache-control': 'max-age=60', 'content-location': '/it', 'content-language': 'en', 'x-own': 'yes' })
  return TEXT
}

/** A client that leads, and one for each of the others, which follow. */
async function follow (server: TestServer, handler: ReturnType<typeof held>, followers: readonly GetOptions[], leader: GetOptions = {}): Promise<Answer[]> {
  const waiting = await queue(server, [leader, ...followers].map(options => () => server.get('/', options)))
  handler.gate.open()
  return (await Promise.all(waiting)).slice(1)
}

const headers = (...all: Array<Record<string, string>>): GetOptions[] => all.map(each => ({ headers: each }))

t.test('each follower\'s conditions are evaluated against the one response', async t => {
  const handler = held(document)
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const answers = await follow(server, handler, headers(
    {}, { 'if-none-match': '"a"' }, { 'if-none-match': '"b", W/"a"' }, { 'if-none-match': '"b"' }, { 'if-none-match': '*' }, { 'if-modified-since': THEN },
    { 'if-modified-since': BEFORE }, { 'if-none-match': '"b"', 'if-modified-since': THEN }, { 'if-match': '"a"' }, { 'if-match': '"b"' }, { 'if-match': 'W/"a"' },
    { 'if-unmodified-since': BEFORE }, { 'if-unmodified-since': THEN }, { 'if-match': '"a"', 'if-unmodified-since': BEFORE }, { 'if-match': '"a"', 'if-none-match': '"a"' }
  ))
  t.strictSame(answers.map(({ status }) => status), [200, 304, 304, 200, 304, 304, 200, 200, 200, 412, 412, 412, 200, 200, 304])
  t.strictSame(distinct(answers.filter(({ status }) => status === 200).map(({ body }) => body)), [TEXT])
  t.strictSame(distinct(answers.filter(({ status }) => status !== 200).map(({ body }) => body)), [''])
  t.equal(handler.runs, 1)
  t.match(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 15 })
})

t.test('304 says what caches are updated with, and nothing of a body; 412 nothing that would be kept', async t => {
  const handler = held(document)
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const asked = headers({ 'if-none-match': '"a"' }, { 'if-match': '"b"' })
  const [notModified, failed, ...heads] = await follow(server, handler, [...asked, ...asked.map(each => ({ ...each, method: 'HEAD' }))])
  const names = ({ headers: { date, connection, 'keep-alive': _, ...rest } }: Answer): string[] => Object.keys(rest).sort()
  t.strictSame(names(notModified as Answer), ['cache-control', 'content-location', 'etag', 'x-own'])
  t.strictSame(names(failed as Answer), ['content-length', 'x-own'])
  t.equal(failed?.headers['content-length'], '0')
  t.strictSame(heads.map(({ status }) => status), [304, 412])
  t.strictSame(names(heads[0] as Answer), ['cache-control', 'content-location', 'etag', 'x-own'])
  t.equal(handler.runs, 1)
})

t.test('without validators only a star is a condition, and another status than 200 has none', async t => {
  const handler = held((request, reply) => { if (request.url !== '/') reply.code(404).header('etag', '"a"'); return TEXT })
  const server = await serve(t, app => { app.get('/', ON, handler); app.get('/none', ON, handler) })
  const asked = headers({ 'if-none-match': '"a"' }, { 'if-match': '"b"' }, { 'if-modified-since': THEN }, { 'if-unmodified-since': BEFORE }, { 'if-match': '*' }, { 'if-none-match': '*' })
  const waiting = await queue(server, ['/', '/none'].flatMap(path => [{}, ...asked].map(options => () => server.get(path, options))))
  handler.gate.open()
  t.strictSame((await Promise.all(waiting)).map(({ status }) => status), [200, 200, 200, 200, 200, 200, 304, ...Array(7).fill(404)])
  t.equal(handler.runs, 2)
})

t.test('a conditional request leads, and its own 304 or 412 is nobody else\'s answer', async t => {
  for (const [status, name] of [[304, 'if-none-match'], [412, 'if-match']] as const) {
    // As a handler behind a global Cache-Control would: by its freshness alone it could be shared.
    const handler = held((request, reply) => {
      reply.header('cache-control', 'max-age=60').header('etag', '"a"')
      return request.headers[name] === undefined ? TEXT : reply.code(status).send()
    })
    const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: false, releaseConcurrency: 2 } } }, handler) })
    const value = name === 'if-match' ? '"b"' : '"a"'
    const answers = await follow(server, handler, headers({}, {}, {}, {}), { headers: { [name]: value } })
    t.strictSame(distinct(answers.map(({ status, body }) => [status, body])), [[200, TEXT]], name)
    t.strictSame(await outcomes(server.app), { 'leader status': 1, 'alone status': 4 })
    const again = await Promise.all(times(2, server, '/').map(send => send()))
    t.strictSame(distinct(again.map(({ status }) => status)), [200])
    t.notOk('bypass unshareable' in await outcomes(server.app), 'and nothing is remembered')
    await grounded(server.app)
  }
})

t.test('a thrown 412 is nobody else\'s answer either', async t => {
  const handler = held(request => {
    if (request.headers['if-match'] === '"b"') throw Object.assign(new Error('no'), { statusCode: 412 })
    return TEXT
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: false } } }, handler) })
  const answers = await follow(server, handler, headers({}, {}), { headers: { 'if-match': '"b"' } })
  t.strictSame(distinct(answers.map(({ status }) => status)), [200])
})

t.test('those whom a 304 releases run a few at a time', async t => {
  let now = 0
  let most = 0
  const handler = held(async (request, reply) => {
    if (request.headers['if-none-match'] !== undefined) return reply.code(304).send()
    most = Math.max(most, ++now)
    await new Promise(resolve => setImmediate(resolve))
    now--
    return TEXT
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: false, releaseConcurrency: 3 } } }, handler) })
  const answers = await follow(server, handler, Array.from({ length: 20 }, () => ({})), { headers: { 'if-none-match': '"a"' } })
  t.strictSame(distinct(answers.map(({ status }) => status)), [200])
  t.ok(most <= 3, `${most} at once`)
})

t.test('the 200 of a conditional leader is everybody\'s, each by conditions of its own', async t => {
  const handler = held(document)
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const answers = await follow(server, handler, headers({}, { 'if-none-match': '"a"' }), { headers: { 'if-none-match': '"b"' } })
  t.strictSame(answers.map(({ status }) => status), [200, 304])
  t.equal(handler.runs, 1)
})

t.test('a handler that looks at a condition answers those with another one by itself', async t => {
  const handler = held((request, reply) => {
    reply.header('etag', '"a"')
    return request.headers['if-none-match'] === undefined ? 'for all' : `for ${request.headers['if-none-match']}`
  })
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const answers = await follow(server, handler, headers({}, { 'if-none-match': '"a"' }, { 'if-none-match': '"b"' }, { 'if-none-match': '"b"' }))
  t.strictSame(answers.map(({ status, body }) => [status, body]), [[200, 'for all'], [200, 'for "a"'], [200, 'for "b"'], [200, 'for "b"']])
  t.equal(handler.runs, 3, 'one for each value')
})

t.test('a stream that flows is not joined by who has it already', async t => {
  const source = new PassThrough()
  const handler = held((_request, reply) => reply.type('text/plain').header('etag', '"a"').send(source))
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const [leader, ...rest] = await queue(server, headers({}, { 'if-none-match': '"a"' }, { 'if-match': '"b"' }).map(options => () => server.get('/', options)))
  handler.gate.open()
  source.write('first')
  t.strictSame((await Promise.all(rest)).map(({ status }) => status), [304, 412])
  t.equal((await server.get('/', { headers: { 'if-none-match': '"a"' } })).status, 304, 'who comes late as well')
  source.end(' last')
  t.equal((await leader)?.body, 'first last')
  t.equal(handler.runs, 1)
  await grounded(server.app)
})

for (const order of ['before', 'after'] as const) {
  t.test(`a tag that @fastify/etag makes counts, registered ${order}`, async t => {
    const app = Fastify() as unknown as FastifyInstance
    if (order === 'after') await app.register(coalesce, { metrics: { path: false } })
    await app.register(etag)
    if (order === 'before') await app.register(coalesce, { metrics: { path: false } })
    const handler = held(() => TEXT)
    app.get('/', ON, handler)
    app.get('/bare', async () => TEXT)
    const server = await listen(t, app)
    const tag = (await server.get('/bare')).headers.etag as string
    const answers = await follow(server, handler, headers(
      {}, { 'if-none-match': tag }, { 'if-none-match': `"b", ${tag}` }, { 'if-none-match': `W/${tag}` }, { 'if-none-match': '"b"' }, { 'if-match': tag }, { 'if-match': '"b"' }
    ))
    t.strictSame(answers.map(({ status }) => status), [200, 304, 304, 304, 200, 200, 412])
    t.strictSame(distinct(answers.filter(({ status }) => status < 400).map(({ headers }) => headers.etag)), [tag])
    t.ok(answers.every(({ status, body }) => body === (status === 200 ? TEXT : '')))
    t.equal(handler.runs, 1)
  })

  t.test(`a conditional leader is given its 304 and everybody else what is theirs, of one run: @fastify/etag registered ${order}`, async t => {
    for (const make of [() => TEXT, (reply: FastifyReply) => reply.header('etag', '"own"').send(Readable.from([TEXT]))]) {
      const app = Fastify() as unknown as FastifyInstance
      if (order === 'after') await app.register(coalesce, { metrics: { path: false } })
      await app.register(etag)
      if (order === 'before') await app.register(coalesce, { metrics: { path: false } })
      const handler = held((_request, reply) => make(reply))
      app.get('/', ON, handler)
      app.get('/bare', async (_request, reply) => make(reply))
      const server = await listen(t, app)
      const bare = await server.get('/bare')
      const tag = bare.headers.etag as string
      const waiting = await queue(server, [{ 'if-none-match': tag }, {}, { 'if-none-match': tag }, { 'if-none-match': '"b"' }].map(each => () => server.get('/', { headers: each })))
      handler.gate.open()
      const answers = await Promise.all(waiting)
      t.strictSame(answers.map(({ status, body }) => [status, body]), [[304, ''], [200, TEXT], [304, ''], [200, TEXT]])
      t.strictSame(distinct(answers.map(({ headers }) => headers.etag)), [tag])
      t.equal(handler.runs, 1)
      await grounded(app)
    }
  })

  t.test(`a handler that looks at a condition itself sees it, and so does a handler of errors: a hook registered ${order}`, async t => {
    const app = Fastify() as unknown as FastifyInstance
    const seen: unknown[] = []
    if (order === 'after') await app.register(coalesce, { metrics: { path: false } })
    app.addHook('onSend', async request => { seen.push(request.headers['if-none-match'], request.headers['x-other']) })
    if (order === 'before') await app.register(coalesce, { metrics: { path: false } })
    app.get('/', ON, async request => request.headers['if-none-match'])
    app.get('/error', ON, async () => { throw new Error('broken') })
    app.setErrorHandler((_error, request, reply) => { reply.code(500).send(request.headers['if-none-match']) })
    const server = await listen(t, app)
    const headers = { 'if-none-match': '"a"', 'x-other': 'yes' }
    t.equal((await server.get('/', { headers })).body, '"a"')
    t.equal((await server.get('/error', { headers })).body, '"a"')
    t.strictSame(seen, ['"a"', 'yes', '"a"', 'yes'], 'and so does the hook')
  })

  t.test(`a stream that is its client's only ends with its 304, and one that looks at a condition sees it: @fastify/etag registered ${order}`, async t => {
    const app = Fastify() as unknown as FastifyInstance
    if (order === 'after') await app.register(coalesce, { metrics: { path: false } })
    await app.register(etag)
    if (order === 'before') await app.register(coalesce, { metrics: { path: false } })
    const seen: unknown[] = []
    app.get('/private', ON, async (_request, reply) => reply.headers({ etag: '"a"', 'cache-control': 'private' }).send(new PassThrough()))
    app.get('/looks', ON, async (request, reply) => reply.header('etag', '"a"').send(new Readable({
      read () {
        seen.push(request.headers['if-none-match'])
        this.push(this.readableLength === 0 && seen.length === 1 ? TEXT : null)
      }
    })))
    const server = await listen(t, app)
    t.equal((await server.get('/private', { headers: { 'if-none-match': '"a"' } })).status, 304)
    t.equal((await server.get('/looks', { headers: { 'if-none-match': '"b"' } })).body, TEXT)
    t.strictSame(distinct(seen), ['"b"'])
  })

  t.test(`304 is not compressed, with @fastify/compress registered ${order}`, async t => {
    const app = Fastify() as unknown as FastifyInstance
    if (order === 'after') await app.register(coalesce, { metrics: { path: false } })
    await app.register(compress, { threshold: 0 })
    if (order === 'before') await app.register(coalesce, { metrics: { path: false } })
    const handler = held(document)
    app.get('/', ON, handler)
    const server = await listen(t, app)
    const answers = await follow(server, handler, headers({ 'accept-encoding': 'gzip' }, { 'accept-encoding': 'gzip', 'if-none-match': '"a"' }))
    t.strictSame(answers.map(({ status, headers }) => [status, headers['content-encoding'], headers.etag]), [[200, 'gzip', '"a"'], [304, undefined, '"a"']])
  })
}

t.test('hooks of the follower see its 304, and what they add to it stays', async t => {
  const handler = held(document)
  const seen: number[] = []
  const server = await serve(t, app => {
    app.addHook('onSend', async (_request, reply) => { seen.push(reply.statusCode); reply.header('x-hook', 'yes') })
    app.get('/', ON, handler)
  })
  const [answer] = await follow(server, handler, headers({ 'if-none-match': '"a"' }))
  await until(() => seen.length === 2)
  t.strictSame([answer?.status, answer?.headers['x-hook']], [304, 'yes'])
  t.strictSame(seen.sort(), [200, 304])
})

t.test('a hook of the follower that fails after its 304 fails visibly', async t => {
  const handler = held(document)
  const server = await serve(t, app => {
    app.addHook('onSend', async (_request, reply) => { if (reply.statusCode === 304) throw new Error('a hook failed') })
    app.get('/', ON, handler)
  })
  const [answer] = await follow(server, handler, headers({ 'if-none-match': '"a"' }))
  t.equal(answer?.status, 500)
  t.match(answer?.body, /a hook failed/)
})
