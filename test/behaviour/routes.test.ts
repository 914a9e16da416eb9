import { connect, type ClientHttp2Session, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { arrivedAt, distinct, held, meet, times } from '../fixtures/crowd.js'
import { certificate } from '../fixtures/certificate.js'
import { serve } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }

t.test('params tell requests of one route apart', async t => {
  const handler = held(request => request.params)
  const server = await serve(t, app => { app.get('/word/:word', ON, handler) })
  const answers = await meet(server, handler,
    ['a', 'b', 'a', 'b', '%61'].map(word => () => server.get(`/word/${word}`)))
  t.strictSame(answers.map(({ body }) => body), ['a', 'b', 'a', 'b', 'a'].map(word => `{"word":"${word}"}`))
  t.equal(handler.runs, 3, 'a path that is spelled otherwise is another one')
})

t.test('versions of a route are apart', async t => {
  const one = held(() => 'one')
  const two = held(() => 'two')
  const server = await serve(t, app => {
    app.get('/', { ...ON, constraints: { version: '1.0.0' } }, one)
    app.get('/', { ...ON, constraints: { version: '2.0.0' } }, two)
  })
  one.gate.open()
  const answers = await meet(server, two,
    ['1.0.0', '2.0.0', '1.x', '2.0.0'].map(version => () => server.get('/', { headers: { 'accept-version': version } })))
  t.strictSame(answers.map(({ body }) => body), ['one', 'two', 'one', 'two'])
  t.equal(two.runs, 1)
})

t.test('hosts are apart, by constraint and without one', async t => {
  const a = held(() => 'a')
  const rest = held(() => 'rest')
  const server = await serve(t, app => {
    app.get('/', { ...ON, constraints: { host: 'a.example' } }, a)
    app.get('/', ON, rest)
  })
  a.gate.open()
  const answers = await meet(server, rest,
    ['a.example', 'b.example', 'c.example', 'c.example:81', 'b.example'].map(host => () => server.get('/', { headers: { host } })))
  t.strictSame(answers.map(({ body }) => body), ['a', 'rest', 'rest', 'rest', 'rest'])
  t.equal(rest.runs, 3)
})

t.test('a custom constraint keeps routes apart', async t => {
  const tenant = {
    name: 'tenant',
    storage () {
      const handlers = new Map<string, unknown>()
      return {
        get: (value: string) => handlers.get(value) ?? null,
        set: (value: string, handler: unknown) => { handlers.set(value, handler) }
      }
    },
    deriveConstraint: (request: { headers: Record<string, unknown> }) => request.headers['x-tenant'],
    validate () {}
  }
  const app = Fastify({ routerOptions: { constraints: { tenant: tenant as never } } })
  t.teardown(() => app.close())
  const one = held(() => 'one')
  const two = held(() => 'two')
  await app.register(coalesce)
  app.get('/', { ...ON, constraints: { tenant: '1' } }, one)
  app.get('/', { ...ON, constraints: { tenant: '2' } }, two)
  const answers = ['1', '2', '1', '2'].map(tenant => app.inject({ url: '/', headers: { 'x-tenant': tenant } }).then(({ body }) => body))
  await arrivedAt(app.coalesce.stats, 4)
  one.gate.open()
  two.gate.open()
  t.strictSame(await Promise.all(answers), ['one', 'two', 'one', 'two'])
  t.strictSame([one.runs, two.runs], [1, 1])
})

t.test('one route of several methods coalesces each by itself and lets the others pass', async t => {
  const handler = held(request => request.method)
  const server = await serve(t, app => { app.route({ method: ['GET', 'PUT'], url: '/', ...ON, handler }) })
  const answers = await meet(server, handler, [...times(2, server, '/'), ...times(2, server, '/', { method: 'PUT' })])
  t.strictSame(answers.map(({ body }) => body), ['GET', 'GET', 'PUT', 'PUT'])
  t.equal(handler.runs, 3)
  t.match(server.app.coalesce.stats(), { totalRequests: 4, deduplicatedRequests: 1, actualExecutions: 3 })
})

t.test('callback handlers and handlers that call reply.send coalesce', async t => {
  const handler = held()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', ON, (request, reply) => {
      runs++
      handler(request, reply).then(answer => { reply.code(203).send(answer) }, () => {})
    })
  })
  const answers = await meet(server, handler, times(4, server, '/'))
  t.strictSame(distinct(answers.map(({ status, body }) => [status, body])), [[203, '{"hello":"world"}']])
  t.equal(runs, 1)
})

t.test('inject coalesces', async t => {
  const handler = held()
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(coalesce)
  app.get('/', ON, handler)
  const answers: Array<Promise<LightMyRequestResponse>> = Array.from({ length: 5 }, async () => await app.inject('/'))
  await arrivedAt(app.coalesce.stats, 5)
  handler.gate.open()
  t.strictSame(distinct((await Promise.all(answers)).map(({ statusCode, body }) => [statusCode, body])), [[200, '{"hello":"world"}']])
  t.equal(handler.runs, 1)
})

interface StreamAnswer {
  readonly status: unknown
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Sends a request on an HTTP/2 session. */
async function stream (session: ClientHttp2Session, headers: OutgoingHttpHeaders): Promise<StreamAnswer> {
  return await new Promise((resolve, reject) => {
    const request = session.request(headers)
    let answer: IncomingHttpHeaders = {}
    let body = ''
    request.setEncoding('utf8')
      .on('response', head => { answer = head })
      .on('data', (chunk: string) => { body += chunk })
      .on('end', () => { resolve({ status: answer[':status'], headers: answer, body }) })
      .on('error', reject)
      .end()
  })
}

for (const secure of [false, true]) {
  t.test(`requests over HTTP/2 coalesce, ${secure ? 'with' : 'without'} TLS`, async t => {
    const app = (secure
      ? Fastify({ http2: true, https: { ...certificate('server'), allowHTTP1: true } })
      : Fastify({ http2: true })) as unknown as FastifyInstance
    const handler = held((request, reply) => {
      reply.header('x-run', request.id)
      return { language: request.headers['accept-language'] ?? null, authority: request.headers[':authority'] }
    })
    await app.register(coalesce)
    app.get('/', { config: { coalesce: { headers: ['accept-language'] } } }, handler)
    await app.listen({ port: 0, host: '127.0.0.1' })
    t.teardown(() => app.close())
    const origin = `${secure ? 'https' : 'http'}://127.0.0.1:${(app.server.address() as AddressInfo).port}`
    const sessions = [1, 2].map(() => connect(origin, { rejectUnauthorized: false }))
    t.teardown(() => { for (const session of sessions) session.close() })

    const answers = sessions.flatMap(session => ['en', 'de', 'en'].map(language => stream(session, { ':path': '/', 'accept-language': language })))
    await arrivedAt(app.coalesce.stats, 6)
    handler.gate.open()
    const found = await Promise.all(answers)
    const authority = origin.slice(origin.indexOf('//') + 2)
    t.strictSame(found.map(({ status, body }) => [status, body]),
      ['en', 'de', 'en', 'en', 'de', 'en'].map(language => [200, JSON.stringify({ language, authority })]))
    t.equal(distinct(found.map(({ headers }) => headers['x-run'])).length, 2)
    t.equal(handler.runs, 2)
  })
}
