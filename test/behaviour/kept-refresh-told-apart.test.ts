/**
 * "A refresh can be told from what clients send, in every hook, and nothing that a client sends passes for one."
 */
import rateLimit from '@fastify/rate-limit'
import t from 'tap'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { until } from '../fixtures/gate.js'
import { keeping, type Keeping, type KeepingOptions } from '../fixtures/kept.js'
import { lines } from '../fixtures/lines.js'

async function stale (t: Parameters<typeof keeping>[0], options: KeepingOptions): Promise<Keeping> {
  return await keeping(t, { route: { ttl: '10s', staleWhileRevalidate: '10m', learnVary: false }, ...options })
}

for (const [title, allowList, failures] of [['without the allow list they count as one', [], 7], ['with it all pass', (request: FastifyRequest) => request.coalesce?.refresh === true, 0]] as const) {
  t.test(`@fastify/rate-limit and 12 refreshes at once: ${title}`, async t => {
    const log = lines()
    const server = await stale(t, {
      fastify: { logger: log.logger },
      before: async (app: FastifyInstance) => {
        await app.register(rateLimit, { max: 5, allowList: allowList as never, keyGenerator: request => String(request.headers['x-client'] ?? request.ip) })
      }
    })
    const all = async (): Promise<unknown[]> => await Promise.all(Array.from({ length: 12 }, async (_, index) =>
      (await server.get(`/thing/${index}`, { headers: { 'x-client': `client ${index}` } })).status))
    const fine = Array(12).fill(200)
    t.strictSame(await all(), fine)
    server.clock.advance(11_000)
    t.strictSame(await all(), fine)
    await until(() => log.event('refresh-failed').length + log.event('refreshed').length === 12, 'the end of all refreshes')
    t.equal(log.event('refresh-failed').length, failures)
    t.equal(server.runs(), 24 - failures)
    t.equal((await server.get('/thing/0', { headers: { 'x-client': 'a' } })).status, 200)
    const many = []
    for (let index = 0; index < 6; index++) many.push((await server.get('/thing/0', { headers: { 'x-client': 'one' } })).status)
    t.strictSame(many, [200, 200, 200, 200, 200, 429], 'a client is counted as ever')
  })
}

t.test('every hook can tell, and the handler', async t => {
  const seen: Array<[string, unknown]> = []
  const note = (name: string) => (request: FastifyRequest): void => { seen.push([name, request.coalesce?.refresh]) }
  const server = await stale(t, {
    before: app => {
      app.addHook('onRequest', async request => {
        note('onRequest')(request)
        if (request.coalesce === undefined) return
        t.match(request.coalesce, { outcome: undefined, leaderId: undefined })
        t.equal(request.coalesce.signal, request.signal)
        request.coalesce.varyOn('*')
      })
      app.addHook('preParsing', async request => { note('preParsing')(request) })
      app.addHook('preValidation', async request => { note('preValidation')(request) })
      app.addHook('preHandler', async request => { note('preHandler')(request) })
      app.addHook('preSerialization', async request => { note('preSerialization')(request) })
      app.addHook('onSend', async request => { note('onSend')(request) })
      app.addHook('onResponse', async request => { note('onResponse')(request) })
    },
    handler: (run, request) => {
      note('handler')(request)
      return { run }
    }
  })
  const names = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'handler', 'preSerialization', 'onSend', 'onResponse']
  await server.get('/thing/1')
  await until(() => seen.length === names.length)
  t.strictSame(seen.splice(0), names.map((name, index) => [name, index < 4 ? undefined : false]))
  server.clock.advance(11_000)
  await server.get('/thing/1')
  await until(() => seen.length === 2 * names.length - 2)
  t.strictSame(seen.filter(([, refresh]) => refresh === true), names.map(name => [name, true]))
})

t.test('a client that bypasses, and one on a route that is not coalesced, has none', async t => {
  const seen: unknown[] = []
  const server = await stale(t, {
    before: app => {
      app.get('/plain', async () => ({}))
      app.addHook('onSend', async request => { seen.push(request.coalesce?.refresh) })
    }
  })
  await server.get('/plain')
  await server.get('/thing/1', { headers: { authorization: 'a' } })
  t.strictSame(seen, [undefined, false])
})
