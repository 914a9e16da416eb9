import t from 'tap'
import cookie from '@fastify/cookie'
import Fastify, { type FastifyInstance } from 'fastify'
import coalesce from '../../lib/index.js'
import { Cases, keptApart, sharedAmong, type Deed } from '../fixtures/cases.js'
import { held, meet, times } from '../fixtures/crowd.js'
import { outcomes } from '../fixtures/endings.js'
import { listen, serve } from '../fixtures/server.js'

const saying = (name: string, value: string | string[]): Deed => reply => { reply.header(name, value) }

t.test('a response with a cookie is its own client\'s', async t => {
  const cases = new Cases({
    'one cookie': saying('set-cookie', 'sid=1'),
    'two cookies': saying('set-cookie', ['sid=1', 'theme=dark']),
    'a cookie under a name in capitals': saying('Set-Cookie', 'sid=1'),
    'an empty cookie': saying('set-cookie', ''),
    'a cookie of a Response': () => new Response(String(Math.random()), { headers: { 'set-cookie': 'sid=1' } }),
    'a cookie on an error': reply => {
      reply.header('set-cookie', 'sid=1')
      throw new Error(String(Math.random()))
    }
  })
  const server = await serve(t, app => { cases.define(app) })
  t.same(sharedAmong(await cases.judge(server)), [])
  t.match(await outcomes(server.app), { 'leader set-cookie': 6, 'alone set-cookie': 12 })
})

t.test('a cookie that a hook sets before boarding keeps the response from the others', async t => {
  const handler = held(() => 'hello')
  const server = await serve(t, app => {
    app.addHook('onRequest', async (_request, reply) => { reply.header('set-cookie', 'csrf=1') })
    app.get('/', { config: { coalesce: true } }, handler)
  })
  await meet(server, handler, times(3, server, '/'))
  t.equal(handler.runs, 3)
})

for (const order of ['before', 'after'] as const) {
  t.test(`a cookie that @fastify/cookie sets, registered ${order} the plugin, reaches its own client only`, async t => {
    const app: FastifyInstance = Fastify() as unknown as FastifyInstance
    if (order === 'before') await app.register(cookie)
    await app.register(coalesce, { metrics: true })
    if (order === 'after') await app.register(cookie)
    let runs = 0
    const handler = held((_request, reply) => {
      reply.setCookie('sid', `secret-${++runs}`)
      return 'hello'
    })
    app.get('/', { config: { coalesce: true } }, handler)
    const server = await listen(t, app)
    const answers = await meet(server, handler, times(5, server, '/'))
    t.same(new Set(answers.flatMap(({ headers }) => headers['set-cookie']?.[0]?.split(';')[0])),
      new Set(['sid=secret-1', 'sid=secret-2', 'sid=secret-3', 'sid=secret-4', 'sid=secret-5']))
  })
}

t.test('a restriction in Cache-Control counts in any spelling', async t => {
  const spellings: Array<string | string[]> = [
    'private', 'PRIVATE', 'no-store', 'No-Store', 'max-age=60, private', 'public,private', ' private ', '\tno-store\t',
    'private="set-cookie"', 'private="x-a, x-b"', 'no-store="x"', 'private=x', 'public, NO-STORE', ',,private,,',
    ['public', 'private'], ['max-age=60', 'No-Store'], 'max-age="60", private', 'x="\\"", private',
    // Not well formed.
    'private; max-age=60', 'no store', 'private=', '"private"', 'max-age=', 'max-age=-1', 'max-age=1.5', 'x="', 'public private',
    ['x="', 'private, y="']
  ]
  const cases = new Cases(Object.fromEntries(spellings.map(value => [JSON.stringify(value), saying('cache-control', value)])))
  const server = await serve(t, app => { cases.define(app) })
  t.same(sharedAmong(await cases.judge(server)), [])
})

t.test('other directives do not keep a response from those who wait already', async t => {
  const cases = new Cases(Object.fromEntries(
    ['no-cache', 'max-age=0', 'public', 'max-age=60', 's-maxage=5', 'must-revalidate', 'x-private', 'private-ish=1', 'x="private"', 'foo="no-store, private"']
      .map(value => [value, saying('cache-control', value)])))
  const server = await serve(t, app => { cases.define(app) })
  t.same(keptApart(await cases.judge(server)), [])
})

t.test('no-cache and max-age=0 are kept for nobody who comes later', async t => {
  const cases = new Cases({ 'no-cache': saying('cache-control', 'no-cache'), 'max-age=0': saying('cache-control', 'max-age=0') })
  const server = await serve(t, app => { cases.define(app) })
  await cases.judge(server)
  t.same((await cases.judge(server)).map(({ runs }) => runs), [1, 1])
})

t.test('a restriction that another plugin adds in a later onSend hook counts', async t => {
  const cases = new Cases({ plain: () => {} })
  for (const [name, value] of [['cache-control', 'private'], ['cache-control', 'No-Store'], ['set-cookie', 'sid=1']] as const) {
    const server = await serve(t, app => {
      app.addHook('onSend', async (_request, reply) => { reply.header(name, value) })
      cases.define(app)
    })
    t.same(sharedAmong(await cases.judge(server)), [], `${name}: ${value}`)
  }
})

t.test('a response that varies on anything is its own client\'s', async t => {
  const cases = new Cases(Object.fromEntries(
    ['*', 'accept, *', ['accept', '*'], ' * ', '*,accept', 'accept language', 'a;b', '"x"'].map(value => [JSON.stringify(value), saying('vary', value)])))
  const server = await serve(t, app => { cases.define(app) })
  t.same(sharedAmong(await cases.judge(server)), [])
})

t.test('of the status codes only those that any cache may keep are shared', async t => {
  const statuses = [
    200, 201, 202, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 414, 422, 429, 500, 501, 503
  ]
  const cases = new Cases(Object.fromEntries(statuses.map(status => [status, reply => { reply.code(status) }])))
  const server = await serve(t, app => { cases.define(app) })
  const runs = (await cases.judge(server)).map(({ name, runs }) => [Number(name), runs] as const)
  t.same(runs.filter(([, count]) => count === 1).map(([status]) => status),
    [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 500, 501, 503])
  t.same(runs.filter(([, count]) => count === 3).map(([status]) => status),
    [201, 202, 206, 302, 303, 304, 307, 400, 401, 403, 409, 422, 429])
})

t.test('further status codes are shared by option or by explicit freshness, 206 and 304 never', async t => {
  const fresh = (status: number): Deed => reply => { reply.code(status).header('cache-control', 'max-age=60') }
  const byFreshness = new Cases({ 302: fresh(302), 403: fresh(403), 206: fresh(206), 304: fresh(304) })
  const byOption = new Cases({ 302: reply => { reply.code(302) } })
  t.same((await byFreshness.judge(await serve(t, app => { byFreshness.define(app) }))).map(({ name, runs }) => [name, runs]),
    [['206', 3], ['302', 1], ['304', 3], ['403', 1]])
  t.same(keptApart(await byOption.judge(await serve(t, app => { byOption.define(app, { statuses: [302] }) }))), [])
})

t.test('a response with trailers or an event stream is its own client\'s', async t => {
  const cases = new Cases({
    trailers: reply => { reply.trailer('etag', async () => 'x') },
    'an event stream': reply => { reply.type('text/event-stream') },
    'an event stream in capitals': reply => { reply.header('content-type', 'Text/Event-Stream; charset=utf-8') },
    unbuffered: reply => { reply.header('x-accel-buffering', 'no') }
  })
  const server = await serve(t, app => { cases.define(app) })
  t.same(sharedAmong(await cases.judge(server)), [])
})

t.test('an error that carries a cookie or a restriction is its own client\'s, a plain one is everybody\'s', async t => {
  const failing = (prepare: Deed): Deed => (reply, request) => {
    prepare(reply, request)
    throw new Error(`${Math.random()}`)
  }
  const cases = new Cases({
    cookie: failing(saying('set-cookie', 'sid=1')),
    private: failing(saying('cache-control', 'private')),
    'by hand': reply => { reply.code(503).header('cache-control', 'no-store') },
    'of any Vary': failing(saying('vary', '*')),
    plain: failing(() => {})
  })
  const server = await serve(t, app => { cases.define(app) })
  t.same(sharedAmong(await cases.judge(server)), ['plain'])
})

t.test('what the first client\'s hooks set is not given to the others', async t => {
  const handler = held((_request, reply) => {
    reply.header('x-handler', 'yes')
    return 'hello'
  })
  let count = 0
  const server = await serve(t, app => {
    app.addHook('onRequest', async (_request, reply) => { reply.header('x-own', String(++count)) })
    app.get('/', { config: { coalesce: true } }, handler)
  })
  const answers = await meet(server, handler, times(4, server, '/'))
  t.equal(handler.runs, 1)
  t.same(new Set(answers.map(({ headers }) => headers['x-own'])), new Set(['1', '2', '3', '4']))
  t.same(new Set(answers.map(({ headers }) => headers['x-handler'])), new Set(['yes']))
})

t.test('a buffer that its handler writes to again is not what the others get', async t => {
  const bytes = Buffer.from('secret of 1')
  const handler = held(() => bytes)
  const server = await serve(t, app => {
    app.addHook('onSend', async (_request, _reply, payload) => {
      bytes.fill('x')
      return payload
    })
    app.get('/', { config: { coalesce: true } }, handler)
  })
  const [first, ...others] = await meet(server, handler, times(4, server, '/'))
  t.equal(first?.body, 'xxxxxxxxxxx')
  t.same(new Set(others.map(({ body }) => body)), new Set(['secret of 1']))
})
