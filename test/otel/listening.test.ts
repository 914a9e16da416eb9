/**
 * Tracing only listens: it can be stopped, it throws nothing, and it leaves nothing behind.
 */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { channel } from 'node:diagnostics_channel'
import * as api from '@opentelemetry/api'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { traceCoalescing } from '../../lib/otel/index.js'
import type { TracingApi, TracingSpan } from '../../types/tracing.js'
import { held, queue, times } from '../fixtures/crowd.js'
import { waiting } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { listen, type TestServer } from '../fixtures/server.js'
import { complaints, spans, trace, traced, tracer } from '../fixtures/tracing.js'

const CHANNELS = ['hold', 'board', 'land', 'cut', 'settle', 'peer-lost', 'refresh'].map(name => channel(`fastify-coalesce:${name}`))
const heard = (): string[] => CHANNELS.filter(({ hasSubscribers }) => hasSubscribers).map(({ name }) => String(name))

/** An API with other parts. */
const withTrace = (parts: object): TracingApi => ({
  trace: { getTracer: api.trace.getTracer.bind(api.trace), getSpan: api.trace.getSpan, isSpanContextValid: api.trace.isSpanContextValid, ...parts }, context: api.context, diag: api.diag
})

/** An app of which only the server is traced: a span is active where each request begins. */
async function tracedByServer (t: Parameters<typeof listen>[0], routes: (app: FastifyInstance) => unknown): Promise<TestServer> {
  const app = Fastify({
    serverFactory: (handler: RequestListener) => createServer((request: IncomingMessage, response: ServerResponse) => {
      const span = tracer.startSpan('request', { attributes: { 'test.order': Number(request.headers['x-order']) } })
      response.on('close', () => { span.end() })
      api.context.with(api.trace.setSpan(api.context.active(), span), () => { handler(request, response) })
    })
  }) as unknown as FastifyInstance
  await app.register(coalesce, { metrics: true })
  await routes(app)
  return await listen(t, app)
}

t.test('without @fastify/otel the span that is active where a request arrives is its own, even if it waits in a queue', async t => {
  trace(t)
  const handler = held()
  const server = await tracedByServer(t, app => { app.get('/:word', { config: { coalesce: { queue: { maxRuns: 1 } } } }, handler) })
  const at = (path: string, order: number) => () => server.get(path, { headers: { 'x-order': String(order) } })
  const answers = await queue(server, [at('/a', 1), at('/b', 2), at('/b', 3)])
  handler.gate.open()
  await Promise.all(answers)
  await spans.ended()
  const [, b] = spans.requests()
  t.strictSame(spans.said(spans.requests()), [
    { role: 'leader', followers: 0, outcome: 'leader', reason: 'shared' },
    { role: 'leader', followers: 1, outcome: 'leader', reason: 'shared' },
    { role: 'follower', outcome: 'follower', reason: 'shared' }
  ])
  t.strictSame(spans.requests().map(spans.links), [[], [], [b?.spanContext().spanId]])
})

t.test('a client that leaves has its span ended by who made it', async t => {
  trace(t)
  const handler = held()
  const server = await tracedByServer(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const [one, two] = await queue(server, times(2, server, '/'))
  two?.request.destroy()
  await two?.catch(() => {})
  await until(() => spans.waits().length === 1)
  handler.gate.open()
  await one
  await spans.ended()
  t.strictSame(complaints, [])
})

t.test('links and waits can be left out, each by itself', async t => {
  for (const options of [{ links: false }, { waits: false }]) {
    const stop = trace(t, options)
    const handler = held()
    const server = await traced(t, 'ours', app => { app.get('/', { config: { coalesce: true } }, handler) })
    const answers = await queue(server, times(2, server, '/'))
    handler.gate.open()
    await Promise.all(answers)
    await spans.ended()
    t.equal(spans.waits().length, options.waits === false ? 0 : 1)
    t.strictSame([...spans.requests(), ...spans.waits()].flatMap(spans.links).length, options.links === false ? 0 : 1)
    stop()
  }
})

t.test('once it is stopped nothing is heard, and waits that go on have ended', async t => {
  t.strictSame(heard(), [])
  const stop = trace(t)
  t.strictSame(heard().map(name => name.replace('fastify-coalesce:', '')), ['hold', 'board', 'land', 'settle'])
  const handler = held()
  const server = await traced(t, 'ours', app => { app.get('/', { config: { coalesce: true } }, handler) })
  const answers = await queue(server, times(3, server, '/'))
  stop()
  stop()
  t.strictSame(heard(), [])
  t.equal(spans.waits().length, 2)
  handler.gate.open()
  await Promise.all(answers)
  await spans.ended()
  t.equal(spans.waits().length, 2)
  t.strictSame(complaints, [])
})

t.test('a tracer that throws is reported once, and no request knows of it', async t => {
  const broken = (): never => { throw new Error('broken tracer') }
  const unheard: unknown[] = []
  const note = (error: unknown): void => { unheard.push(error) }
  process.on('uncaughtExceptionMonitor', note)
  t.teardown(() => { process.off('uncaughtExceptionMonitor', note) })
  for (const parts of [{ getTracer: broken }, { getTracer: () => ({ startSpan: broken }) }, { getSpan: broken }]) {
    const reports: unknown[][] = []
    const of = { ...withTrace(parts), diag: { error (...told: unknown[]) { reports.push(told) } } }
    const stop = trace(t, undefined, of as TracingApi)
    const handler = held()
    const server = await tracedByServer(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
    const answers = await queue(server, times(3, server, '/'))
    handler.gate.open()
    t.strictSame((await Promise.all(answers)).map(({ status }) => status), [200, 200, 200])
    t.match(reports, [[/^fastify-coalesce: /, { message: 'broken tracer' }]])
    stop()
  }
  const stop = trace(t, undefined, { ...withTrace({ getSpan: broken }), diag: { error: broken } })
  const server = await tracedByServer(t, app => { app.get('/', { config: { coalesce: true } }, async () => 'ok') })
  t.equal((await server.get('/')).status, 200)
  stop()
  t.strictSame(unheard, [])
})

t.test('a wait that cannot be ended keeps nobody from stopping', async t => {
  const reports: string[] = []
  const startSpan = (): TracingSpan => ({ end () { throw new Error('broken span') } }) as unknown as TracingSpan
  const of = { ...withTrace({ getTracer: () => ({ startSpan }) }), diag: { error (message: string) { reports.push(message) } } }
  const stop = trace(t, undefined, of)
  const handler = held()
  const server = await traced(t, 'ours', app => { app.get('/', { config: { coalesce: true } }, handler) })
  const answers = await queue(server, times(3, server, '/'))
  stop()
  t.equal(reports.length, 1)
  handler.gate.open()
  await Promise.all(answers)
})

t.test('spans without addLink, as before 1.9 of the API, have their links by their waits', async t => {
  const older = (span: api.Span | undefined): TracingSpan | undefined => span === undefined ? undefined : Object.create(span, { addLink: { value: undefined } }) as TracingSpan
  trace(t, undefined, withTrace({ getSpan: (of: api.Context) => older(api.trace.getSpan(of)) }))
  const handler = held()
  const server = await tracedByServer(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const answers = await queue(server, times(2, server, '/'))
  handler.gate.open()
  await Promise.all(answers)
  await spans.ended()
  t.strictSame(spans.requests().flatMap(spans.links), [])
  t.equal(spans.waits().flatMap(spans.links).length, 1)
})

t.test('a leader whose span is none is linked to by nobody', async t => {
  trace(t)
  const handler = held()
  const app = Fastify() as unknown as FastifyInstance
  const request = tracer.startSpan('request')
  const own = [api.trace.wrapSpanContext(api.INVALID_SPAN_CONTEXT), request]
  await app.register(coalesce, { metrics: true })
  app.addHook('onRequest', (_request, _reply, done) => {
    api.context.with(api.trace.setSpan(api.context.active(), own.shift() as api.Span), done)
  })
  app.get('/', { config: { coalesce: true } }, handler)
  const server = await listen(t, app)
  const answers = await queue(server, times(2, server, '/'))
  handler.gate.open()
  await Promise.all(answers)
  request.end()
  await spans.ended()
  t.strictSame([...spans.requests(), ...spans.waits()].map(spans.links), [[], []])
})

t.test('what is wrong in the arguments is told at once', async t => {
  const wrong: Array<[unknown[], string]> = [
    [[], "traceCoalescing api must be what @opentelemetry/api exports: import * as api from '@opentelemetry/api', got undefined"],
    [[null], "traceCoalescing api must be what @opentelemetry/api exports: import * as api from '@opentelemetry/api', got null"],
    [[api.trace], "traceCoalescing api must be what @opentelemetry/api exports: import * as api from '@opentelemetry/api', got an object"],
    [[api, 'all'], "traceCoalescing options must be an object, got 'all'"],
    [[api, null], 'traceCoalescing options must be an object, got null'],
    [[api, []], 'traceCoalescing options must be an object, got an array'],
    [[api, { wait: true }], "traceCoalescing options must be made of links and waits, got 'wait'"],
    [[api, { waits: 1 }], 'traceCoalescing options.waits must be true or false, got 1']
  ]
  for (const [args, message] of wrong) t.throws(() => traceCoalescing(...args as [typeof api]), { code: 'FST_COALESCE_INVALID_OPTION', message })
  t.strictSame(heard(), [])
  traceCoalescing(api, { links: undefined } as object)()
  await waiting((await traced(t, 'ours', () => {})).app, 0)
})
