/**
 * A follower is a request like any other: whatever else answers it, or keeps it from being answered, is between it and its client.
 */
import { ReadableStream } from 'node:stream/web'
import type { FastifyReply } from 'fastify'
import t from 'tap'
import { distinct, errorOf, held, meet, queue, times } from '../fixtures/crowd.js'
import { grounded, outcomes } from '../fixtures/endings.js'
import { serve } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }

t.test('a follower that something else answers leaves its flight with that answer, and the others get theirs', async t => {
  const handler = held(() => 'landed')
  let parked: FastifyReply | undefined
  const server = await serve(t, app => {
    app.addHook('onRequest', async (request, reply) => { if (request.headers['x-request-id'] !== undefined) parked = reply })
    app.get('/', ON, handler)
  })
  const [leader, impatient, follower] = await queue(server, [
    ...times(1, server, '/'), ...times(1, server, '/', { headers: { 'x-request-id': '1' } }), ...times(1, server, '/')
  ])
  parked?.code(503).send('enough')
  t.match(await impatient, { status: 503, body: 'enough' })
  handler.gate.open()
  t.match(await Promise.all([leader, follower]), [{ status: 200, body: 'landed' }, { status: 200, body: 'landed' }])
  t.equal(handler.runs, 1)
  t.strictSame(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 1, 'follower answered-elsewhere': 1 })
  await grounded(server.app)
})

t.test('a follower whose reply something else took over does not take the place of its leader', async t => {
  const handler = held(() => {
    if (handler.runs === 1) throw new Error('broken')
    return 'landed'
  })
  let parked: FastifyReply | undefined
  const server = await serve(t, app => {
    app.addHook('onRequest', async (request, reply) => { if (request.headers['x-request-id'] !== undefined) parked = reply })
    app.get('/', { config: { coalesce: { onError: 'promote' } } }, handler)
  })
  const [leader, taken, follower] = await queue(server, [
    ...times(1, server, '/'), ...times(1, server, '/', { headers: { 'x-request-id': '1' } }), ...times(1, server, '/')
  ])
  parked?.hijack()
  handler.gate.open()
  t.match(await leader, { status: 500 })
  t.match(await follower, { status: 200, body: 'landed' })
  parked?.raw.end('taken')
  t.match(await taken, { status: 200, body: 'taken' })
  t.equal(handler.runs, 2)
  t.match(await outcomes(server.app), { 'follower answered-elsewhere': 1 })
  await grounded(server.app)
})

t.test('a follower that something else has answered past its reply is not answered again, though its connection does not tell yet', async t => {
  const handler = held(() => 'landed')
  let parked: FastifyReply | undefined
  const lines: string[] = []
  const server = await serve(t, app => {
    app.addHook('onRequest', async (request, reply) => { if (request.headers['x-request-id'] !== undefined) parked = reply })
    app.get('/', ON, handler)
  }, {}, { logger: { level: 'warn', stream: { write: line => { lines.push(line) } } } })
  const [leader, taken] = await queue(server, [...times(1, server, '/'), ...times(1, server, '/', { headers: { 'x-request-id': '1' } })])
  parked?.raw.end('taken')
  handler.gate.open()
  t.match(await Promise.all([leader, taken]), [{ body: 'landed' }, { status: 200, body: 'taken' }])
  t.strictSame(lines, [])
  await grounded(server.app)
})

t.test('a follower whose response cannot be sent is cut off, and nobody else is', async t => {
  const handler = held(() => 'landed')
  const lines: string[] = []
  const server = await serve(t, app => {
    app.addHook('onRequest', async (request, reply) => {
      if (request.headers['x-request-id'] !== undefined) reply.header = () => { throw new Error('broken') }
    })
    app.get('/', ON, handler)
  }, {}, { logger: { level: 'error', stream: { write: line => { lines.push(line) } } } })
  const [leader, broken, follower] = await queue(server, [
    ...times(1, server, '/'), ...times(1, server, '/', { headers: { 'x-request-id': '1' } }), ...times(1, server, '/')
  ])
  const cutOff = errorOf(async () => { await broken })
  handler.gate.open()
  t.match(await Promise.all([leader, follower]), [{ body: 'landed' }, { body: 'landed' }])
  t.match(await cutOff, { code: 'ECONNRESET' })
  t.match(lines.map(line => JSON.parse(line) as unknown), [{ msg: 'coalesce: a response could not be sent', err: { message: 'broken' } }])
  await grounded(server.app)
})

t.test('a stream that Fastify cannot send is nobody\'s recording: each request gets the error of its own run', async t => {
  const handler = held(() => {
    const stream = new ReadableStream()
    stream.getReader()
    return stream
  })
  const server = await serve(t, app => { app.get('/', ON, handler) })
  const answers = await meet(server, handler, times(3, server, '/'))
  t.strictSame(distinct(answers.map(({ status }) => status)), [500])
  t.equal(handler.runs, 3)
  await grounded(server.app)
})

t.test('a handler that reads the Cookie header may be shared by those who carry no other cookies than those of the key', async t => {
  const handler = held(request => request.headers.cookie ?? 'none')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { cookies: ['theme'] } } }, handler) })
  const answers = await meet(server, handler, [
    ...times(2, server, '/', { headers: { cookie: 'theme=dark' } }), ...times(2, server, '/', { headers: { cookie: 'theme=light' } })
  ])
  t.strictSame(answers.map(({ body }) => body), ['theme=dark', 'theme=dark', 'theme=light', 'theme=light'])
  t.equal(handler.runs, 2)
})

t.test('a handler that reads the Authorization header is shared by those whom the key tells to be the same', async t => {
  const handler = held(request => request.headers.authorization ?? 'none')
  const identity = (request: { headers: { authorization?: string } }): string => request.headers.authorization ?? 'nobody'
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { identity } } }, handler) })
  const answers = await meet(server, handler, [
    ...times(2, server, '/', { headers: { authorization: 'ada' } }), ...times(2, server, '/', { headers: { authorization: 'grace' } })
  ])
  t.strictSame(answers.map(({ body }) => body), ['ada', 'ada', 'grace', 'grace'])
  t.equal(handler.runs, 2)
})

t.test('a handler that reads a Cookie header of which the identity says nothing is not shared by those who carry another', async t => {
  const handler = held(request => request.headers.cookie ?? 'none')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { identity: () => 'everybody' } } }, handler) })
  const answers = await meet(server, handler, [
    ...times(2, server, '/', { headers: { cookie: 'session=1' } }), ...times(2, server, '/', { headers: { cookie: 'session=2' } })
  ])
  t.strictSame(answers.map(({ body }) => body), ['session=1', 'session=1', 'session=2', 'session=2'])
})

t.test('a route that is keyed by its body cannot wait where there is no body yet', async t => {
  const error = await errorOf(() => serve(t, app => {
    app.post('/', { config: { coalesce: { body: true, hook: 'onRequest' } } }, async () => 'landed')
  }))
  t.match(error, { code: 'FST_COALESCE_INVALID_OPTION', message: /hook.*'auto' or 'preHandler', because there is no body before/ })
})
