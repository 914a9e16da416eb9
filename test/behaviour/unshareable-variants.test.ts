/**
 * A client whose response cannot be shared spoils its own variant, and nobody else's.
 */
import t from 'tap'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { distinct, held, meet, queue, times } from '../fixtures/crowd.js'
import { getFrom, outcomes } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

const BAD = { headers: { 'x-mode': 'bad' } }

/** Answers one kind of request with what cannot be shared. */
type Spoiling = (request: FastifyRequest, reply: FastifyReply) => unknown

const spoilers: Record<string, Spoiling> = {
  'a 400': (_request, reply) => reply.code(400).send('own'),
  'a 400, having looked at its address for a log': (request, reply) => reply.code(400).send(request.ip === '' ? '' : 'own'),
  'a cookie': (_request, reply) => reply.header('set-cookie', 'a=1').send('own'),
  'a Vary of *': (_request, reply) => reply.header('vary', '*').send('own'),
  'what it made of all headers': request => Object.keys(request.headers).length > 0 ? 'own' : '',
  'a hijacked reply': (_request, reply) => {
    reply.hijack()
    reply.raw.end('own')
  },
  'what it writes past its reply': (_request, reply) => {
    reply.raw.end('own')
  }
}

for (const [what, spoil] of Object.entries(spoilers)) {
  const app = async (test: Parameters<typeof serve>[0]) => {
    const handler = held((request, reply) => request.headers['x-mode'] === 'bad' ? spoil(request, reply) : 'for all')
    return { handler, server: await serve(test, app => { app.get('/', { config: { coalesce: true } }, handler) }) }
  }

  t.test(`one who is answered with ${what} leaves it to the next burst to share one run`, async t => {
    const { handler, server } = await app(t)
    const [first] = await queue(server, times(1, server, '/', BAD))
    await until(() => handler.runs === 1)
    handler.gate.open()
    t.equal((await first)?.body, 'own')
    const answers = await Promise.all(times(40, server, '/').map(send => send()))
    t.strictSame(distinct(answers.map(({ body }) => body)), ['for all'])
    t.notOk('bypass unshareable' in await outcomes(server.app))
    await Promise.all(times(2, server, '/', BAD).map(send => send()))
    t.match(await outcomes(server.app), { 'bypass unshareable': 2 }, 'its own variant parks nobody')
  })

  t.test(`one who leads and is answered with ${what} costs those who wait with it one run, not one each`, async t => {
    const { handler, server } = await app(t)
    const asked = await queue(server, [...times(1, server, '/', BAD), ...times(40, server, '/'), ...times(1, server, '/', BAD)])
    t.equal(handler.runs, 1)
    handler.gate.open()
    const answers = await Promise.all(asked)
    t.strictSame(answers.map(({ body }) => body), ['own', ...Array.from({ length: 40 }, () => 'for all'), 'own'])
    t.equal(handler.runs, 3)
  })
}

t.test('clients at other addresses share, whatever address was looked at for the one whose response cannot be shared', async t => {
  const handler = held((request, reply) => {
    if (request.headers['x-mode'] !== 'bad') return 'for all'
    request.log.info(request.ip)
    return reply.code(400).send('own')
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const bad = getFrom(server, '127.0.0.2', '/', BAD.headers)
  await server.arrived(1)
  const others = Array.from({ length: 10 }, (_, index) => getFrom(server, `127.0.0.${index + 3}`, '/'))
  await server.arrived(11)
  handler.gate.open()
  t.equal(await bad, 'own')
  t.strictSame(distinct(await Promise.all(others)), ['for all'])
  t.equal(handler.runs, 2)
})

t.test('clients who are each answered with what is theirs wait for somebody else once, and then no more', async t => {
  const handlers = [1, 2].map(() => held((request, reply) => reply.header('cache-control', 'no-store').send(request.headers['x-id'])))
  let burst = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (request, reply) => await handlers[burst]?.(request, reply))
  })
  for (const handler of handlers) {
    const ids = Array.from({ length: 10 }, (_, index) => `${burst} ${index}`)
    const before = server.app.coalesce.stats().totalRequests
    const asked = ids.map(id => server.get('/', { headers: { 'x-id': id } }))
    await server.arrived(before + 10)
    t.equal(handler.runs, burst === 0 ? 1 : 10)
    handler.gate.open()
    t.strictSame((await Promise.all(asked)).map(({ body }) => body), ids)
    t.equal(handler.runs, 10)
    burst++
  }
})

t.test('an answer to a condition, which the handler looks at, sends nobody away who asks without one', async t => {
  const handler = held((request, reply) => {
    reply.header('etag', '"1"')
    return request.headers['if-none-match'] === '"1"' ? reply.code(304).send() : 'for all'
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const conditional = { headers: { 'if-none-match': '"1"' } }
  const answers = await meet(server, handler, [...times(1, server, '/', conditional), ...times(20, server, '/')])
  t.strictSame(answers.map(({ status }) => status), [304, ...Array.from({ length: 20 }, () => 200)])
  t.equal(handler.runs, 2)
})
