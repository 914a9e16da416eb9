import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import cookie from '@fastify/cookie'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import coalesce, { ANALYTICS_COOKIES } from '../../lib/index.js'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { distinct, held, meet } from '../fixtures/crowd.js'
import { outcomes } from '../fixtures/endings.js'
import { KeptConnection } from '../fixtures/kept-connection.js'
import { TestClock, until } from '../fixtures/gate.js'
import { lines } from '../fixtures/lines.js'
import { listen, serve, type Answer, type TestServer } from '../fixtures/server.js'

/** All that a handler can see of cookies. */
const seen = (request: FastifyRequest): unknown => ({
  header: request.headers.cookie ?? null,
  raw: request.raw.headers.cookie ?? null,
  lines: request.raw.rawHeaders.filter((_text, index, all) => String(all[index - index % 2]).toLowerCase() === 'cookie'),
  distinct: (request.raw as { headersDistinct?: Record<string, unknown> }).headersDistinct?.cookie ?? null,
  parsed: request.cookies ?? null
})

const NOTHING = { header: null, raw: null, lines: [], distinct: null, parsed: {} }

interface Met {
  readonly answers: Answer[]
  readonly runs: number
  readonly outcomes: Record<string, number>
  readonly server: TestServer
}

/** What clients with these cookies get who ask for the same at once, from a handler that shows all that it sees. */
async function together (
  test: Test, options: CoalesceRouteOptions, cookies: readonly string[], prepare: (app: FastifyInstance) => unknown = () => {}
): Promise<Met> {
  const handler = held(seen)
  const server = await serve(test, async app => {
    await prepare(app)
    // It looks at all headers.
    app.get('/', { config: { coalesce: { learnVary: false, ...options } } }, handler)
  })
  const answers = await meet(server, handler, cookies.map(each => () => server.get('/', { headers: { cookie: each } })))
  return { answers, runs: handler.runs, outcomes: await outcomes(server.app), server }
}

const bodies = ({ answers }: Met): unknown[] => answers.map(({ body }) => JSON.parse(body) as unknown)

t.test('clients whose cookies are ignored share a run, and neither its handler nor any hook sees one of them', async t => {
  for (const order of ['cookie parser first', 'cookie parser last']) {
    const handler = held(seen)
    const looks: unknown[] = []
    const look = async (request: FastifyRequest): Promise<void> => { looks.push(seen(request)) }
    const app = Fastify() as unknown as FastifyInstance
    app.addHook('onRequest', async request => { looks.push({ ...seen(request) as object, parsed: request.cookies ?? {} }) })
    if (order === 'cookie parser first') await app.register(cookie)
    await app.register(coalesce, { metrics: true })
    if (order === 'cookie parser last') await app.register(cookie)
    await app.register(async inner => {
      for (const name of ['onRequest', 'preHandler', 'onSend', 'onResponse'] as const) inner.addHook(name, look)
      inner.get('/', { onRequest: look, config: { coalesce: { cookies: { ignore: ['_ga*', 'uid'] }, learnVary: false } } }, handler)
    })
    const server = await listen(t, app)
    const cookies = ['_ga=ann; uid=1', 'uid=2;_ga=bob', '_ga_X=carl']
    const answers = await meet(server, handler, cookies.map(each => () => server.get('/', { headers: { cookie: each } })))
    t.strictSame(answers.map(({ body }) => JSON.parse(body) as unknown), [NOTHING, NOTHING, NOTHING], order)
    t.equal(handler.runs, 1)
    t.strictSame(distinct(looks), [NOTHING])
    t.same(await outcomes(app), { 'leader shared': 1, 'follower shared': 2 })
  }
})

t.test('what is left of a Cookie header is what was sent, in its order, in every place where a request has it', async t => {
  const sent = ['_ga=1; b="x; y" ;_ga=2;a=%20; b=2', ' a = 1;; _gax=2 ;_ga=']
  const met = await together(t, { cookies: { ignore: ['_ga'] } }, sent, async app => await app.register(cookie))
  const left = ['b="x; y"; a=%20; b=2', 'a = 1; _gax=2']
  t.match(bodies(met), left.map(header => ({ header, raw: header, lines: ['cookie', header], distinct: [header] })))
  t.strictSame(bodies(met).map(body => (body as { parsed: unknown }).parsed), [{ b: '"x', a: ' ' }, { a: '1', _gax: '2' }])
  t.same(met.outcomes, { 'bypass credentials': 2 }, 'other cookies are credentials as ever')
})

t.test('a Cookie header that has no ignored cookie stays as it is, to the letter', async t => {
  const sent = [' a=1 ;;b', 'a', '']
  const met = await together(t, { cookies: { ignore: ['_ga'] } }, sent)
  t.strictSame(bodies(met).map(body => (body as { header: unknown }).header), ['a=1 ;;b', 'a', ''])
})

t.test('several Cookie headers are read as one', async t => {
  const server = await serve(t, async app => {
    await app.register(cookie)
    app.get('/', { config: { coalesce: { cookies: { ignore: ['_ga'] }, learnVary: false } } }, async request => seen(request))
  })
  const ask = async (...cookies: string[]): Promise<unknown> => {
    const connection = new KeptConnection(server.port)
    // A fixture that sends what it is given.
    const answer = await connection.request('GET', '/', { 'x-first': ['1', ...cookies.map(each => `Cookie: ${each}`)].join('\r\n') })
    connection.close()
    return JSON.parse(/\{.*\}/s.exec(answer)?.[0] as string)
  }
  t.match(await ask('_ga=1', 'a=1; _ga=2', 'b=2'),
    { header: 'a=1; b=2', raw: 'a=1; b=2', lines: ['Cookie', 'a=1', 'Cookie', 'b=2'], distinct: ['a=1', 'b=2'], parsed: { a: '1', b: '2' } })
  t.strictSame(await ask('_ga=1', '_ga=2; _ga=3'), NOTHING)
})

t.test('a star alone takes all cookies, but those of the key', async t => {
  const met = await together(t, { cookies: { ignore: ['*'], key: ['theme'] } },
    ['sid=1; theme=dark', 'theme=dark; sid=2', 'theme=light; x', 'sid=3', '=1; y'])
  t.strictSame(bodies(met).map(body => (body as { header: unknown }).header), ['theme=dark', 'theme=dark', 'theme=light', null, null])
  t.equal(met.runs, 3)
  t.same(met.outcomes, { 'leader shared': 3, 'follower shared': 2 })
})

t.test('names are compared as they are, and a client may send one as it likes', async t => {
  const met = await together(t, { cookies: { ignore: ['_ga', 'uid*'] } }, ['_GA=1', '_gat=1', 'Uid=1', '_ga', '"_ga"=1', '_ga =1;uid\t=\t2', '\xa0_ga=1'])
  t.strictSame(bodies(met).map(body => (body as { header: unknown }).header), ['_GA=1', '_gat=1', 'Uid=1', '_ga', '"_ga"=1', null, null])
  t.same(met.outcomes, { 'bypass credentials': 5, 'leader shared': 1, 'follower shared': 1 })
})

t.test('only routes that say so have their cookies taken', async t => {
  const server = await serve(t, app => {
    app.get('/ignores', { config: { coalesce: { cookies: { ignore: ['_ga'] } } } }, async request => request.headers.cookie ?? 'none')
    app.get('/coalesces', { config: { coalesce: true } }, async request => request.headers.cookie ?? 'none')
    app.get('/plain', async request => request.headers.cookie ?? 'none')
  })
  const asked = ['/ignores', '/coalesces', '/plain', '/ignores', '/coalesces', '/plain']
  const answers = await Promise.all(asked.map(async path => (await server.get(path, { headers: { cookie: '_ga=1' } })).body))
  t.strictSame(answers, ['none', '_ga=1', '_ga=1', 'none', '_ga=1', '_ga=1'])
})

t.test('a registration may ignore cookies for all its routes', async t => {
  const handler = held(seen)
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) }, { cookies: { ignore: ANALYTICS_COOKIES }, learnVary: false })
  const cookies = ['_ga=GA1.1.1; _ga_ABC=GS1; _gcl_au=1', '_fbp=fb.1; _hjSessionUser_1=x; _pk_id.1.1f=2']
  const answers = await meet(server, handler, cookies.map(each => () => server.get('/', { headers: { cookie: each } })))
  t.strictSame([handler.runs, ...answers.map(({ body }) => (JSON.parse(body) as { header: unknown }).header)], [1, null, null])
})

t.test('requests of one identity share, whatever their ignored cookies', async t => {
  const handler = held(request => request.headers.cookie)
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { identity: request => String(request.headers.cookie), cookies: { ignore: ['_ga'] } } } }, handler)
  })
  const cookies = ['sid=ann; _ga=1', '_ga=2; sid=ann', 'sid=bob; _ga=1']
  const answers = await meet(server, handler, cookies.map(each => () => server.get('/', { headers: { cookie: each } })))
  t.strictSame([handler.runs, ...answers.map(({ body }) => body)], [2, 'sid=ann', 'sid=ann', 'sid=bob'])
})

t.test('over HTTP/2 as well, where clients may send each cookie in a field of its own', async t => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  await app.register(coalesce)
  await app.register(cookie)
  app.get('/', { config: { coalesce: { cookies: { ignore: ['_ga*'] }, learnVary: false } } }, async request => ({ ...seen(request) as object, outcome: request.coalesce?.outcome ?? null }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(async () => {
    session.destroy()
    await app.close()
  })
  const ask = async (cookie: string[]): Promise<unknown> => {
    let text = ''
    for await (const chunk of session.request({ ':path': '/', cookie })) text += String(chunk)
    return JSON.parse(text)
  }
  t.strictSame(await ask(['_ga=1', '_ga_X=2']), { ...NOTHING, outcome: 'leader' })
  t.strictSame(await ask(['_ga=1', 'a=1', 'b=2; _ga=3']),
    { header: 'a=1; b=2', raw: 'a=1; b=2', lines: ['cookie', 'a=1', 'cookie', 'b=2'], distinct: null, parsed: { a: '1', b: '2' }, outcome: 'bypass' })
})

t.test('a background refresh carries what the key has of cookies, and nothing that is ignored', async t => {
  const clock = new TestClock()
  const headers: unknown[] = []
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { ttl: '1s', staleWhileRevalidate: '1m', cookies: { ignore: ['_ga'], key: ['theme'] } } } }, async request => {
      headers.push(request.headers.cookie)
      return 'ok'
    })
  }, { clock })
  await server.get('/', { headers: { cookie: '_ga=1; theme=dark' } })
  clock.advance(2000)
  await server.get('/', { headers: { cookie: 'theme=dark; _ga=2' } })
  await until(() => headers.length === 2, 'the refresh')
  t.strictSame(headers, ['theme=dark', 'theme=dark'])
})

t.test('where a hook of others comes first, the cookies stay, count as all others do, and a warning says so', async t => {
  const log = lines()
  const handler = held(request => request.headers.cookie)
  const app = Fastify({ logger: log.logger }) as unknown as FastifyInstance
  await app.register(coalesce, { metrics: true })
  app.get('/', { config: { coalesce: { cookies: { ignore: ['_ga'] } } } }, handler)
  const symbol = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.hooks') as symbol
  const { onRequest } = (app as unknown as Record<symbol, { onRequest: unknown[] }>)[symbol] as { onRequest: unknown[] }
  onRequest.unshift((_request: unknown, _reply: unknown, done: () => void) => { done() })
  const server = await listen(t, app)
  t.match(log.event('cookies-not-ignored'), [{ level: 40, coalesce: { route: 'GET /' } }, { coalesce: { route: 'HEAD /' } }])
  const answers = await meet(server, handler, ['_ga=1', '_ga=2'].map(each => () => server.get('/', { headers: { cookie: each } })))
  t.strictSame(answers.map(({ body }) => body), ['_ga=1', '_ga=2'])
  t.same(await outcomes(app), { 'bypass credentials': 2 })
})

t.test('lists of headers that somebody had made before the first hook are made anew', async t => {
  const app = Fastify({ rewriteUrl: request => request.url === undefined || request.headersDistinct === undefined ? '/' : request.url }) as unknown as FastifyInstance
  await app.register(coalesce)
  app.get('/', { config: { coalesce: { cookies: { ignore: ['_ga'] }, learnVary: false } } }, async request => seen(request))
  const server = await listen(t, app)
  t.strictSame(JSON.parse((await server.get('/', { headers: { cookie: '_ga=1' } })).body), { ...NOTHING, parsed: null })
})

t.test('injected requests have their cookies taken as well, and what is no text is left alone', async t => {
  const app = Fastify() as unknown as FastifyInstance
  await app.register(coalesce)
  await app.register(cookie, { hook: false })
  app.get('/', { config: { coalesce: { cookies: { ignore: ['_ga'] }, learnVary: false } } }, async request => ({ ...seen(request) as object, outcome: request.coalesce?.outcome }))
  t.teardown(async () => { await app.close() })
  t.match((await app.inject({ url: '/', cookies: { _ga: '1' } })).json(), { header: null, lines: [], outcome: 'leader' })
  const own = Fastify({
    rewriteUrl: request => {
      Object.assign(request.headers, { cookie: ['_ga=1'] })
      return '/'
    }
  }) as unknown as FastifyInstance
  await own.register(coalesce)
  own.get('/', { config: { coalesce: { cookies: { ignore: ['_ga'] }, learnVary: false } } }, async request => ({ outcome: request.coalesce?.outcome, cookie: request.headers.cookie }))
  t.teardown(async () => { await own.close() })
  t.strictSame((await own.inject('/')).json(), { outcome: 'bypass', cookie: ['_ga=1'] })
})
