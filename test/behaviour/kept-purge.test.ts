/**
 * "A purge ends what is kept and what is in the air: that is not kept, and nobody who asks after the purge joins it."
 */
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce, { memoryStore } from '../../lib/index.js'
import type { CoalesceRouteOptions, Purge } from '../../types/index.js'
import { gate, until } from '../fixtures/gate.js'
import { keeping, type Keeping, type KeepingOptions } from '../fixtures/kept.js'
import { serve } from '../fixtures/server.js'

/** Its first run is held. */
async function held (t: Parameters<typeof keeping>[0], options: KeepingOptions = {}): Promise<Keeping & { open: () => void }> {
  const opening = gate()
  const server = await keeping(t, {
    ...options,
    route: { tags: ['things'], ...options.route },
    handler: async (run, _request, reply) => {
      reply.coalesce.tag('thing:1')
      if (run === 1) await opening.promise
      return { run }
    }
  })
  return Object.assign(server, { open: () => { opening.open() } })
}

const PURGES: Readonly<Record<string, Purge>> = {
  'a tag of the route': { tags: ['things'] },
  'a tag of the reply': { tags: ['other', 'thing:1'] },
  'the route': { route: '/thing/:id' },
  'the url': { url: '/thing/1' },
  'the url, softly': { url: '/thing/1', soft: true }
}

for (const [name, purge] of Object.entries(PURGES)) {
  t.test(`a flight in the air is not joined and not kept after a purge of ${name}`, async t => {
    const server = await held(t)
    const before = server.get('/thing/1')
    await until(() => server.runs() === 1)
    server.app.coalesce.invalidate(purge)
    t.equal((await server.get('/thing/1')).body, '{"run":2}')
    server.open()
    t.equal((await before).body, '{"run":1}')
    t.equal((await server.get('/thing/1')).body, '{"run":2}')
    t.equal(server.runs(), 2)
  })
}

t.test('so it is after a write: of its path, and of what its Location and Content-Location name', async t => {
  for (const header of [undefined, 'location', 'content-location'] as const) {
    const server = await held(t, {
      before: app => {
        app.post('/elsewhere', async (request, reply) => reply.header(String(header), request.headers['x-to']).code(201).send('made'))
      }
    })
    const before = server.get('/thing/1')
    await until(() => server.runs() === 1)
    if (header === undefined) await server.get('/thing/1', { method: 'POST' })
    else await server.get('/elsewhere', { method: 'POST', headers: { 'x-to': '/thing/1?x=1' } })
    t.equal((await server.get('/thing/1')).body, '{"run":2}', String(header))
    server.open()
    t.equal((await before).body, '{"run":1}')
    t.equal((await server.get('/thing/1')).body, '{"run":2}')
    if (header !== undefined) {
      await server.get('/elsewhere', { method: 'POST', headers: { 'x-to': 'http://other.example/thing/1' } })
      t.equal((await server.get('/thing/1')).body, '{"run":2}', 'another origin\'s word is not taken')
    }
    await server.close()
  }
})

t.test('a write that failed purges nothing', async t => {
  const server = await keeping(t, { before: app => { app.put('/thing/:id', async (_request, reply) => reply.code(409).send('no')) } })
  await server.get('/thing/1')
  await server.get('/thing/1', { method: 'PUT' })
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
})

t.test('with purgeOnWrite: false a write purges nothing', async t => {
  const server = await keeping(t, { options: { purgeOnWrite: false } })
  await server.get('/thing/1')
  await server.get('/thing/1', { method: 'POST' })
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
})

t.test('what is purged softly is stale: it is refreshed, or stands in for an error, or is gone', async t => {
  const cases: Array<[CoalesceRouteOptions, string, string]> = [
    [{ staleWhileRevalidate: '1m' }, '{"run":1}', '{"run":2}'],
    [{ staleIfError: '1m' }, '{"run":2}', '{"run":2}'],
    [{}, '{"run":2}', '{"run":2}']
  ]
  for (const [route, second, third] of cases) {
    const server = await keeping(t, { route })
    await server.get('/thing/1')
    server.app.coalesce.invalidate({ route: '/thing/:id', soft: true })
    t.equal((await server.get('/thing/1')).body, second)
    await until(() => server.runs() === 2)
    await until(() => (server.app.coalesce.entries()[0]?.fresh ?? 0) > 0)
    t.equal((await server.get('/thing/1')).body, third)
    await server.close()
  }
})

t.test('a key purges all of its variants', async t => {
  const server = await keeping(t, { handler: (run, request) => ({ run, tenant: request.headers['x-tenant'] ?? null }) })
  const get = async (tenant: string): Promise<number> =>
    (JSON.parse((await server.get('/thing/1', { headers: { 'x-tenant': tenant } })).body) as { run: number }).run
  await get('a')
  await get('b')
  const [key] = server.app.coalesce.entries().map(entry => entry.key).sort()
  server.app.coalesce.invalidate({ key: key as string })
  const runs = [await get('a'), await get('b')]
  t.ok(runs.some(run => run > 2), 'that of the key that is listed')
})

t.test('what was purged while a run was in the air does not stand in for its error', async t => {
  const opening = gate()
  const server = await keeping(t, {
    route: { ttl: '10s', staleIfError: '10m' },
    handler: async run => {
      if (run === 1) return { run }
      await opening.promise
      throw new Error('down')
    }
  })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  const asking = server.get('/thing/1')
  await until(() => server.runs() === 2)
  server.app.coalesce.invalidate({ url: '/thing/1' })
  opening.open()
  t.equal((await asking).status, 500)
})

t.test('what was purged while a refresh was on its way to the handler is not made fresh by a 304', async t => {
  const opening = gate()
  let isComing = false
  let isOver = false
  const server = await keeping(t, {
    route: { ttl: '10s', staleWhileRevalidate: '10m' },
    before: app => {
      app.addHook('onRequest', async request => {
        if (request.headers['x-request-id'] !== undefined) return
        isComing = true
        await opening.promise
      })
      app.addHook('onResponse', async request => { isOver ||= request.headers['x-request-id'] === undefined })
    },
    handler: (run, request, reply) => {
      reply.header('last-modified', 'Wed, 25 Nov 2020 08:00:00 GMT')
      if (request.headers['if-modified-since'] === undefined) return { run }
      reply.code(304)
      return ''
    }
  })
  const client = { headers: { 'x-request-id': 'yes' } }
  await server.get('/thing/1', client)
  server.clock.advance(11_000)
  await server.get('/thing/1', client)
  await until(() => isComing)
  server.app.coalesce.invalidate({ url: '/thing/1' })
  opening.open()
  await until(() => isOver)
  t.equal((await server.get('/thing/1', client)).body, '{"run":3}')
})

t.test('a purge holds for the registrations inside and around as well', async t => {
  const store = memoryStore()
  const runs = { outer: 0, inner: 0 }
  const inside: FastifyInstance[] = []
  const server = await serve(t, async app => {
    app.get('/outer', async () => { return { run: ++runs.outer } })
    await app.register(async inner => {
      await inner.register(coalesce, { global: true, ttl: '1m', tags: ['words'], store })
      inner.get('/inner', async () => { return { run: ++runs.inner } })
      inside.push(inner)
    })
  }, { global: true, ttl: '1m', tags: ['words'], store })
  for (const app of [server.app, ...inside]) {
    for (const path of ['/outer', '/inner', '/outer', '/inner']) await server.get(path)
    app.coalesce.invalidate({ tags: ['words'] })
  }
  for (const path of ['/outer', '/inner']) await server.get(path)
  t.strictSame(runs, { outer: 3, inner: 3 })
})

t.test('a purge holds for what functions keep inside and around as well, and for their runs', async t => {
  let runs = 0
  const inside: FastifyInstance[] = []
  const server = await serve(t, async app => {
    await app.register(async inner => {
      await inner.register(coalesce)
      inside.push(inner)
    })
  })
  const apps = [server.app, ...inside]
  for (const one of apps) {
    for (const other of apps) {
      const opening = gate()
      const fn = one.coalesce.deduplicate(async (key: string) => {
        runs++
        if (key === 'held') await opening.promise
        return runs
      }, { key: key => key, ttl: '1m', tags: ['words'] })
      const before = [await fn('a'), await fn('a')]
      const joined = fn('held')
      other.coalesce.invalidate({ tags: ['words'] })
      const [later, afresh] = [await fn('a'), fn('held')]
      opening.open()
      t.equal(before[0], before[1])
      t.not(later, before[0])
      await Promise.all([joined, afresh])
    }
  }
  t.equal(runs, apps.length ** 2 * 4)
})

t.test('a purge holds for what another process keeps in the same store whose clock is ahead', async t => {
  const store = memoryStore()
  const [other, own] = [await keeping(t, { options: { store } }), await keeping(t, { options: { store }, handler: run => ({ own: run }) })]
  other.clock.advance(30_000)
  const headers = { host: 'localhost' }
  const ask = async (): Promise<string> => (await own.get('/thing/1', { headers })).body
  await other.get('/thing/1', { headers })
  t.equal(await ask(), '{"run":1}')
  own.clock.advance(100)
  own.app.coalesce.invalidate({ url: '/thing/1' })
  t.equal(await ask(), '{"own":1}')
  t.equal(await ask(), '{"own":1}', 'its own run is kept')

  await other.get('/thing/2', { headers })
  own.clock.advance(100)
  own.app.coalesce.invalidate({ url: '/thing/2' })
  own.clock.advance(31_000)
  t.equal((await own.get('/thing/2', { headers })).body, '{"own":2}', 'nor once it has come to the time that the other one had')
})

const WORDS = ['caf\u00e9', '\u017e', '\u65e5', '\u{1f600}', 'a?b', 'a#b', 'a;b', 'a%b', 'a%2541', 'A', 'a b', '.', 'a/..']

t.test('a path purges what it names in any spelling, and the path of any entry purges that entry', async t => {
  for (const word of WORDS) {
    const server = await keeping(t)
    const path = `/thing/${encodeURIComponent(word)}`
    const runsAfter = async (url: string): Promise<number> => {
      server.app.coalesce.invalidate({ url })
      await server.get(path)
      return server.runs()
    }
    await server.get(path)
    t.equal(await runsAfter(path), 2, word)
    t.equal(await runsAfter(`${path.toLowerCase()}/?query=1#hash`), 3, word)
    if (!/[?#%.]/.test(word)) t.equal(await runsAfter(`/thing/${word}`), 4, word)
    const before = server.runs()
    t.equal(await runsAfter(server.app.coalesce.entries()[0]?.path as string), before + 1, word)
    t.equal(await runsAfter('/thing/other'), before + 1, word)
  }
})

t.test('the path of an entry purges it where it is the root, and where a semicolon ends a path', async t => {
  const server = await serve(t, app => {
    app.get('/*', { config: { coalesce: { ttl: 60_000 } } }, async ({ url }) => url)
  }, {}, { useSemicolonDelimiter: true })
  for (const path of ['/', '/a;b=1', '/a%3Bb', '/b%2F..%3F']) {
    const hits = async (): Promise<number> => {
      await server.get(path)
      return server.app.coalesce.stats().cacheHits
    }
    const before = await hits()
    t.equal(await hits(), before + 1, path)
    server.app.coalesce.invalidate({ url: server.app.coalesce.entries()[0]?.path as string })
    t.equal(await hits(), before + 1, path)
    server.app.coalesce.invalidate({ url: path })
    t.equal(await hits(), before + 1, path)
  }
})

for (const [name, by] of Object.entries<(server: Keeping) => unknown>({
  'the URL that clients ask for': ({ app }) => { app.coalesce.invalidate({ url: '/api/thing/1?any=query' }) },
  'the URL that the router sees': ({ app }) => { app.coalesce.invalidate({ url: '/thing/1' }) },
  'a write to it': async server => await server.get('/api/thing/1', { method: 'POST' }),
  'a Location': async server => await server.get('/api/named?location=/api/thing/1', { method: 'POST' }),
  'a Location that is relative to what clients ask for': async server => await server.get('/api/named?location=thing/1', { method: 'POST' }),
  'a Location of the app\'s own': async server => await server.get('/api/named?location=/thing/1', { method: 'POST' }),
  'a Content-Location': async server => await server.get('/api/named?content-location=/api/thing/1', { method: 'POST' })
})) {
  t.test(`what is kept under a URL that was rewritten, and a run for it in the air, end with ${name}`, async t => {
    const openings = [gate(), gate()]
    const server = await keeping(t, {
      fastify: { rewriteUrl: ({ url = '' }) => url.replace(/^\/api/, '') },
      before: app => {
        app.post('/named', async (request, reply) => reply.headers(request.query as Record<string, string>).send('named'))
      },
      handler: async run => {
        await openings[run - 1]?.promise
        return { run }
      }
    })
    const first = server.get('/api/thing/1')
    await until(() => server.runs() === 1)
    await by(server)
    const second = server.get('/api/thing/1')
    await until(() => server.runs() === 2)
    for (const { open } of openings) open()
    t.strictSame((await Promise.all([first, second])).map(({ body }) => body), ['{"run":1}', '{"run":2}'])
    t.equal((await server.get('/api/thing/1')).body, '{"run":2}', 'it is kept')
    await by(server)
    t.equal((await server.get('/api/thing/1')).body, '{"run":3}')
  })
}

t.test('a route with two URLs, which is / under a prefix, is purged by either', async t => {
  const { app, ...server } = await serve(t, async app => {
    let runs = 0
    await app.register(async inner => { inner.get('/', { config: { coalesce: { ttl: 60_000 } } }, async () => ++runs) }, { prefix: '/v2' })
  })
  for (const path of ['/v2', '/v2/']) {
    for (const route of ['/v2', '/v2/']) {
      const before = await server.get(path)
      t.equal((await server.get(path)).body, before.body)
      app.coalesce.invalidate({ route })
      t.not((await server.get(path)).body, before.body, `${path} by ${route}`)
    }
  }
})
