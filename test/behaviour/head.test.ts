import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import compress from '@fastify/compress'
import etag from '@fastify/etag'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { arrivedAt, distinct, held, queue, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes } from '../fixtures/endings.js'
import { serve, type Answer, type TestServer } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }
const HEAD = { method: 'HEAD' }
const TEXT = 'serendipity '.repeat(200)

const seen = ({ status, body, headers }: Answer): unknown[] => [status, body, headers['content-length']]

/** One GET that leads and some HEADs that follow it. */
async function ride (server: TestServer, handler: ReturnType<typeof held>, heads = 3): Promise<Answer[]> {
  const waiting = await queue(server, [() => server.get('/'), ...times(heads, server, '/', HEAD)])
  handler.gate.open()
  return await Promise.all(waiting)
}

t.test('HEAD of an automatic HEAD route is answered with what answers GET, without the body', async t => {
  const handler = held((_request, reply) => { reply.header('x-own', 'yes'); return { hello: 'world' } })
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const [get, ...heads] = await ride(server, handler)
  t.strictSame(seen(get as Answer), [200, '{"hello":"world"}', '17'])
  t.strictSame(distinct(heads.map(seen)), [[200, '', '17']])
  t.strictSame(distinct(heads.map(({ headers }) => [headers['x-own'], headers['content-type']])), [['yes', get?.headers['content-type']]])
  t.equal(handler.runs, 1)
  t.strictSame(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 3 })
})

t.test('HEAD without a GET in the air runs by itself, and nobody joins it', async t => {
  const handler = held(() => TEXT)
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const waiting = await queue(server, [...times(2, server, '/', HEAD), ...times(2, server, '/')])
  t.equal(handler.runs, 3)
  handler.gate.open()
  const answers = await Promise.all(waiting)
  t.strictSame(answers.map(({ body }) => body.length), [0, 0, TEXT.length, TEXT.length])
  t.strictSame(distinct(answers.map(({ headers }) => headers['content-length'])), [String(TEXT.length)])
  t.strictSame(await outcomes(server.app), { 'bypass head': 2, 'leader shared': 1, 'follower shared': 1 })
})

t.test('an explicit HEAD route rides on the GET of the same pattern, options and handler', async t => {
  for (const headFirst of [true, false]) {
    const handler = held(() => TEXT)
    const server = await serve(t, app => {
      if (headFirst) app.head('/', ON, handler)
      app.get('/', { ...ON, exposeHeadRoute: false }, handler)
      if (!headFirst) app.head('/', ON, handler)
    })
    const [, ...heads] = await ride(server, handler, 2)
    t.strictSame(distinct(heads.map(seen)), [[200, '', String(TEXT.length)]])
    t.equal(handler.runs, 1)
  }
})

t.test('a HEAD route with a handler of its own is not answered with what a gate of the GET guards', async t => {
  const get = held((_request, reply) => reply.header('x-secret', 'yes').send(TEXT))
  const head = held((_request, reply) => reply.header('x-head', 'yes').send())
  const server = await serve(t, app => {
    app.head('/', ON, head)
    app.get('/', {
      ...ON,
      exposeHeadRoute: false,
      preHandler: async (request, reply) => { if (request.headers['x-user'] === undefined) await reply.code(401).send() }
    }, get)
  })
  const waiting = await queue(server, [() => server.get('/', { headers: { 'x-user': 'a' } }), () => server.get('/', HEAD)])
  get.gate.open()
  head.gate.open()
  const [, answer] = await Promise.all(waiting)
  t.strictSame([answer?.headers['x-head'], answer?.headers['x-secret']], ['yes', undefined])
  t.strictSame([get.runs, head.runs], [1, 1])
})

t.test('one route of both methods lets HEAD ride', async t => {
  const handler = held(() => TEXT)
  const server = await serve(t, app => { app.route({ method: ['GET', 'HEAD'], url: '/', ...ON, handler }) })
  const [, ...heads] = await ride(server, handler)
  t.strictSame(distinct(heads.map(seen)), [[200, '', String(TEXT.length)]])
  t.equal(handler.runs, 1)
})

const apart = {
  'other options': [{ ...ON }, { config: { coalesce: { query: ['q'] } } }],
  'other constraints': [{ ...ON, constraints: { host: /^127/ } }, { ...ON }],
  'another expression': [{ ...ON, constraints: { host: /^127/ } }, { ...ON, constraints: { host: /^127\./ } }]
} as const

for (const [what, [getOptions, headOptions]] of Object.entries(apart)) {
  t.test(`an explicit HEAD route with ${what} than its GET runs by itself`, async t => {
    const handler = held(() => 'body')
    const server = await serve(t, app => {
      app.head('/', headOptions, handler)
      app.get('/', { ...getOptions, exposeHeadRoute: false }, handler)
    })
    const waiting = await queue(server, [() => server.get('/'), () => server.get('/', HEAD)])
    handler.gate.open()
    await Promise.all(waiting)
    t.equal(handler.runs, 2)
  })
}

t.test('HEAD of one of two routes rides on its own GET', async t => {
  const one = held(() => 'one')
  const two = held(() => 'number two')
  const server = await serve(t, app => {
    app.get('/', { ...ON, constraints: { version: '1.0.0' } }, one)
    app.get('/', { ...ON, constraints: { version: '2.0.0' } }, two)
  })
  const as = (version: string, method: string) => () => server.get('/', { method, headers: { 'accept-version': version } })
  const waiting = await queue(server, [as('1.0.0', 'GET'), as('2.0.0', 'GET'), as('1.0.0', 'HEAD'), as('2.0.0', 'HEAD')])
  one.gate.open()
  two.gate.open()
  t.strictSame((await Promise.all(waiting)).map(({ headers }) => headers['content-length']), ['3', '10', '3', '10'])
  t.strictSame([one.runs, two.runs], [1, 1])
})

t.test('HEAD passes the gates of its own', async t => {
  const handler = held(() => TEXT)
  const server = await serve(t, app => {
    app.addHook('preHandler', async (request, reply) => { if (request.method === 'HEAD' && request.headers['x-user'] === undefined) reply.code(401).send() })
    app.get('/', ON, handler)
  })
  const waiting = await queue(server, [() => server.get('/'), () => server.get('/', { ...HEAD, headers: { 'x-user': 'a' } })])
  t.equal((await server.get('/', HEAD)).status, 401)
  handler.gate.open()
  t.strictSame((await Promise.all(waiting)).map(({ status }) => status), [200, 200])
  t.equal(handler.runs, 1)
})

t.test('HEAD of a stream that flows has its headers at once, and leaves the source to those who read', async t => {
  const source = new PassThrough()
  const handler = held((_request, reply) => reply.type('text/plain').header('x-own', 'yes').send(source))
  const server = await serve(t, app => {
    app.head('/', ON, handler)
    app.get('/', { ...ON, exposeHeadRoute: false }, handler)
  })
  const [get, ...heads] = await queue(server, [() => server.get('/'), ...times(2, server, '/', HEAD)])
  handler.gate.open()
  source.write('first')
  const answers = await Promise.all(heads)
  t.strictSame(distinct(answers.map(seen)), [[200, '', undefined]])
  t.strictSame(distinct(answers.map(({ headers }) => [headers['x-own'], headers['content-type']])), [['yes', 'text/plain']])
  t.equal(source.destroyed, false)
  const late = await server.get('/', HEAD)
  t.strictSame(seen(late), [200, '', undefined])
  source.end(' last')
  t.equal((await get)?.body, 'first last')
  t.equal(handler.runs, 1)
  await grounded(server.app)
})

t.test('HEADs that wait for a GET that comes to nothing run by themselves: none of them takes over', async t => {
  const handler = held((request, reply) => request.method === 'HEAD' ? TEXT : reply.raw.destroy())
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const [get, ...heads] = await queue(server, [() => server.get('/'), ...times(3, server, '/', HEAD)])
  get?.catch(() => {})
  handler.gate.open()
  t.strictSame(distinct((await Promise.all(heads)).map(seen)), [[200, '', String(TEXT.length)]])
  t.equal(handler.runs, 4)
  t.strictSame(Object.entries(await outcomes(server.app)).filter(([name]) => name.startsWith('alone')).map(([, count]) => count), [3])
  await grounded(server.app)
})

t.test('a GET takes over where HEADs have waited longer, and they are answered with its run', async t => {
  let runs = 0
  const handler = held((_request, reply) => ++runs === 1 ? reply.raw.destroy() : TEXT)
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const [first, ...rest] = await queue(server, [() => server.get('/'), ...times(2, server, '/', HEAD), () => server.get('/')])
  first?.catch(() => {})
  handler.gate.open()
  t.strictSame((await Promise.all(rest)).map(seen), [...Array(2).fill([200, '', String(TEXT.length)]), [200, TEXT, String(TEXT.length)]])
  t.equal(handler.runs, 2)
  t.match(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 2 })
})

t.test('a GET whose client leaves runs on for the HEADs that wait', async t => {
  const handler = held(() => TEXT)
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const [get, head] = await queue(server, [() => server.get('/'), () => server.get('/', HEAD)])
  await leave(get as NonNullable<typeof get>)
  handler.gate.open()
  t.strictSame(seen(await (head as NonNullable<typeof head>)), [200, '', String(TEXT.length)])
  t.equal(handler.runs, 1)
})

for (const order of ['before', 'after'] as const) {
  t.test(`HEAD has the headers that it has without coalescing, with etag and compress registered ${order}`, async t => {
    const ask = async (on: boolean): Promise<unknown> => {
      const app = Fastify() as unknown as FastifyInstance
      if (order === 'after') await app.register(coalesce)
      await app.register(etag)
      await app.register(compress, { threshold: 0 })
      if (order === 'before') await app.register(coalesce)
      const handler = held(() => TEXT)
      app.get('/', { config: { coalesce: on } }, handler)
      await app.listen({ port: 0, host: '127.0.0.1' })
      t.teardown(() => app.close())
      const base = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
      const get = fetch(base)
      if (on) await arrivedAt(app.coalesce.stats, 1)
      const heads = ['identity', 'gzip'].map(async coding => await fetch(base, { method: 'HEAD', headers: { 'accept-encoding': coding } }))
      if (on) await arrivedAt(app.coalesce.stats, 3)
      handler.gate.open()
      await (await get).text()
      const answers = await Promise.all(heads)
      if (on) t.equal(handler.runs, 1)
      return answers.map(({ status, headers }) =>
        [status, ...['etag', 'content-type', 'content-length', 'content-encoding', 'vary'].map(name => headers.get(name))])
    }
    t.strictSame(await ask(true), await ask(false))
  })
}

t.test('HEAD over HTTP/2 has no body either', async t => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  const handler = held(() => TEXT)
  await app.register(coalesce)
  app.head('/', ON, handler)
  app.get('/', { ...ON, exposeHeadRoute: false }, handler)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(async () => {
    session.destroy()
    await app.close()
  })
  const ask = async (method: string): Promise<unknown> => {
    const stream = session.request({ ':method': method, ':path': '/' })
    let length: unknown
    stream.on('response', headers => { length = headers['content-length'] })
    let body = ''
    for await (const chunk of stream) body += String(chunk)
    return [body.length, length]
  }
  const get = ask('GET')
  await arrivedAt(app.coalesce.stats, 1)
  const head = ask('HEAD')
  await arrivedAt(app.coalesce.stats, 2)
  handler.gate.open()
  t.strictSame(await Promise.all([get, head]), [[TEXT.length, String(TEXT.length)], [0, String(TEXT.length)]])
  t.equal(handler.runs, 1)
})

t.test('HEAD of either URL of a route that is / under a prefix is answered with what answers GET of it', async t => {
  for (const path of ['/v2', '/v2/']) {
    const handler = held(() => TEXT)
    const server = await serve(t, async app => {
      await app.register(async inner => { inner.get('/', ON, handler) }, { prefix: '/v2' })
    })
    const waiting = await queue(server, [...times(1, server, path), ...times(2, server, path, HEAD)])
    t.equal(handler.runs, 1, path)
    handler.gate.open()
    t.strictSame(distinct((await Promise.all(waiting)).slice(1).map(seen)), [[200, '', String(TEXT.length)]])
    t.strictSame(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 2 })
  }
})

t.test('HEAD of a route that has no GET beside it runs by itself', async t => {
  const handler = held((_request, reply) => reply.send())
  const server = await serve(t, app => { app.head('/only', ON, handler) })
  const waiting = await queue(server, times(2, server, '/only', HEAD))
  handler.gate.open()
  t.strictSame((await Promise.all(waiting)).map(({ status }) => status), [200, 200])
  t.equal(handler.runs, 2)
})
