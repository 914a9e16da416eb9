/**
 * "A request of the app's own looks like one that Node parsed, comes to the very route that its client came to, and says why it failed."
 */
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import coalesce from '../../lib/index.js'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { keeping, type Keeping, type KeepingOptions } from '../fixtures/kept.js'
import { lines } from '../fixtures/lines.js'
import { listen } from '../fixtures/server.js'

const ROUTE: CoalesceRouteOptions = { ttl: '10s', staleWhileRevalidate: '10m', learnVary: false }

async function stale (t: Parameters<typeof keeping>[0], options: KeepingOptions = {}): Promise<Keeping> {
  return await keeping(t, { ...options, route: { ...ROUTE, ...options.route } })
}

/** Something kept is fresh. */
async function refreshed ({ app }: Keeping): Promise<void> {
  await until(() => app.coalesce.entries().some(({ fresh }) => fresh > 0), 'a refresh')
}

t.test('a handler can forward its headers as it forwards a client\'s', async t => {
  const upstream = await keeping(t, { route: { ttl: false } })
  const server = await stale(t, {
    handler: async (_run, { headers }) => await new Promise((resolve, reject) => {
      httpRequest({ port: upstream.port, path: '/thing/1', headers: { ...headers }, agent: false }, response => { resolve(text(response)) }).on('error', reject).end()
    })
  })
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
  server.clock.advance(11_000)
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
  await refreshed(server)
  t.equal((await server.get('/thing/1')).body, '{"run":2}')
})

t.test('it has no header without a value, and is not told from a client\'s by what Node gives', async t => {
  const seen: Array<Record<string, unknown>> = []
  const server = await stale(t, {
    before: app => app.addHook('onRequest', async ({ raw }) => {
      seen.push({ headers: Object.entries(raw.headers).filter(([, value]) => value === undefined), raw: raw.rawHeaders.length % 2, kind: raw.constructor.name, version: raw.httpVersion, injected: 'isLightMyRequest' in raw })
    })
  })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  await server.get('/thing/1')
  await refreshed(server)
  t.equal(seen.length, 3)
  t.strictSame(seen[2], seen[0])
})

t.test('a target in absolute form is refreshed as it came', async t => {
  const urls: unknown[] = []
  const server = await stale(t, { handler: (run, { raw }) => { urls.push(raw.url); return { run } } })
  const ask = async (): Promise<string> => {
    const socket = connect(server.port, '127.0.0.1')
    socket.end('GET http://a.example/thing/1?a=b HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n')
    return (await text(socket)).split('\r\n\r\n')[1] as string
  }
  t.equal(await ask(), '{"run":1}')
  server.clock.advance(11_000)
  t.equal(await ask(), '{"run":1}')
  await refreshed(server)
  t.equal(await ask(), '{"run":2}')
  t.strictSame(urls, ['http://a.example/thing/1?a=b', 'http://a.example/thing/1?a=b'])
})

/** Which of two routes a request comes to is for a header to say, in this way. */
type Derive = (request: { headers: Record<string, unknown>, socket: unknown }, context: unknown, done?: (error: null, value: unknown) => void) => unknown

const tenants = (deriveConstraint: Derive): object => ({
  name: 'tenant',
  storage: () => {
    const all = new Map<unknown, unknown>()
    return { get: (name: unknown) => all.get(name) ?? null, set: (name: unknown, handler: unknown) => { all.set(name, handler) } }
  },
  validate: () => {},
  deriveConstraint
})

const DERIVE: Record<string, Derive> = {
  'at once': ({ headers }) => headers['x-tenant'] ?? 'nobody',
  later: ({ headers: { 'x-tenant': tenant = 'nobody' } }, _context, done) => { done?.(null, tenant) }
}

for (const [way, derive] of Object.entries(DERIVE)) {
  for (const added of ['with the app', 'after the plugin'] as const) {
    t.test(`it comes to the route that a constraint of the app's chose for its client: ${way}, added ${added}`, async t => {
      const came: string[] = []
      const server = await stale(t, {
        fastify: (added === 'with the app' ? { constraints: { tenant: tenants(derive) } } : {}) as object,
        before: app => {
          if (added === 'after the plugin') app.addConstraintStrategy(tenants(derive) as never)
          for (const tenant of ['acme', 'nobody']) {
            app.get('/of', { config: { coalesce: ROUTE }, constraints: { tenant } }, async () => { came.push(tenant); return { tenant, run: came.length } })
          }
          app.get('/of', { config: { coalesce: ROUTE } }, async () => { came.push('others'); return { tenant: 'others', run: came.length } })
        }
      })
      for (const tenant of ['acme', 'others']) {
        came.length = 0
        const get = async (): Promise<unknown> => JSON.parse((await server.get('/of', { headers: { 'x-tenant': tenant } })).body)
        t.strictSame(await get(), { tenant, run: 1 })
        server.clock.advance(11_000)
        t.strictSame(await get(), { tenant, run: 1 })
        await until(() => came.length === 2, 'a refresh')
        await refreshed(server)
        t.strictSame(await get(), { tenant, run: 2 })
        t.strictSame(came, [tenant, tenant])
      }
    })
  }
}

t.test('where it cannot be told what a constraint looks at there is no refresh, and who comes runs the handler of its own route', async t => {
  const cases: Record<string, [early: boolean, derive: Derive]> = {
    'it was added before the plugin': [true, DERIVE['at once'] as Derive],
    'it looks at the connection': [false, ({ headers, socket }) => socket === null ? 'nobody' : headers['x-tenant']]
  }
  for (const [name, [early, derive]] of Object.entries(cases)) {
    const log = lines()
    const clock = new TestClock()
    const app = Fastify({ logger: log.logger }) as unknown as FastifyInstance
    if (early) app.addConstraintStrategy(tenants(derive) as never)
    await app.register(coalesce, { clock })
    if (!early) app.addConstraintStrategy(tenants(derive) as never)
    const came: string[] = []
    app.get('/of', { config: { coalesce: ROUTE }, constraints: { tenant: 'acme' } }, async () => { came.push('acme'); return { run: came.length } })
    app.get('/of', { config: { coalesce: ROUTE } }, async () => { came.push('others'); return { run: came.length } })
    const server = await listen(t, app)
    const get = async (): Promise<string> => (await server.get('/of', { headers: { 'x-tenant': 'acme' } })).body
    t.equal(await get(), '{"run":1}')
    clock.advance(11_000)
    t.equal(await get(), '{"run":2}', name)
    t.equal(await get(), '{"run":2}', name)
    t.strictSame(came, ['acme', 'acme'], name)
    t.equal(log.all.filter(({ msg }) => msg.includes('no background refresh')).length, early ? 1 : 0, 'and the app is told at boot')
  }
})

t.test('behind a proxy that says which host was asked for, it comes to the host that the proxy came to', async t => {
  const server = await stale(t, {
    fastify: { trustProxy: 'loopback' },
    before: app => {
      app.get('/of', { config: { coalesce: ROUTE }, constraints: { host: 'inner.example' } }, async request => ({ run: ++runs, host: request.host }))
      app.get('/of', { config: { coalesce: ROUTE } }, async () => 'another')
    }
  })
  let runs = 0
  const get = async (): Promise<string> => (await server.get('/of', { headers: { host: 'inner.example', 'x-forwarded-host': 'outer.example' } })).body
  t.equal(await get(), '{"run":1,"host":"outer.example"}')
  server.clock.advance(11_000)
  t.equal(await get(), '{"run":1,"host":"outer.example"}')
  await refreshed(server)
  t.equal(await get(), '{"run":2,"host":"outer.example"}')
})

t.test('the warning of one that failed says why', async t => {
  const hung = gate()
  const refreshes = (request: FastifyRequest): boolean => request.headers['x-client'] === undefined
  const cases: Record<string, KeepingOptions & { why: object, turn?: (server: Keeping) => unknown }> = {
    'its handler threw': { handler: run => { if (run > 1) throw new Error('database down'); return { run } }, why: { message: 'database down' } },
    'its handler answered an error': { handler: async (run, _request, reply) => run > 1 ? reply.code(503).send('down') : { run }, why: { message: /its handler answered 503/ } },
    'a gate answered': {
      before: app => app.addHook('onRequest', async (request, reply) => { if (refreshes(request)) return reply.code(401).send('who?') }),
      why: { code: 'FST_COALESCE_REFRESH_FAILED', message: /it was answered 401 before its handler/ }
    },
    'a gate threw': {
      before: app => app.addHook('onRequest', async request => { if (refreshes(request)) throw new Error('who?') }),
      why: { message: 'who?' }
    },
    'its key is another one': { route: { key: ({ headers }) => String(headers['x-client']) }, why: { message: /another key than its client/ } },
    'its key is another one, and it waits before its handler': {
      route: { hook: 'preHandler', key: ({ headers }) => String(headers['x-client']) }, why: { message: /another key than its client/ }
    },
    'it has no key': { route: { key: ({ headers }) => headers['x-client'] as string ?? null }, why: { message: /it may not board, because of no-key/ } },
    'its key function threw': { route: { key: ({ headers }) => (headers['x-client'] as string).trim() }, why: { type: 'TypeError' } },
    'a hook put an upgrade in it': {
      before: app => app.addHook('onRequest', async request => { if (refreshes(request)) request.headers.upgrade = 'h2c' }),
      why: { message: /it may not board, because of upgrade/ }
    },
    'its answer was cut off': {
      before: app => app.addHook('onRequest', async (request, reply) => {
        if (!refreshes(request)) return
        reply.hijack()
        reply.raw.write('a')
        reply.raw.destroy()
      }),
      why: { message: /its response was cut off/ }
    },
    'it has a header that cannot be sent': {
      route: { headers: ['x-odd'] },
      before: app => app.addHook('onRequest', async ({ headers }) => { headers['x-odd'] = 'a\r\nauthorization: b' }),
      why: { code: 'ERR_INVALID_CHAR' }
    },
    'its target cannot be sent': {
      before: app => app.addHook('onRequest', async ({ raw }) => { Object.assign(raw, { originalUrl: 'no target' }) }),
      why: { code: 'HPE_INVALID_URL' }
    },
    'it took too long': {
      before: app => app.addHook('onRequest', async request => { if (refreshes(request)) await hung.promise }),
      turn: async server => {
        await until(() => server.clock.timers > 0)
        server.clock.advance(61_000)
      },
      why: { code: 'FST_COALESCE_FLIGHT_TIMEOUT' }
    }
  }
  for (const [name, { why, turn, ...options }] of Object.entries(cases)) {
    const log = lines()
    const server = await stale(t, { ...options, fastify: { logger: log.logger } })
    const get = async (): Promise<string> => (await server.get('/thing/1', { headers: { 'x-client': 'a' } })).body
    t.equal(await get(), '{"run":1}', name)
    server.clock.advance(11_000)
    t.equal(await get(), '{"run":1}', name)
    await turn?.(server)
    await until(() => log.event('refresh-failed').length > 0, name)
    t.match(log.event('refresh-failed')[0], { err: why }, name)
    t.equal(server.runs(), name.startsWith('its handler') ? 2 : 1, `${name}: no handler runs of which nobody would have anything`)
  }
  hung.open()
})

t.test('one that comes on after its time is over runs no handler', async t => {
  const hung = gate()
  let over = 0
  const server = await stale(t, {
    before: app => {
      app.addHook('onRequest', async request => { if (request.headers['x-client'] === undefined) await hung.promise })
      app.addHook('onRequest', async request => { if (request.headers['x-client'] === undefined) over++ })
    }
  })
  const get = async (): Promise<string> => (await server.get('/thing/1', { headers: { 'x-client': 'a' } })).body
  await get()
  server.clock.advance(11_000)
  await get()
  await until(() => server.clock.timers > 0)
  server.clock.advance(61_000)
  hung.open()
  await until(() => over === 1)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(server.runs(), 1)
  t.equal(server.app.coalesce.stats().totalRequests, 2, 'and counts for no client')
})
