/**
 * @fastify/caching: registered by the app, before or after this plugin, or by its `cacheControl` option.
 */
import caching, { type FastifyCachingPluginOptions } from '@fastify/caching'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import coalesce, { abstractCacheStore } from '../../lib/index.js'
import type { CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'
import { errorOf, held, meet, times, type HeldHandler } from '../fixtures/crowd.js'
import { TestClock, until } from '../fixtures/gate.js'
import { listen, type TestServer } from '../fixtures/server.js'

/** Who registers @fastify/caching, and when. */
const WAYS = ['app before', 'app after', 'option', 'option and app before', 'option and app after'] as const
type Way = typeof WAYS[number]

const OPTION = { privacy: 'public', expiresIn: '1m', serverExpiresIn: '2m' } as const
const PLUGIN: FastifyCachingPluginOptions = { privacy: 'public', expiresIn: 60, serverExpiresIn: 120 }
/** What it says where the app has its own is not to be seen. */
const IGNORED = { privacy: 'public', expiresIn: '7s' } as const
const SAID = 'public, max-age=60, s-maxage=120'

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

interface Cached extends TestServer {
  readonly clock: TestClock
  runs (): number
}

/** An app with a coalesced route, one in a context of its own, and one that is not coalesced. */
async function start (
  t: Test,
  way: Way,
  handler: Handler,
  { route = {}, option = OPTION, plugin = PLUGIN, ...options }:
  { route?: CoalesceRouteOptions, option?: CoalesceOptions['cacheControl'], plugin?: FastifyCachingPluginOptions } & CoalesceOptions = {}
): Promise<Cached> {
  const clock = new TestClock()
  const app = Fastify() as unknown as FastifyInstance
  let runs = 0
  const counted: Handler = async (request, reply) => {
    runs++
    return await handler(request, reply)
  }
  if (way.endsWith('app before')) await app.register(caching, plugin)
  await app.register(coalesce, { clock, ...options, ...way.startsWith('option') ? { cacheControl: way === 'option' ? option : IGNORED } : {} })
  if (way.endsWith('app after')) await app.register(caching, plugin)
  await app.register(async child => {
    child.get('/thing', { config: { coalesce: route } }, counted)
    child.get('/other', { config: { coalesce: route } }, counted)
    child.get('/plain', counted)
  })
  return Object.assign(await listen(t, app), { clock, runs: () => runs })
}

/** How often a header stands in an answer, as it was sent. */
async function sent (server: TestServer, path: string, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`)
  return [...response.headers].filter(([each]) => each === name).length
}

for (const way of WAYS) {
  t.test(`${way}: leaders, followers and hits carry its Cache-Control, Expires and ETag`, async t => {
    const date = new Date(Date.now() + 60_000)
    const handler: HeldHandler = held((_request, reply) => {
      reply.expires(date).etag('"one"')
      return 'a thing'
    })
    const server = await start(t, way, handler, { route: { ttl: '10s' } })
    const together = await meet(server, handler, times(3, server, '/thing'))
    server.clock.advance(3_000)
    const hit = await server.get('/thing')

    t.equal(server.runs(), 1)
    for (const { status, headers, body } of [...together, hit]) {
      t.match({ status, headers, body }, { status: 200, body: 'a thing', headers: { 'cache-control': SAID, expires: date.toUTCString(), etag: '"one"' } })
    }
    t.same(together.map(({ headers }) => headers.age), [undefined, undefined, undefined])
    t.equal(hit.headers.age, '3')
    t.equal(await sent(server, '/thing', 'cache-control'), 1)
    t.equal((await server.get('/plain')).headers['cache-control'], SAID)
  })

  t.test(`${way}: what the handler says itself stands`, async t => {
    const server = await start(t, way, (_request, reply) => reply.header('cache-control', 'max-age=5').send('a thing'), { route: { ttl: '10s' } })
    for (const path of ['/thing', '/thing', '/plain']) t.equal((await server.get(path)).headers['cache-control'], 'max-age=5')
    t.equal(server.runs(), 2)
  })

  t.test(`${way}: with ttl 'headers' a response is kept for as long as it says`, async t => {
    const server = await start(t, way, () => 'a thing', { route: { ttl: 'headers' } })
    await server.get('/thing')
    server.clock.advance(119_000)
    const hit = await server.get('/thing')
    t.match(hit.headers, { age: '119', 'cache-control': SAID })
    t.equal(server.runs(), 1)
    server.clock.advance(1_001)
    await server.get('/thing')
    t.equal(server.runs(), 2)
  })

  t.test(`${way}: with privacy 'private' nothing is shared, and nothing kept`, async t => {
    const handler = held()
    const settings = { route: { ttl: '10s' }, option: { privacy: 'private', expiresIn: '1m' }, plugin: { privacy: 'private', expiresIn: 60 } } as const
    const server = await start(t, way, handler, settings)
    const answers = await meet(server, handler, times(3, server, '/thing'))
    await server.get('/thing')

    t.equal(server.runs(), 4)
    for (const { headers } of answers) t.equal(headers['cache-control'], 'private, max-age=60')
    t.same(server.app.coalesce.entries(), [])
  })

  t.test(`${way}: with privacy 'private' no failure is shared either`, async t => {
    const handler = held((_request, reply) => reply.code(404).send('no such thing'))
    const server = await start(t, way, handler, { option: { privacy: 'private' }, plugin: { privacy: 'private' } })
    const answers = await meet(server, handler, times(3, server, '/thing'))

    t.equal(server.runs(), 3)
    for (const { headers } of answers) t.equal(headers['cache-control'], 'no-store')
  })

  t.test(`${way}: with privacy 'no-cache' who waits shares, and nothing is kept`, async t => {
    const handler = held()
    const settings = { route: { ttl: '10s' }, option: { privacy: 'no-cache' }, plugin: { privacy: 'no-cache' } } as const
    const server = await start(t, way, handler, settings)
    const answers = await meet(server, handler, times(3, server, '/thing'))
    t.equal(server.runs(), 1)
    for (const { headers } of answers) t.equal(headers['cache-control'], 'no-cache')
    await server.get('/thing')
    t.equal(server.runs(), 2)
  })

  t.test(`${way}: If-None-Match with the tag of a kept response is answered 304`, async t => {
    const server = await start(t, way, (_request, reply) => reply.etag('"one"').send('a thing'), { route: { ttl: '10s' } })
    await server.get('/thing')
    const same = await server.get('/thing', { headers: { 'if-none-match': '"one"' } })
    t.match(same, { status: 304, body: '', headers: way === 'option' ? { etag: '"one"', 'cache-control': SAID } : {} })
    const another = await server.get('/thing', { headers: { 'if-none-match': '"two"' } })
    t.match(another, { status: 200, body: 'a thing' })
    t.equal(server.runs(), 1)
  })
}

t.test('what is no success is not to be stored, and yet those who wait for it share it', async t => {
  const handler = held((_request, reply) => reply.code(503).send('down'))
  const server = await start(t, 'option', handler)
  const answers = await meet(server, handler, times(3, server, '/thing'))

  t.equal(server.runs(), 1)
  for (const { status, headers } of answers) t.match({ status, headers }, { status: 503, headers: { 'cache-control': 'no-store' } })
  t.equal((await server.get('/plain')).headers['cache-control'], 'no-store')
})

t.test('an error that has a ttl of its own is kept here, and nowhere else', async t => {
  const server = await start(t, 'option', (_request, reply) => reply.code(404).send('no such thing'), { route: { ttl: '10s', negativeTtl: { 404: '5s' } } })
  const answers = [await server.get('/thing'), await server.get('/thing')]

  t.equal(server.runs(), 1)
  for (const { status, headers } of answers) t.match({ status, headers }, { status: 404, headers: { 'cache-control': 'no-store' } })
})

t.test('a part that cannot be given is no success', async t => {
  const server = await start(t, 'option', () => 'a thing', { route: { ttl: '10s' } })
  await server.get('/thing')
  t.match(await server.get('/thing', { headers: { range: 'bytes=0-0' } }), { status: 206, headers: { 'cache-control': SAID } })
  t.match(await server.get('/thing', { headers: { range: 'bytes=100-' } }), { status: 416, headers: { 'cache-control': 'no-store' } })
})

t.test('what is served in the place of an error is a success', async t => {
  let broken = false
  const server = await start(t, 'option', () => {
    if (broken) throw new Error('down')
    return 'a thing'
  }, { route: { ttl: '10s', staleIfError: '1m' }, option: { privacy: 'public', expiresIn: '1m' } })
  await server.get('/thing')
  broken = true
  server.clock.advance(11_000)
  t.match(await server.get('/thing'), { status: 200, body: 'a thing', headers: { age: '11', 'cache-control': 'public, max-age=60' } })
})

t.test('a 304 says what a 200 would have said', async t => {
  const server = await start(t, 'option', (_request, reply) => reply.etag('"one"').send('a thing'), { route: { ttl: '10s' } })
  for (const path of ['/thing', '/thing', '/plain']) {
    const { status, body, headers } = await server.get(path, { headers: { 'if-none-match': 'W/"one"' } })
    t.match({ status, body, headers }, { status: 304, body: '', headers: { 'cache-control': SAID, etag: '"one"' } }, path)
    t.equal(headers['content-type'], undefined)
  }
  t.equal(server.runs(), 2)
  t.match(await server.get('/thing'), { status: 200, body: 'a thing' }, 'who asked first was given 304, and the whole is kept')
  t.equal(server.runs(), 2)
})

t.test('a tag of one URL is not answered for another, nor once what it names has changed', async t => {
  let tag = '"one"'
  const server = await start(t, 'option', ({ url }, reply) => reply.etag(url === '/thing' ? tag : '"other"').send('a thing'), { route: { ttl: '10s' } })
  const headers = { 'if-none-match': '"one"' }
  await server.get('/thing')
  t.equal((await server.get('/other', { headers })).status, 200)
  tag = '"two"'
  server.app.coalesce.invalidate({ url: '/thing' })
  t.match(await server.get('/thing', { headers }), { status: 200, headers: { etag: '"two"' } })
})

t.test('a stream is sent whole to who leads, whatever it has', async t => {
  const server = await start(t, 'option', (_request, reply) => reply.etag('"one"').send(new Response('a thing').body), { route: { ttl: '10s' } })
  const headers = { 'if-none-match': '"one"' }
  t.match(await server.get('/thing', { headers }), { status: 200, body: 'a thing' })
  t.match(await server.get('/thing', { headers }), { status: 304, body: '' })
})

t.test('the innermost cacheControl speaks, and false is silent', async t => {
  const app = Fastify() as unknown as FastifyInstance
  await app.register(coalesce, { cacheControl: OPTION })
  for (const [path, cacheControl] of [['/own', { privacy: 'public', expiresIn: '5s' }], ['/none', false], ['/same', undefined]] as const) {
    await app.register(async child => {
      await child.register(coalesce, { cacheControl })
      child.get(path, { config: { coalesce: true } }, (_request, reply) => reply.etag?.('"one"').send('a thing'))
    })
  }
  await app.register(async child => {
    await child.register(caching, { privacy: 'public', expiresIn: 7 })
    child.get('/caching', { config: { coalesce: true } }, (_request, reply) => reply.etag('"one"').send('a thing'))
  })
  const server = await listen(t, app)
  const said = async (path: string): Promise<unknown> => (await server.get(path)).headers['cache-control']

  t.equal(await said('/own'), 'public, max-age=5')
  t.equal(await said('/none'), undefined)
  t.equal(await said('/same'), SAID)
  t.equal(await said('/caching'), 'public, max-age=7')
})

t.test('in a context of its own, replies there have etag and expires', async t => {
  const app = Fastify() as unknown as FastifyInstance
  await app.register(async child => {
    await child.register(coalesce, { cacheControl: OPTION })
    await child.register(async inner => {
      await inner.register(coalesce, { cacheControl: OPTION })
      inner.get('/inner', (_request, reply) => reply.etag('"one"').send('a thing'))
    })
  })
  app.get('/outer', (_request, reply) => reply.send({ etag: typeof reply.etag }))
  const server = await listen(t, app)

  t.equal((await server.get('/inner')).headers.etag, '"one"')
  t.match(await server.get('/outer'), { body: '{"etag":"undefined"}', headers: { 'cache-control': undefined } })
})

t.test('what is decorated already is left alone', async t => {
  const app = Fastify() as unknown as FastifyInstance
  await app.register(coalesce, { cacheControl: OPTION })
  app.decorate('cache', 'the app\'s' as never)
  app.decorateReply('etag', function (this: FastifyReply) { return this.header('etag', '"own"') } as never)
  app.get('/', (_request, reply) => reply.etag('"one"').send(app.cache))
  const server = await listen(t, app)

  t.match(await server.get('/'), { body: 'the app\'s', headers: { etag: '"own"', 'cache-control': SAID } })
})

t.test('an app that has a cache keeps in it', async t => {
  const app = Fastify() as unknown as FastifyInstance
  const clock = new TestClock()
  let runs = 0
  await app.register(caching)
  await app.register(coalesce, { clock, store: abstractCacheStore(app.cache) })
  app.get('/thing', { config: { coalesce: { ttl: '10s', tags: ['things'] } } }, async (_request, reply) => reply.type('text/plain').send(`run ${++runs}`))
  const server = await listen(t, app)
  const held = (): number => (app.cache as unknown as { _cache: Map<string, unknown> })._cache.size

  t.equal((await server.get('/thing')).body, 'run 1')
  await until(() => held() === 1)
  clock.advance(4_000)
  t.match(await server.get('/thing'), { body: 'run 1', headers: { 'content-type': 'text/plain', age: '4' } })
  app.coalesce.invalidate({ tags: ['things'] })
  t.equal((await server.get('/thing')).body, 'run 2')
  t.match(await errorOf(() => app.coalesce.entries()), { code: 'FST_COALESCE_NOT_LISTABLE' })
})

t.test('a cacheControl that would not be said is refused', async t => {
  for (const [cacheControl, message] of [
    [true, /cacheControl .*true/],
    [{}, /cacheControl\.privacy .*'public' or 'private' or 'no-cache'.*undefined/],
    [{ privacy: 'PUBLIC' }, /privacy .*"PUBLIC"/],
    [{ privacy: 'public', expiresIn: 60 }, /expiresIn .*whole seconds.*60/],
    [{ privacy: 'public', expiresIn: '1500ms' }, /expiresIn .*whole seconds/],
    [{ privacy: 'public', expiresIn: 0 }, /expiresIn .*from 1 s/],
    [{ privacy: 'public', expiresIn: [1000] }, /expiresIn/],
    [{ privacy: 'public', expiresIn: '100 years' }, /expiresIn/],
    [{ privacy: 'no-cache', expiresIn: '1m' }, /expiresIn .*without privacy: 'no-cache'/],
    [{ privacy: 'private', serverExpiresIn: '1m' }, /serverExpiresIn .*with privacy: 'public' only/],
    [{ privacy: 'public', maxAge: '1m' }, /maxAge/]
  ] as const) {
    const error = await errorOf(async () => await Fastify().register(coalesce, { cacheControl } as never))
    t.match(error, { code: 'FST_COALESCE_INVALID_OPTION', message })
  }
  await Fastify().register(coalesce, { cacheControl: { privacy: 'public', expiresIn: '365d', serverExpiresIn: 1000 } }).ready()
})
