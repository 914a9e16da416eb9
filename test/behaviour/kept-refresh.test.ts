/**
 * "With a usable stale entry nobody waits: one request refreshes it in the background, and what becomes of that reaches no client."
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import formbody from '@fastify/formbody'
import { fastifyRequestContext } from '@fastify/request-context'
import t from 'tap'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Tally } from '../../lib/observers/tally.js'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { certificate } from '../fixtures/certificate.js'
import { distinct, times } from '../fixtures/crowd.js'
import { gate, until, type Gate } from '../fixtures/gate.js'
import { keeping, type Keeping, type KeepingOptions } from '../fixtures/kept.js'
import { lines } from '../fixtures/lines.js'
import { metric, type Answer, type GetOptions } from '../fixtures/server.js'

const ROUTE: CoalesceRouteOptions = { ttl: '10s', staleWhileRevalidate: '10m' }

/** How the refreshes of the last server ended. */
let results: string[] = []
const { refresh } = Tally.prototype
Tally.prototype.refresh = function (result, ...times) {
  // With a number it is a tally that is added to another one.
  if (times.length === 0) results.push(result)
  refresh.call(this, result, ...times)
}

function refreshes (result: string): number {
  return results.filter(each => each === result).length
}

async function ended (result: string, count = 1): Promise<void> {
  for (let turn = 0; turn < 2000 && refreshes(result) < count; turn++) await new Promise(resolve => setImmediate(resolve))
  if (refreshes(result) < count) throw new Error(`no refresh ended as ${result}: ${results.join(', ')}`)
}

/** Asks, lets what is kept grow stale, asks again (that is answered with it), and waits until the refresh is over. */
async function refreshed (server: Keeping, path: string, options?: GetOptions, result = 'refreshed'): Promise<Answer[]> {
  const first = await server.get(path, options)
  server.clock.advance(11_000)
  const second = await server.get(path, options)
  await ended(result)
  return [first, second, await server.get(path, options)]
}

async function stale (t: Parameters<typeof keeping>[0], options: KeepingOptions): Promise<Keeping> {
  results = []
  return await keeping(t, { ...options, route: { ...ROUTE, ...options.route } })
}

/** Answers its first run at once, and its refreshes once `opening` is open. */
const refreshing = (opening: Gate) => async (run: number): Promise<{ run: number }> => {
  if (run > 1) await opening.promise
  return { run }
}

t.test('nobody waits for a refresh, and there is one for any number of requests', async t => {
  const opening = gate()
  const server = await stale(t, { handler: refreshing(opening) })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all([
      ...times(20, server, '/thing/1'), ...times(3, server, '/thing/1', { method: 'HEAD' }), ...times(3, server, '/thing/1', { headers: { range: 'bytes=0-' } })
    ].map(send => send()))
    t.strictSame(distinct(answers.map(({ body, headers }) => [body === '' ? '{"run":1}' : body, headers.age])), [['{"run":1}', '11']])
  }
  t.equal(server.runs(), 2)
  opening.open()
  await ended('refreshed')
  t.match(await server.get('/thing/1'), { body: '{"run":2}', headers: { age: '0' } })
  t.equal(server.runs(), 2)
})

t.test('a refresh carries what the key and the variant cover, and nothing else of any client', async t => {
  const seen: Array<Record<string, unknown>> = []
  const own = new AsyncLocalStorage<string>()
  const server = await stale(t, {
    route: { headers: ['x-in-key'], cookies: ['lang'], learnVary: { ignore: ['x-look', 'x-user', 'ip'] } },
    before: async app => {
      await app.register(fastifyRequestContext as never)
      app.addHook('onRequest', (request, _reply, done) => {
        (request.requestContext as { set (key: string, value: unknown): void }).set('user', request.headers['x-user'])
        done()
      })
      app.addHook('onRequest', (request, _reply, done) => {
        // As what opens a context for who is known, and leaves others in theirs.
        if (request.headers['x-user'] === undefined) done()
        else own.run(String(request.headers['x-user']), done)
      })
    },
    handler: (run, request) => {
      const { tenant } = { tenant: request.headers['x-tenant'] }
      if (run === 2) seen.push({ tenant, user: (request.requestContext as { get (key: string): unknown }).get('user'), own: own.getStore(), ip: request.ip })
      return { run }
    }
  })
  const headers = { host: 'example.org:8080', 'x-in-key': 'k', 'x-tenant': 't', 'x-user': 'alice', 'x-look': 'l', cookie: 'lang=de' }
  const answers = await refreshed(server, '/thing/1?b=2&a=1', { headers })
  t.strictSame(answers.map(({ body }) => body), ['{"run":1}', '{"run":1}', '{"run":2}'])
  t.strictSame(seen, [{ tenant: 't', user: undefined, own: undefined, ip: '0.0.0.0' }])
})

t.test('no hook of the app sees more of it', async t => {
  const seen: Array<Record<string, unknown>> = []
  const server = await stale(t, {
    route: { headers: ['x-in-key'], cookies: ['lang'], learnVary: false },
    before: app => {
      app.addHook('onRequest', (request, _reply, done) => {
        seen.push({ ...request.headers, method: request.method, url: request.url, ip: request.ip })
        done()
      })
    }
  })
  const headers = {
    host: 'example.org:8080', 'x-in-key': 'k', 'x-user': 'alice', cookie: 'lang=de', 'user-agent': 'client', referer: 'http://client/', 'accept-language': 'de', 'accept-encoding': 'gzip'
  }
  await refreshed(server, '/thing/1?b=2&a=1', { method: 'GET', headers })
  t.strictSame(seen[2], { host: 'example.org:8080', cookie: 'lang=de', 'x-in-key': 'k', method: 'GET', url: '/thing/1?b=2&a=1', ip: '0.0.0.0' })
})

const FAILURES: Readonly<Record<string, (reply: FastifyReply) => unknown>> = {
  throws: () => { throw new Error('down') },
  503: reply => reply.code(503).send('down'),
  'cannot be serialized': reply => reply.send({ big: 1n })
}

for (const [name, fails] of Object.entries(FAILURES)) {
  t.test(`a refresh that fails reaches no client, backs off, and what is kept stays (${name})`, async t => {
    const log = lines()
    const server = await stale(t, { handler: (run, _request, reply) => run === 1 ? { run } : fails(reply), fastify: { logger: log.logger } })
    const answers = await refreshed(server, '/thing/1', {}, 'failed')
    t.strictSame(answers.map(({ status, body }) => [status, body]), [[200, '{"run":1}'], [200, '{"run":1}'], [200, '{"run":1}']])
    t.equal(server.runs(), 2)
    t.equal(log.event('refresh-failed').length, 1)
    for (const [pause, count] of [[1001, 2], [1001, 2], [1001, 3]] as const) {
      server.clock.advance(pause)
      t.equal((await server.get('/thing/1')).body, '{"run":1}')
      await ended('failed', count)
      t.equal(server.runs(), count + 1)
    }
  })
}

t.test('a gate that turns a refresh away reaches no client, and the handler does not run', async t => {
  for (const turn of [(reply: FastifyReply) => reply.code(401).send('who?'), (reply: FastifyReply) => reply.redirect('/login'), () => { throw new Error('who?') }]) {
    const server = await stale(t, {
      before: app => {
        app.addHook('onRequest', async (request, reply) => {
          if (request.headers['x-request-id'] === undefined) return turn(reply)
        })
      }
    })
    const answers = await refreshed(server, '/thing/1', { headers: { 'x-request-id': 'yes' } }, 'failed')
    t.strictSame(answers.map(({ body }) => body), ['{"run":1}', '{"run":1}', '{"run":1}'])
    t.equal(server.runs(), 1)
    await server.close()
  }
})

t.test('a refresh that hangs is given up after flightTimeout, and told so', async t => {
  let aborted: unknown
  const opening = gate()
  const server = await stale(t, {
    route: { flightTimeout: '5s' },
    handler: async (run, request) => {
      if (run === 2) {
        request.signal.addEventListener('abort', () => { aborted = request.signal.reason })
        await opening.promise
      }
      return { run }
    }
  })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  await server.get('/thing/1')
  await until(() => server.runs() === 2)
  server.clock.advance(5000)
  await ended('failed')
  t.match(aborted, { code: 'FST_COALESCE_FLIGHT_TIMEOUT' })
  opening.open()
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
  server.clock.advance(1001)
  await server.get('/thing/1')
  await ended('refreshed')
  t.equal((await server.get('/thing/1')).body, '{"run":3}')
})

t.test('the stream of a refresh that has no end is destroyed after flightTimeout, and nothing is held of it', async t => {
  let source: Readable | undefined
  const server = await stale(t, {
    route: { flightTimeout: '5s' },
    handler: run => {
      if (run !== 2) return { run }
      source = new Readable({ read () {} })
      source.push('a beginning')
      return source
    }
  })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  await server.get('/thing/1')
  await until(() => server.runs() === 2)
  for (let turn = 0; turn < 2000 && await metric(server.app, 'coalesce_recorded_bytes') === 0; turn++) await new Promise(resolve => setImmediate(resolve))
  t.equal(await metric(server.app, 'coalesce_recorded_bytes'), 11)
  server.clock.advance(5000)
  await ended('failed')
  await until(() => source?.destroyed === true, 'the end of the stream')
  t.equal(await metric(server.app, 'coalesce_recorded_bytes'), 0)
})

t.test('what a refresh brings that is for one client only is given to nobody, and ends what was kept', async t => {
  const server = await stale(t, {
    handler: (run, _request, reply) => {
      if (run === 2) reply.header('set-cookie', 'sid=refresh')
      return { run }
    }
  })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
  await ended('not-kept')
  const third = await server.get('/thing/1')
  t.match(third, { body: '{"run":3}' })
  t.equal(third.headers['set-cookie'], undefined)
})

t.test('a purge while a refresh is in the air: what it brings is not kept, and it counts as no failure', async t => {
  for (const soft of [true, false]) {
    const opening = gate()
    const log = lines()
    const server = await stale(t, {
      fastify: { logger: log.logger },
      handler: async run => {
        if (run === 2) await opening.promise
        return { run }
      }
    })
    await server.get('/thing/1')
    server.clock.advance(11_000)
    await server.get('/thing/1')
    await until(() => server.runs() === 2)
    server.app.coalesce.invalidate({ url: '/thing/1', soft })
    opening.open()
    await ended('not-kept')
    t.equal(log.event('refresh-failed').length, 0)
    t.equal((await server.get('/thing/1')).body, soft ? '{"run":1}' : '{"run":3}')
    if (soft) {
      await ended('refreshed')
      t.equal((await server.get('/thing/1')).body, '{"run":3}', 'it is refreshed at once')
    }
    await server.close()
  }
})

t.test('the key of a refresh is that of its client, however that came', async t => {
  const cases: Array<{ name: string, fastify?: object, headers?: Record<string, string>, before?: KeepingOptions['before'] }> = [
    { name: 'a trusted proxy', fastify: { trustProxy: true }, headers: { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'public.example', 'x-forwarded-for': '10.1.1.1' } },
    { name: 'a proxy that is trusted by its address', fastify: { trustProxy: '127.0.0.1' }, headers: { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'public.example' } },
    { name: 'a proxy that is trusted by what it is not', fastify: { trustProxy: (_address: string, hop: number) => hop === 0 }, headers: { 'x-forwarded-proto': 'https' } },
    {
      name: 'a gate that wants TLS',
      fastify: { trustProxy: true },
      headers: { 'x-forwarded-proto': 'https' },
      before: app => {
        app.addHook('onRequest', async (request, reply) => { if (request.protocol !== 'https') return reply.redirect(`https://x${request.url}`) })
      }
    },
    { name: 'rewriteUrl', fastify: { rewriteUrl: (request: { url?: string }) => String(request.url).replace('/v1/', '/') } }
  ]
  for (const { name, fastify, headers = {}, before } of cases) {
    const server = await stale(t, { ...before && { before }, fastify: fastify ?? {} })
    const answers = await refreshed(server, name === 'rewriteUrl' ? '/v1/thing/1' : '/thing/1', { headers })
    t.strictSame(answers.map(({ body }) => body), ['{"run":1}', '{"run":1}', '{"run":2}'], name)
    await server.close()
  }
})

t.test('a refresh that would have another key than its client, because that is made of what it does not carry, refreshes nothing', async t => {
  const server = await stale(t, { route: { key: request => String(request.headers['x-tenant'] ?? 'nobody') } })
  const answers = await refreshed(server, '/thing/1', { headers: { 'x-tenant': 'a' } }, 'failed')
  t.strictSame(answers.map(({ body }) => body), ['{"run":1}', '{"run":1}', '{"run":1}'])
  t.equal((await server.get('/thing/1')).body, '{"run":2}', 'nor does its handler run, of which nobody would have anything')
})

for (const looks of [false, true]) {
  t.test(`a proxy that comes over a Unix socket has no address, and its refresh passes for nobody's${looks ? ', with its client\'s' : ''}`, async t => {
    const addresses: unknown[] = []
    const server = await stale(t, {
      fastify: { trustProxy: true },
      handler: (run, request) => ({ run, ip: looks ? request.ip : '' }),
      before: app => { app.addHook('onRequest', async request => { addresses.push(request.raw.socket.remoteAddress) }) }
    })
    const answer = (run: number): string => JSON.stringify({ run, ip: looks ? '203.0.113.7' : '' })
    const folder = await mkdtemp(join(tmpdir(), 'coalesce-'))
    const socketPath = join(folder, 'app.sock')
    const door = createServer(socket => { server.app.server.emit('connection', socket) }).listen(socketPath)
    t.teardown(async () => {
      door.close()
      await rm(folder, { recursive: true })
    })
    await once(door, 'listening')
    const ask = async (): Promise<string> => await new Promise((resolve, reject) => {
      httpRequest({ socketPath, path: '/thing/1', headers: { 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.7' }, agent: false }, response => {
        let body = ''
        response.on('data', chunk => { body += String(chunk) })
        response.on('end', () => { resolve(body) })
      }).on('error', reject).end()
    })
    t.equal(await ask(), answer(1))
    server.clock.advance(11_000)
    t.equal(await ask(), answer(1))
    await ended('refreshed')
    t.equal(await ask(), answer(2))
    t.strictSame(addresses, [undefined, undefined, '0.0.0.0', undefined])
  })
}

t.test('the address that a response depends on is that of its client', async t => {
  const server = await stale(t, { fastify: { trustProxy: true }, handler: (run, request) => ({ run, ip: request.ip }) })
  const answers = await refreshed(server, '/thing/1', { headers: { 'x-forwarded-for': '10.1.1.1' } })
  t.strictSame(answers.map(({ body }) => JSON.parse(body)), [1, 1, 2].map(run => ({ run, ip: '10.1.1.1' })))
})

t.test('behind a proxy that is trusted, so is what it says of the client, and a look past that at the proxy is at that', async t => {
  for (const look of [(request: FastifyRequest) => request.ip, (request: FastifyRequest) => request.raw.socket.remoteAddress]) {
    const server = await stale(t, { fastify: { trustProxy: 'loopback' }, handler: (run, request) => `${run} ${String(look(request))}` })
    const answers = await refreshed(server, '/thing/1', { headers: { 'x-forwarded-for': '203.0.113.7' } })
    const address = answers[0]?.body.slice(2)
    t.ok(['203.0.113.7', '127.0.0.1'].includes(String(address)))
    t.strictSame(answers.map(({ body }) => body), [`1 ${address}`, `1 ${address}`, `2 ${address}`])
  }
})

t.test('so is a request whose URL a hook changed, with the one that it came with', async t => {
  const server = await stale(t, {
    before: app => app.addHook('onRequest', async ({ raw }) => { raw.url = '/thing/hidden' }),
    handler: (run, { query, url }) => `${run} ${JSON.stringify(query)} ${url}`
  })
  const answers = await refreshed(server, '/thing/1?token=a')
  t.strictSame(answers.map(({ body }) => body), [1, 1, 2].map(run => `${run} {"token":"a"} /thing/hidden`))
})

t.test('so is a request of which a hook took a header away, or put another one in its place, with those that it came with', async t => {
  const tenants = new WeakMap<FastifyRequest, unknown>()
  const server = await stale(t, {
    before: app => app.addHook('onRequest', async request => {
      const { headers } = request
      tenants.set(request, headers['x-tenant'])
      delete headers['x-tenant']
      headers['accept-language'] = headers['accept-language']?.slice(0, 2)
      headers['x-theme'] ??= 'plain'
    }),
    handler: (run, request) => `${run} ${String(tenants.get(request))} ${String(request.headers['accept-language'])} ${String(request.headers['x-theme'])}`
  })
  const answers = await refreshed(server, '/thing/1', { headers: { 'x-tenant': 'acme', 'accept-language': 'de-AT,de;q=0.9' } })
  t.strictSame(answers.map(({ body }) => body), [1, 1, 2].map(run => `${run} acme de plain`))
})

t.test('routes of all kinds are refreshed: prefixes, versions, hosts, narrowed queries, bodies', async t => {
  const runs: Record<string, number> = {}
  const answer = (name: string) => async (request: FastifyRequest): Promise<object> => {
    runs[name] = (runs[name] ?? 0) + 1
    return { run: runs[name], url: request.url, body: request.body ?? null }
  }
  const config = { coalesce: ROUTE }
  const server = await stale(t, {
    before: async (app: FastifyInstance) => {
      await app.register(formbody)
      await app.register(async inner => { inner.get('/inner', { config }, answer('prefix')) }, { prefix: '/pre' })
      app.get('/version', { config, constraints: { version: '1.2.0' } }, answer('version'))
      app.get('/version', { config, constraints: { version: '2.0.0' } }, answer('version 2'))
      app.get('/host', { config, constraints: { host: 'a.example' } }, answer('host'))
      app.get('/narrow', { config: { coalesce: { ...ROUTE, query: ['q'] } } }, answer('narrow'))
      app.route({ method: 'QUERY', url: '/query', config: { coalesce: { ...ROUTE, body: true } }, handler: answer('query') })
      app.post('/post', { config: { coalesce: { ...ROUTE, body: true } } }, answer('post'))
    }
  })
  const json = { 'content-type': 'application/json' }
  const cases: Array<[string, string, GetOptions]> = [
    ['prefix', '/pre/inner', {}],
    ['version', '/version', { headers: { 'accept-version': '1.x' } }],
    ['host', '/host', { headers: { host: 'a.example' } }],
    ['narrow', '/narrow?x=1&q=2', {}],
    ['query', '/query', { method: 'QUERY', headers: json, body: '{"b": 1, "a": [true]}' }],
    ['post', '/post', { method: 'POST', headers: json, body: '{"b": 1, "a": [true]}' }],
    ['post text', '/post', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'text' }]
  ]
  let done = 0
  for (const [name, path, options] of cases) {
    const [first, second, third] = await (async () => {
      const one = await server.get(path, options)
      server.clock.advance(11_000)
      const two = await server.get(path, options)
      try {
        await ended('refreshed', ++done)
      } catch (error) {
        t.fail(`${name}: ${(error as Error).message}`)
        done--
      }
      return [one, two, await server.get(path, options)]
    })() as [Answer, Answer, Answer]
    const { run, ...rest } = JSON.parse(first.body) as { run: number }
    t.equal(second.body, first.body, name)
    t.strictSame(JSON.parse(third.body), { run: run + 1, ...rest }, name)
  }
})

t.test('so are queries that are encoded in no way, or in an odd one, and the handler sees them as they came', async t => {
  const server = await stale(t, { handler: (run, request) => ({ run, url: request.url, query: request.query }) })
  for (const query of ["q=it's", 'q=a|b', 'q=a"b', 'q={b}', 'q=a\\b', 'q=[a]', '<a>', 'a=%7E&b=%7e&b=+', '?', '', 'q=%', 'q=%zz']) {
    results = []
    const path = `/thing/1?${query}`
    const [first, , third] = await refreshed(server, path) as [Answer, Answer, Answer]
    const { run, ...rest } = JSON.parse(first.body) as { run: number }
    t.strictSame(JSON.parse(third.body), { run: run + 1, ...rest }, query)
  }
})

t.test('a body that was made of something else than JSON is not made up: its request runs', async t => {
  const server = await stale(t, {
    before: async (app: FastifyInstance) => {
      await app.register(formbody)
      app.post('/form', { config: { coalesce: { ...ROUTE, body: true } } }, async request => request.body)
    }
  })
  const options = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'a=1&b=x+y' }
  for (const [pause, age] of [[0, undefined], [9000, '9'], [2000, undefined], [0, '0']] as const) {
    server.clock.advance(pause)
    t.match(await server.get('/form', options), { body: '{"a":"1","b":"x y"}', headers: { age } }, String(age))
  }
  t.strictSame(results, [])
})

t.test('over TLS', async t => {
  const server = await stale(t, { fastify: { https: certificate('server') } as object })
  const get = async (): Promise<string> => await new Promise((resolve, reject) => {
    httpsRequest({ host: '127.0.0.1', port: server.port, path: '/thing/1', rejectUnauthorized: false, agent: false }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => { resolve(body) })
    }).on('error', reject).end()
  })
  const first = await get()
  server.clock.advance(11_000)
  const second = await get()
  await ended('refreshed')
  t.strictSame([first, second, await get()], ['{"run":1}', '{"run":1}', '{"run":2}'])
})

t.test('a response that is still fresh is refreshed early, once', async t => {
  const server = await stale(t, { route: { ttl: '10s', eagerRefresh: 0.8 } })
  await server.get('/thing/1')
  server.clock.advance(8000)
  await server.get('/thing/1')
  t.equal(server.runs(), 1)
  server.clock.advance(1)
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
  await ended('refreshed')
  t.match(await server.get('/thing/1'), { body: '{"run":2}', headers: { age: '0' } })
  t.equal(server.runs(), 2)
})

t.test('an app that asks itself, in the handler of a refresh or in a gate before it, is answered as a client is', async t => {
  const inner: string[] = []
  for (const where of ['handler', 'gate'] as const) {
    inner.length = 0
    const ask = async (request: FastifyRequest): Promise<void> => {
      if (request.url !== '/thing/1') return
      const { body } = await request.server.inject({ url: '/thing/2', headers: { host: 'localhost' } })
      inner.push(body)
    }
    const server: Keeping = await stale(t, {
      before: app => {
        if (where === 'gate') app.addHook('onRequest', async request => { await ask(request) })
      },
      handler: async (_run, request) => {
        if (where === 'handler') await ask(request)
        return { run: server.runs(), id: (request.params as { id: string }).id }
      }
    })
    await server.get('/thing/1')
    server.clock.advance(11_000)
    await server.get('/thing/1')
    await ended('refreshed', 2)
    t.equal(refreshes('failed'), 0, where)
    t.ok(inner.length >= 2 && inner.every(body => body.includes('"id":"2"')), where)
    t.match((await server.get('/thing/1')).body, '"id":"1"')
    await server.close()
  }
})

t.test('no header makes a client pass for a refresh', async t => {
  const server = await stale(t, { handler: (run, request) => ({ run, all: request.headers['x-refresh'] ?? null }) })
  await server.get('/thing/1')
  for (const headers of [{ 'x-refresh': '1' }, { 'user-agent': 'lightMyRequest' }, { 'x-coalesce-refresh': 'true' }, { purpose: 'refresh' }]) {
    const runs = server.runs()
    const { status } = await server.get('/thing/1', { headers })
    t.equal(status, 200)
    t.ok(server.runs() <= runs + 1)
  }
  t.equal(refreshes('refreshed') + refreshes('failed'), 0)
})

t.test('the app closes while a refresh is in the air', async t => {
  const opening = gate()
  const server = await stale(t, { handler: refreshing(opening) })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  await server.get('/thing/1')
  await until(() => server.runs() === 2)
  const closed = server.close()
  opening.open()
  await closed
  await until(() => server.clock.timers === 0)
  t.pass()
})

t.test('HEAD that finds what is stale has it refreshed by a GET', async t => {
  const methods: string[] = []
  const server = await stale(t, { handler: (run, request) => { methods.push(request.method); return { run } } })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  t.match(await server.get('/thing/1', { method: 'HEAD' }), { status: 200, body: '', headers: { age: '11' } })
  await ended('refreshed')
  t.strictSame(methods, ['GET', 'GET'])
  t.match(await server.get('/thing/1'), { body: '{"run":2}' })
})

t.test('a refresh of an encoding asks for that', async t => {
  const server = await stale(t, {
    handler: (run, request, reply) => reply.header('vary', 'accept-encoding').send({ run, asked: request.headers['accept-encoding'] ?? null })
  })
  const headers = { 'accept-encoding': 'br, gzip' }
  const answers = await refreshed(server, '/thing/1', { headers })
  t.strictSame(answers.map(({ body }) => JSON.parse(body)), [1, 1, 2].map(run => ({ run, asked: 'br, gzip' })))
})

t.test('a refresh that comes when its route is switched off counts for no client, and what it brings is not kept', async t => {
  let arrivals = 0
  const server = await stale(t, {
    before: app => { app.addHook('onRequest', async () => { if (++arrivals === 3) app.coalesce.disable() }) }
  })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
  await ended('failed')
  t.equal(server.app.coalesce.stats().totalRequests, 2)
  server.app.coalesce.enable()
  t.match(await server.get('/thing/1'), { body: '{"run":1}', headers: { age: '11' } })
})
