import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { inventory } from '../../lib/fastify/cache/inventory.js'
import type { CoalesceOptions, CoalesceRouteOptions, Entry } from '../../types/index.js'
import { TestClock, until } from '../fixtures/gate.js'
import { serve, type TestServer } from '../fixtures/server.js'

interface Kept extends TestServer {
  readonly clock: TestClock
  /** How often the handler ran. */
  runs (): number
}

/** A route that keeps its responses. */
async function keep (
  t: Test,
  route: CoalesceRouteOptions,
  handler: (run: number, request: FastifyRequest, reply: FastifyReply) => unknown = run => ({ run }),
  options: CoalesceOptions = {},
  before: (app: FastifyInstance) => unknown = () => {}
): Promise<Kept> {
  const clock = new TestClock()
  let runs = 0
  const server = await serve(t, async app => {
    await before(app)
    app.get('/thing/:id', { config: { coalesce: route } }, async (request, reply) => await handler(++runs, request, reply))
    app.post('/thing/:id', async () => ({ written: true }))
  }, { clock, ...options })
  return Object.assign(server, { clock, runs: () => runs })
}

t.test('a response is kept for its ttl, and served without a run', async t => {
  const server = await keep(t, { ttl: '60s' })
  const first = await server.get('/thing/1')
  server.clock.advance(59_000)
  const second = await server.get('/thing/1')

  t.equal(server.runs(), 1)
  t.equal(second.status, 200)
  t.equal(second.body, first.body)
  t.equal(second.headers['content-type'], first.headers['content-type'])
  t.equal(first.headers.age, undefined)
  t.equal(second.headers.age, '59')
  server.clock.advance(1_001)
  t.same(JSON.parse((await server.get('/thing/1')).body), { run: 2 })
  t.match(server.app.coalesce.stats(), { totalRequests: 3, cacheHits: 1, actualExecutions: 2, deduplicatedRequests: 0 })
})

t.test('a hit says when it was made: when its Date says, in whatever form, or else when it came', async t => {
  const hour = 3_600_000
  const said = new Date(Math.floor(Date.now() / 1000) * 1000 + hour - 5000).toUTCString()
  for (const [date, made] of [
    [said, said],
    [said.replace(/^(...), (..) (...) (....) (.*) GMT$/, '$1 $3 $2 $5 $4'), said],
    ['yesterday', undefined],
    [undefined, undefined]
  ] as const) {
    const server = await keep(t, { ttl: '60s' }, (run, _request, reply) => {
      reply.header('age', '7')
      if (date !== undefined) reply.header('date', date)
      return { run }
    })
    // So that it is not what Node would say.
    server.clock.advance(hour)
    const before = Date.now()
    await server.get('/thing/1')
    const after = Date.now()
    server.clock.advance(30_000)
    const { headers } = await server.get('/thing/1')
    const told = Date.parse(headers.date as string)
    if (made !== undefined) t.equal(headers.date, made)
    else t.ok(told > before + hour - 2000 && told < after + hour + 2000, `${headers.date}`)
    t.ok(Number(headers.age) >= 37, `${headers.age}`)
  }
})

t.test('another key has its own response', async t => {
  const server = await keep(t, { ttl: '60s' })
  await server.get('/thing/1')
  t.same(JSON.parse((await server.get('/thing/2')).body), { run: 2 })
  t.same(JSON.parse((await server.get('/thing/1?a=1')).body), { run: 3 })
  t.same(JSON.parse((await server.get('/thing/1')).body), { run: 1 })
})

t.test('a hit answers HEAD, conditions and ranges by itself', async t => {
  const server = await keep(t, { ttl: '60s' }, (_run, _request, reply) => reply.header('etag', '"a"').type('text/plain').send('0123456789'))
  await server.get('/thing/1')

  const head = await server.get('/thing/1', { method: 'HEAD' })
  t.match(head, { status: 200, body: '', headers: { 'content-length': '10', etag: '"a"', age: '0' } })
  const same = await server.get('/thing/1', { headers: { 'if-none-match': '"a"' } })
  t.match(same, { status: 304, body: '', headers: { etag: '"a"' } })
  const part = await server.get('/thing/1', { headers: { range: 'bytes=2-4' } })
  t.match(part, { status: 206, body: '234', headers: { 'content-range': 'bytes 2-4/10' } })
  t.equal(server.runs(), 1)
})

t.test('what a response says of itself outweighs the ttl', async t => {
  for (const [name, value] of [
    ['cache-control', 'private'], ['cache-control', 'no-store'], ['cache-control', 'NO-CACHE'], ['cache-control', 'max-age=0'],
    ['cache-control', 's-maxage=0, max-age=10'], ['set-cookie', 'a=b'], ['vary', '*']
  ] as const) {
    const server = await keep(t, { ttl: '60s' }, (run, _request, reply) => {
      reply.header(name, value)
      return { run }
    })
    await server.get('/thing/1')
    await server.get('/thing/1')
    t.equal(server.runs(), 2, `${name}: ${value}`)
  }
})

t.test('errors are kept only if their status has a ttl of its own', async t => {
  const failing = (run: number, request: FastifyRequest, reply: FastifyReply): unknown => {
    reply.code(Number((request.params as { id: string }).id))
    return { run }
  }
  const server = await keep(t, { ttl: '60s', negativeTtl: { 404: '10s' } }, failing)
  for (const status of ['404', '410', '500']) {
    await server.get(`/thing/${status}`)
    await server.get(`/thing/${status}`)
  }
  t.equal(server.runs(), 1 + 2 + 2)
  server.clock.advance(10_001)
  await server.get('/thing/404')
  t.equal(server.runs(), 6)
})

t.test('while a stale response may be served nobody waits, and one request refreshes it', async t => {
  const server = await keep(t, { ttl: '10s', staleWhileRevalidate: '20s' })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  const answers = await Promise.all(Array.from({ length: 20 }, async () => await server.get('/thing/1')))

  t.ok(answers.some(({ body }) => body === '{"run":1}'))
  await until(() => server.runs() === 2)
  await until(() => server.app.coalesce.entries()[0]?.age === 0)
  t.same(JSON.parse((await server.get('/thing/1')).body), { run: 2 })
  t.equal(server.runs(), 2)
})

t.test('a response is served in the place of an error while it may be', async t => {
  let broken = false
  const server = await keep(t, { ttl: '10s', staleIfError: '1m' }, run => {
    if (broken) throw new Error('down')
    return { run }
  })
  await server.get('/thing/1')
  broken = true
  server.clock.advance(11_000)
  const during = await server.get('/thing/1')

  t.match(during, { status: 200, body: '{"run":1}', headers: { age: '11' } })
  t.equal(server.runs(), 2)
  await server.get('/thing/1')
  t.equal(server.runs(), 2, 'for a while the handler is left alone')
  server.clock.advance(1_001)
  await server.get('/thing/1')
  t.equal(server.runs(), 3)
  server.clock.advance(60_000)
  t.equal((await server.get('/thing/1')).status, 500)
})

t.test('a purge by tag, route, url or key ends what is kept', async t => {
  const server = await keep(t, { ttl: '60s', tags: ['things'] }, (run, request, reply) => {
    reply.coalesce.tag(`thing:${(request.params as { id: string }).id}`)
    return { run }
  })
  const { coalesce } = server.app
  await server.get('/thing/1')
  await server.get('/thing/2')
  const key = coalesce.entries().find(({ path }) => path === '/thing/1')?.key as string
  let runs = 2
  for (const purge of [{ tags: ['thing:1'] }, { tags: ['things'] }, { route: '/thing/:id' }, { url: '/thing/1?x=1' }, { key }]) {
    coalesce.invalidate(purge)
    await server.get('/thing/1')
    t.equal(server.runs(), ++runs, JSON.stringify(purge))
    await server.get('/thing/1')
    t.equal(server.runs(), runs)
  }
  coalesce.invalidate({ tags: ['thing:2'] })
  await server.get('/thing/1')
  t.equal(server.runs(), runs)
})

t.test('a successful write purges what is kept for its path', async t => {
  const server = await keep(t, { ttl: '60s' })
  await server.get('/thing/1')
  await server.get('/thing/1?page=2')
  await server.get('/thing/2')
  await server.get('/thing/1', { method: 'POST' })
  await server.get('/thing/1')
  await server.get('/thing/1?page=2')
  await server.get('/thing/2')
  t.equal(server.runs(), 5)
})

t.test('a run for HEAD tells whether what is kept for GET is still what it would be', async t => {
  let state = 'a'
  const server = await keep(t, { ttl: '10s' }, (_run, _request, reply) => reply.header('etag', `"${state}"`).send('body'))
  await server.get('/thing/1')
  server.clock.advance(10_001)
  t.match(await server.get('/thing/1', { method: 'HEAD' }), { status: 200, headers: { etag: '"a"' } })
  t.equal(server.runs(), 2)
  t.match(await server.get('/thing/1'), { body: 'body', headers: { age: '0' } }, 'it is fresh again')
  t.equal(server.runs(), 2)

  server.clock.advance(10_001)
  state = 'b'
  await server.get('/thing/1', { method: 'HEAD' })
  t.match(await server.get('/thing/1'), { headers: { etag: '"b"' } })
  t.equal(server.runs(), 4)
})

t.test('a ttl function is asked for each response, and what is wrong with it keeps nothing', async t => {
  let answer: unknown = '10s'
  const server = await keep(t, {
    ttl: ({ status, headers, body, bytes }, request) => {
      if (answer === 'throw') throw new Error('ttl')
      t.match({ status, headers, body, bytes }, { status: 200, headers: { 'content-type': /json/ }, body: /run/, bytes: Number })
      t.type(request.id, 'string')
      return answer as string
    }
  })
  await server.get('/thing/1')
  await server.get('/thing/1')
  t.equal(server.runs(), 1)
  let runs = 1
  for (answer of [0, null, undefined, 'soon', -1, 'throw', 'headers']) {
    server.clock.advance(10_001)
    t.equal((await server.get('/thing/1')).status, 200)
    t.equal((await server.get('/thing/1')).status, 200)
    t.equal(server.runs(), runs += 2, String(answer))
  }
})

t.test('a jitter shortens the time at random, and never by more', async t => {
  const server = await keep(t, { ttl: 1000, ttlJitter: 0.5 })
  for (let id = 0; id < 100; id++) await server.get(`/thing/${id}`)
  const left = server.app.coalesce.entries().map(({ fresh }) => fresh)

  t.equal(left.length, 100)
  t.ok(Math.min(...left) >= 500)
  t.ok(Math.max(...left) <= 1000)
  t.ok(Math.max(...left) - Math.min(...left) > 250)
})

t.test('what is larger than maxEntryBytes is not kept', async t => {
  const server = await keep(t, { ttl: '10s', maxEntryBytes: 4 }, (_run, request, reply) => reply.send((request.params as { id: string }).id))
  await server.get('/thing/1234')
  await server.get('/thing/12345')
  t.strictSame(server.app.coalesce.entries().map(({ path }) => path), ['/thing/1234'])
  t.equal((await server.get('/thing/1234')).headers.age, '0', 'and what is as large is served')
})

t.test('a stream is kept once it is complete', async t => {
  const server = await keep(t, { ttl: '10s' }, (_run, request, reply) => {
    const cut = (request.params as { id: string }).id === 'cut'
    return reply.type('text/plain').send(Readable.from((async function * () {
      yield 'one '
      await new Promise(resolve => setImmediate(resolve))
      await new Promise(resolve => setImmediate(resolve))
      if (cut) throw new Error('cut')
      yield 'two'
    })()))
  })
  t.equal((await server.get('/thing/1')).body, 'one two')
  await until(() => server.app.coalesce.entries().length === 1)
  t.match(await server.get('/thing/1'), { body: 'one two', headers: { age: '0', 'content-length': '7' } })
  t.equal(server.runs(), 1)
  await t.rejects(server.get('/thing/cut'))
  await t.rejects(server.get('/thing/cut'))
  t.equal(server.runs(), 3)
  t.equal(server.app.coalesce.entries().length, 1)
})

t.test('entries tell what is kept, and give bodies only when asked', async t => {
  const server = await keep(t, { ttl: '60s', tags: ['things'], tagHeaders: ['cache-tag', 'surrogate-key'] }, (run, _request, reply) => {
    reply.header('cache-tag', 'one, two').header('surrogate-key', 'three four')
    return { run }
  })
  await server.get('/thing/1')
  server.clock.advance(1000)
  const { coalesce } = server.app
  t.match(coalesce.entries(), [{
    route: '/thing/:id', path: '/thing/1', tags: ['things', 'one', 'two', 'three', 'four'], status: 200, age: 1000, fresh: 59_000
  }])
  t.notOk('body' in (coalesce.entries()[0] as object))
  t.equal(coalesce.entries({ bodies: true })[0]?.body, '{"run":1}')
  coalesce.invalidate({ tags: ['three'], soft: true })
  t.equal(coalesce.entries()[0]?.fresh, 0)
  coalesce.invalidate({ tags: ['two'] })
  t.strictSame(coalesce.entries(), [])
})

t.test('a store that cannot list says so', async t => {
  const server = await keep(t, { ttl: '60s' }, undefined, { store: { get: () => undefined, set () {}, delete () {} } })
  t.throws(() => server.app.coalesce.entries(), { code: 'FST_COALESCE_NOT_LISTABLE' })
})

t.test('a response with more tags than can be looked at is not kept', async t => {
  const server = await keep(t, { ttl: '60s' }, (run, request, reply) => {
    const many = Number((request.params as { id: string }).id)
    reply.coalesce.tag(...Array.from({ length: many }, (_, index) => `tag ${index}`))
    return { run }
  })
  await server.get('/thing/256')
  await server.get('/thing/257')
  t.strictSame(server.app.coalesce.entries().map(({ path }) => path), ['/thing/256'])
})

t.test('what is listed holds no body that is kept, and of what another wrote only what that says', async t => {
  const body = Buffer.from('bytes')
  const variant = { names: [], values: [] }
  const value = { status: 200, headers: [], removed: [], body, age: 3000, date: 0, variant }
  const entry: Entry = {
    version: 1, key: 'k', since: 0, storedAt: 0, freshFor: 10_000, staleWhileRevalidate: 0, staleIfError: 0, labels: ['tag a'], bytes: 5, value
  }
  const none = { ...entry, value: { ...value, body: null } }
  const [bytes, nothing] = inventory([{ entry, outdated: false }, { entry: none, outdated: true }, { entry: { ...entry, value: 7 }, outdated: false }], true, 4000)
  t.match(bytes, { key: 'k', route: '', path: '', status: 200, age: 7000, fresh: 6000, body })
  t.not(bytes?.body, body, 'a copy of it')
  t.match(nothing, { body: null, fresh: 0 }, 'what was purged softly is stale')
  t.equal(inventory([{ entry, outdated: false }, { entry: none, outdated: true }], false, 4000).some(each => 'body' in each), false)
  t.equal(inventory([{ entry, outdated: true }], false, 14_000)[0]?.fresh, -4000)
})

t.test('what is as old as it may be when it comes is not kept', async t => {
  const server = await keep(t, { ttl: 'headers' }, (run, _request, reply) => reply.headers({ 'cache-control': 'max-age=10', age: run > 2 ? '9' : '10' }).send({ run }))
  for (const run of [1, 2, 3, 3]) t.equal((await server.get('/thing/1')).body, `{"run":${run}}`)
})

t.test('a reply of a route that is not coalesced may be given tags, which do nothing, and costs no object of its own', async t => {
  const views = new Set<unknown>()
  const server = await keep(t, { ttl: '60s' }, undefined, {}, app => {
    app.get('/plain', async (request, reply) => {
      reply.coalesce.tag('one', 'two')
      views.add(reply.coalesce)
      return { none: request.coalesce === undefined, frozen: Object.isFrozen(reply.coalesce) }
    })
  })
  const answers = [await server.get('/plain'), await server.get('/plain')]
  t.strictSame(answers.map(({ body }) => body), Array(2).fill('{"none":true,"frozen":true}'))
  t.equal(views.size, 1)
})

t.test('a stream that looks at all headers after its first bytes is not kept', async t => {
  for (const looks of [true, false]) {
    const server = await keep(t, { ttl: '60s' }, (run, request, reply) => {
      async function * chunks () {
        yield `run ${run}`
        await new Promise(resolve => setTimeout(resolve, 20))
        if (looks) Object.keys(request.headers)
        yield '.'
      }
      return reply.type('text/plain').send(Readable.from(chunks()))
    })
    t.equal((await server.get('/thing/1')).body, 'run 1.')
    t.equal((await server.get('/thing/1')).body, looks ? 'run 2.' : 'run 1.')
  }
})

t.test('what is cached of one key is served at once, whatever is remembered of another one that cannot be shared', async t => {
  const told: unknown[] = []
  const server = await serve(t, app => {
    app.addHook('onResponse', async ({ coalesce }) => { told.push(`${String(coalesce?.outcome)} ${String(coalesce?.reason)}`) })
    app.get('/:what', { config: { coalesce: { ttl: '1m' } } }, async (request, reply) => {
      if ((request.params as { what: string }).what === 'own') reply.header('set-cookie', 'a=b')
      return 'hello'
    })
  })
  for (const what of ['own', 'own', 'shared', 'shared', 'own']) await server.get(`/${what}`)
  await until(() => told.length === 5, 'all')
  t.strictSame(told, ['leader set-cookie', 'bypass unshareable', 'leader shared', 'hit fresh', 'bypass unshareable'])
})
