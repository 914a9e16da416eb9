/**
 * Each request is told why it was served as it was, by the same name in code, Cache-Status, logs and metrics.
 */
import t from 'tap'
import type { FastifyRequest } from 'fastify'
import { held, meet } from '../fixtures/crowd.js'
import { lines } from '../fixtures/lines.js'
import { metric, serve } from '../fixtures/server.js'

/** What `request.coalesce` says in the end, of each request. */
function noting (): { readonly told: string[], note (request: FastifyRequest): void } {
  const told: string[] = []
  return {
    told,
    note: ({ coalesce }) => { told.push([coalesce?.outcome, coalesce?.reason, coalesce?.cause].filter(part => part !== undefined).join(' ')) }
  }
}

const credentials: ReadonlyArray<readonly [string, Record<string, string>]> = [
  ['authorization', { authorization: 'Bearer x' }],
  ['authorization', { 'proxy-authorization': 'Basic x' }],
  ['cookie', { cookie: '_ga=1' }],
  ['other', { 'x-api-key': '1' }]
]

t.test('a request that bypasses for its credentials is told which kind they are', async t => {
  const { told, note } = noting()
  const server = await serve(t, app => {
    app.addHook('onResponse', async request => { note(request) })
    app.get('/', { config: { coalesce: { cacheStatus: true } } }, async () => 'ok')
  }, { metrics: true })
  for (const [, headers] of credentials) {
    const { headers: { 'cache-status': status } } = await server.get('/', { headers })
    t.equal(status, 'fastify-coalesce; fwd=bypass; detail=credentials')
  }
  t.same(told, credentials.map(([cause]) => `bypass credentials ${cause}`))
  const requests = (outcome: string, reason: string, cause: string): Promise<number> =>
    metric(server.app, 'coalesce_requests_total', { method: 'GET', route: '/', outcome, reason, cause })
  t.equal(await requests('bypass', 'credentials', 'authorization'), 2)
  t.equal(await requests('bypass', 'credentials', 'cookie'), 1)
  t.equal(await requests('bypass', 'credentials', 'other'), 1)
})

t.test('a request that bypasses because the last response was not shared is told why that was', async t => {
  const { told, note } = noting()
  const server = await serve(t, app => {
    app.addHook('onResponse', async request => { note(request) })
    app.get('/:what', { config: { coalesce: true } }, async (request, reply) => {
      const { what } = request.params as { what: string }
      if (what === 'cookie') reply.header('set-cookie', 'a=1')
      else reply.header('cache-control', what)
      return 'ok'
    })
  })
  for (const what of ['cookie', 'private', 'no-store']) for (let turn = 0; turn < 2; turn++) await server.get(`/${what}`)
  t.same(told, [
    'leader set-cookie', 'bypass unshareable set-cookie', 'leader private', 'bypass unshareable private',
    'leader no-store', 'bypass unshareable no-store'
  ])
})

const splits: ReadonlyArray<readonly [cause: string, names: string[], (request: FastifyRequest) => unknown, (index: number) => Record<string, string>]> = [
  ['address', ['ip', 'x-forwarded-for'], request => request.ip, index => ({ 'x-forwarded-for': `192.0.2.${index}` })],
  ['header', ['x-request-id'], request => request.headers['x-request-id'], index => ({ 'x-request-id': String(index) })]
]

for (const [cause, names, read, headersOf] of splits) {
  t.test(`leaders whose runs nobody could share, for they depend on the client's ${cause}, are told so`, async t => {
    const { told, note } = noting()
    const log = lines()
    const handler = held(request => { read(request); return 'ok' })
    const server = await serve(t, app => {
      app.addHook('onResponse', async request => { note(request) })
      app.get('/', { config: { coalesce: { cacheStatus: true } } }, handler)
    }, { metrics: true }, { trustProxy: true, logger: log.logger })
    const answers = await meet(server, handler, Array.from({ length: 4 }, (_, index) => () => server.get('/', { headers: headersOf(index) })))
    t.equal(handler.runs, 4)
    t.same(told.sort(), ['leader shared', ...Array<string>(3).fill(`leader split ${cause}`)])
    t.equal(answers.filter(({ headers }) => headers['cache-status'] === 'fastify-coalesce; fwd=vary-miss; detail=split').length, 3)
    t.equal(await metric(server.app, 'coalesce_requests_total', { method: 'GET', route: '/', outcome: 'leader', reason: 'split', cause }), 3)
    const settled = log.event('settled').map(line => line.coalesce).filter(line => line?.reason === 'split')
    t.same(settled.map(line => [line?.cause, line?.names]), Array(3).fill([cause, names]))
  })
}

t.test("with 'ip' ignored clients share also behind a proxy, where the address is read from a header", async t => {
  const handler = held(request => { if (request.ip === '') throw new Error('no address'); return 'ok' })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: { ignore: ['ip'] } } } }, handler) }, {}, { trustProxy: true })
  await meet(server, handler, Array.from({ length: 4 }, (_, index) => () => server.get('/', { headers: { 'x-forwarded-for': `192.0.2.${index}` } })))
  t.equal(handler.runs, 1)
})

t.test("with 'ip' ignored and no proxy trusted, the header is one like any other", async t => {
  const handler = held(({ headers }) => headers['x-forwarded-for'])
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: { ignore: ['ip'] } } } }, handler) })
  const answers = await meet(server, handler, ['a', 'b'].map(address => () => server.get('/', { headers: { 'x-forwarded-for': address } })))
  t.same(answers.map(({ body }) => body), ['a', 'b'])
})

t.test('a leader whose result shows that its key does not vary any more is not told of a split', async t => {
  const { told, note } = noting()
  let reads = true
  let handler = held()
  const server = await serve(t, app => {
    app.addHook('onResponse', async request => { note(request) })
    app.get('/', { config: { coalesce: true } }, (request, reply) => {
      if (reads) reply.header('x-own', request.headers['x-a'] ?? '')
      return handler(request, reply)
    })
  })
  handler.gate.open()
  await server.get('/', { headers: { 'x-a': '1' } })
  reads = false
  for (let turn = 0; turn < 9; turn++) await server.get('/', { headers: { 'x-a': '1' } })
  told.length = 0
  handler = held()
  await meet(server, handler, ['1', '2'].map(value => () => server.get('/', { headers: { 'x-a': value } })))
  t.same(told, ['leader shared', 'leader shared'])
})

t.test('of what runs split by, only what the request carries is named', async t => {
  const log = lines()
  const handler = held(({ headers: { 'x-tenant': tenant, 'x-beta': beta } }) => tenant === beta ? 'none' : 'ok')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) }, {}, { logger: log.logger })
  await meet(server, handler, ['a', 'b', 'c'].map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  const splits = log.event('settled').map(({ coalesce }) => coalesce).filter(line => line?.reason === 'split')
  t.same(splits.map(line => line?.names), [['x-tenant'], ['x-tenant']])
})

t.test('a leader that ran while nobody else asked is not told of a split', async t => {
  const { told, note } = noting()
  const server = await serve(t, app => {
    app.addHook('onResponse', async request => { note(request) })
    app.get('/', { config: { coalesce: true } }, async request => request.headers['x-tenant'] ?? '')
  })
  for (const tenant of ['a', 'b', 'a']) await server.get('/', { headers: { 'x-tenant': tenant } })
  t.same(told, Array(3).fill('leader shared'))
})
