/**
 * Where two rare things meet: a stream and a hook that fails, a client that left and a cookie, a bypass and what it may ask.
 */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import { distinct, held, meet, queue, times, type HeldHandler } from '../fixtures/crowd.js'
import { grounded, leave } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }

t.test('a request that bypasses may ask for all that a coalesced one may', async t => {
  const server = await serve(t, app => {
    app.get('/', ON, async request => {
      request.coalesce?.varyOn('x-tenant')
      const { outcome, leaderId } = request.coalesce ?? {}
      return { outcome, own: leaderId === request.id, signal: request.coalesce?.signal === request.signal, aborted: request.signal.aborted }
    })
  })
  const answer = await server.get('/', { headers: { authorization: 'secret' } })
  t.strictSame(JSON.parse(answer.body), { outcome: 'bypass', own: true, signal: true, aborted: false })
})

t.test('a follower that waits says so, and whom it waits for', async t => {
  const handler = held()
  const requests: FastifyRequest[] = []
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => { requests.push(request) })
    app.get('/', ON, handler)
  })
  const answers = await queue(server, times(2, server, '/'))
  const [leader, follower] = requests
  t.strictSame(requests.map(request => [request.coalesce?.outcome, request.coalesce?.leaderId]), [['leader', leader?.id], ['follower', leader?.id]])
  t.equal(follower?.signal.aborted, false)
  handler.gate.open()
  await Promise.all(answers)
})

t.test('a handler sees of the original URL only what the key covers, even if it was asked for before', async t => {
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => { t.match(request.originalUrl, '/old?q=1&utm=2') })
    app.get('/new', { config: { coalesce: { query: ['q'] } } }, async request => [request.originalUrl, request.url, request.query])
  }, {}, { rewriteUrl: request => Object.assign(request, { originalUrl: request.url }).url?.replace('/old', '/new') ?? '' })
  const answer = await server.get('/old?q=1&utm=2')
  t.strictSame(JSON.parse(answer.body), ['/old?q=1', '/new?q=1', { q: '1' }])
})

/** A follower waits; its leader's client has left, and the handler goes on only then. */
async function deserted (t: Parameters<typeof serve>[0], handler: HeldHandler) {
  const requests: FastifyRequest[] = []
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => { requests.push(request) })
    app.get('/', ON, handler)
  })
  const [leader, follower] = await queue(server, times(2, server, '/'))
  await leave(leader as never)
  await until(() => requests[0]?.raw.socket.closed === true, 'the end of its connection')
  handler.gate.open()
  return { server, follower }
}

t.test('a leader that asks for its signal after its client left is not told to stop while somebody waits', async t => {
  const handler = held(request => `aborted: ${String(request.signal.aborted)}`)
  const { follower } = await deserted(t, handler)
  t.match(await follower, { status: 200, body: 'aborted: false' })
  t.equal(handler.runs, 1)
})

t.test('followers of a leader whose client left, and whose response nobody may have, run for themselves', async t => {
  const handler = held(async (request, reply) => {
    t.equal(request.signal.aborted, false)
    return await reply.header('set-cookie', 'session=1').send('landed')
  })
  const { server, follower } = await deserted(t, handler)
  t.match(await follower, { status: 200, body: 'landed' })
  t.equal(handler.runs, 2)
  await grounded(server.app)
})

for (const [what, onSend] of Object.entries({
  'a cookie': (reply: FastifyReply) => { reply.header('set-cookie', `session=${reply.request.id}`) },
  'an error': () => { throw new Error('broken') }
})) {
  t.test(`a stream to which a later hook adds ${what} is recorded for nobody`, async t => {
    const handler = held(() => Readable.from(['la', 'nded']))
    const failed = new WeakSet<FastifyReply>()
    const server = await serve(t, app => {
      app.addHook('onSend', async (_request, reply) => {
        if (failed.has(reply)) return
        failed.add(reply)
        onSend(reply)
      })
      app.get('/', { exposeHeadRoute: false, ...ON }, handler)
    })
    const answers = await meet(server, handler, times(3, server, '/'))
    t.equal(handler.runs, 3)
    t.equal(distinct(answers.map(({ headers }) => headers['set-cookie'])).length, what === 'a cookie' ? 3 : 1, 'each has its own')
    t.strictSame(distinct(answers.map(({ status }) => status)), [what === 'a cookie' ? 200 : 500])
    await grounded(server.app)
  })
}

t.test('a follower whose reply something else took over is left to it', async t => {
  const handler = held(() => 'landed')
  let parked: FastifyReply | undefined
  const server = await serve(t, app => {
    app.addHook('onRequest', async (request, reply) => { if (request.headers['x-request-id'] !== undefined) parked = reply })
    app.get('/', ON, handler)
  })
  const [leader, taken] = await queue(server, [...times(1, server, '/'), ...times(1, server, '/', { headers: { 'x-request-id': '1' } })])
  parked?.hijack()
  handler.gate.open()
  t.match(await leader, { body: 'landed' })
  parked?.raw.end('taken')
  t.match(await taken, { status: 200, body: 'taken' })
  await grounded(server.app)
})

t.test('a handler that looks for a Cookie header where there is none is shared by those without one', async t => {
  const handler = held(request => request.headers.cookie ?? 'none')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { cookies: ['theme'] } } }, handler) })
  t.strictSame(distinct((await meet(server, handler, times(3, server, '/'))).map(({ body }) => body)), ['none'])
  t.equal(handler.runs, 1)
})
