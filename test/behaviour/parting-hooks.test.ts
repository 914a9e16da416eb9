/**
 * Hooks that run for a leader's client while its run goes on for others: what they look at is not the handler's doing.
 */
import { PassThrough } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import t from 'tap'
import { held, queue, times, type HeldHandler } from '../fixtures/crowd.js'
import { grounded, leave } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { serve, type Pending, type TestServer } from '../fixtures/server.js'

const CLIENTS = ['a', 'b', 'c', 'a']
const bodies = async (answers: readonly Pending[]): Promise<string[]> => (await Promise.all(answers)).map(({ body }) => body)

/** Clients that a header tells apart, in the order of their coming. */
async function clients (server: TestServer): Promise<[leader: Pending, ...others: Pending[]]> {
  return await queue(server, CLIENTS.map(client => () => server.get('/', { headers: { 'x-client': client } }))) as [Pending, ...Pending[]]
}

const looks: Record<string, (request: FastifyRequest) => unknown> = {
  'one header': request => request.headers['x-client'],
  'all headers': request => ({ ...request.headers }),
  'its raw headers': request => request.raw.rawHeaders.join(),
  'the address': request => [request.ip, request.raw.socket.remoteAddress]
}

/** A hook that runs once, of a client that leaves. */
function onAbort (app: FastifyInstance, look: (request: FastifyRequest) => unknown): { readonly ran: () => Promise<void> } {
  let ran = false
  app.addHook('onRequestAbort', async request => {
    look(request)
    ran = true
  })
  return { ran: async () => { await until(() => ran, 'the hook') } }
}

for (const [what, look] of Object.entries(looks)) {
  t.test(`an onRequestAbort hook that looks at ${what} leaves those who wait one run`, async t => {
    const handler = held(() => 'for all')
    let hook!: ReturnType<typeof onAbort>
    const server = await serve(t, app => {
      hook = onAbort(app, look)
      app.get('/', { config: { coalesce: true } }, handler)
    })
    const [leader, ...others] = await clients(server)
    await leave(leader)
    await hook.ran()
    handler.gate.open()
    t.same(await bodies(others), Array(3).fill('for all'))
    t.equal(handler.runs, 1)
    await grounded(server.app)
  })

  t.test(`an onRequestAbort hook that looks at ${what} cuts nobody off who reads a stream`, async t => {
    const source = new PassThrough()
    let hook!: ReturnType<typeof onAbort>
    const server = await serve(t, app => {
      hook = onAbort(app, look)
      app.get('/', { config: { coalesce: true } }, async (_request, reply) => await reply.type('text/plain').send(source))
    })
    const all = await clients(server)
    const firsts = all.map(async ({ request }) => await new Promise<void>(resolve => {
      request.once('response', response => { response.once('data', () => { resolve() }) })
    }))
    source.write('first ')
    await Promise.all(firsts)
    const [leader, ...others] = all
    await leave(leader)
    await hook.ran()
    source.end('last')
    t.same(await bodies(others), Array(3).fill('first last'))
    await grounded(server.app)
  })
}

t.test('what such a hook looks at after a wait cannot be told from what the handler looks at, and counts', async t => {
  const handler = held(request => `for ${String(request.headers['x-client'])}`)
  let ran = false
  const server = await serve(t, app => {
    app.addHook('onRequestAbort', async request => {
      await new Promise(resolve => setImmediate(resolve))
      ran = request.headers['x-client'] !== undefined
    })
    app.get('/', { config: { coalesce: true } }, handler)
  })
  const [leader, ...others] = await clients(server)
  await leave(leader)
  await until(() => ran, 'the hook')
  handler.gate.open()
  t.same(await bodies(others), ['for b', 'for c', 'for a'])
})

t.test('a client that leaves and leads nothing has its hook, too, as has who trusts what the response says', async t => {
  const handlers: Record<string, HeldHandler> = { '/': held(() => 'for all'), '/trusts': held(() => 'for all'), '/own': held(() => 'own') }
  const left: string[] = []
  const server = await serve(t, app => {
    app.addHook('onRequestAbort', async request => { left.push(`${request.url} ${String(request.headers['x-client'])}`) })
    app.get('/', { config: { coalesce: true } }, handlers['/'] as HeldHandler)
    app.get('/trusts', { config: { coalesce: { learnVary: false } } }, handlers['/trusts'] as HeldHandler)
    app.get('/own', handlers['/own'] as HeldHandler)
  })
  const [leader, follower] = await clients(server)
  await leave(follower as Pending)
  await until(() => left.length === 1)
  const [trusting] = await queue(server, times(1, server, '/trusts', { headers: { 'x-client': 'd' } }))
  await leave(trusting as Pending)
  await until(() => left.length === 2)
  const own = server.get('/own', { headers: { 'x-client': 'e' } })
  await until(() => handlers['/own']?.runs === 1)
  await leave(own)
  await until(() => left.length === 3)
  t.same(left, ['/ b', '/trusts d', '/own e'])
  for (const handler of Object.values(handlers)) handler.gate.open()
  t.equal((await leader).body, 'for all')
})

t.test('a route without such hooks listens to no more than it does without coalescing', async t => {
  const listeners = async ({ raw }: FastifyRequest): Promise<number[]> => {
    // Fastify listens once it has called the first hooks, and where these do not wait the handler is called by then.
    await Promise.resolve()
    return [raw.listenerCount('close'), raw.socket.listenerCount('timeout')]
  }
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, listeners)
    app.get('/hooked', { config: { coalesce: true }, onRequest: async () => {} }, listeners)
    app.get('/own', listeners)
    app.get('/aborts', { config: { coalesce: true }, onRequestAbort: async () => {} }, listeners)
  })
  const seen = async (path: string): Promise<string> => (await server.get(path)).body
  const own = await seen('/own')
  t.same([await seen('/'), await seen('/hooked')], [own, own])
  t.not(await seen('/aborts'), own)
})
