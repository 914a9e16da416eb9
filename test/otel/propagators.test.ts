/**
 * What @fastify/otel reads of requests keeps nobody from sharing but where docs/tracing.md says so, with what to do.
 */
import { createServer, type RequestListener } from 'node:http'
import * as api from '@opentelemetry/api'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { held, queue } from '../fixtures/crowd.js'
import { ORDERS, spans, trace, traced, tracer, type First, type OtelOptions } from '../fixtures/tracing.js'

/** As Jaeger's, for its baggage. */
const LISTING: api.TextMapPropagator = {
  inject () {},
  fields: () => [],
  extract (context, carrier, getter) {
    getter.keys(carrier)
    return context
  }
}

/** A server that is traced by what comes before Fastify. */
const TRACED_BEFORE = {
  serverFactory: (handler: RequestListener) => createServer((request, response) => {
    const span = tracer.startSpan('GET')
    response.on('close', () => { span.end() })
    api.context.with(api.trace.setSpan(api.context.active(), span), () => { handler(request, response) })
  })
} as unknown as FastifyServerOptions

async function runs (
  t: Test, first: First, coalesce: CoalesceRouteOptions | true, paths: readonly string[], fastify: FastifyServerOptions = {}, method = 'GET', otel: OtelOptions = {}
): Promise<number> {
  const handler = held()
  const server = await traced(t, first, (app: FastifyInstance) => { app.get('/', { config: { coalesce } }, handler) }, { warnings: false }, fastify, otel)
  const [one, ...others] = paths
  const ask = (path: string, method: string, id: number) => () =>
    server.get(path, { method, headers: { traceparent: `00-0af7651916cd43dd8448eb211c80319${id}-b7ad6b716920333${id}-01`, baggage: `a=${id}`, 'user-agent': String(id) } })
  const answers = await queue(server, [ask(one as string, 'GET', 0), ...others.map((path, id) => ask(path, method, id + 1))])
  handler.gate.open()
  await Promise.all(answers)
  await spans.ended()
  return handler.runs
}

for (const first of ORDERS) {
  t.test(`requests of different traces share a run with W3C's propagators, ${first} first`, async t => {
    trace(t)
    t.equal(await runs(t, first, true, ['/', '/', '/']), 1)
  })

  t.test(`a propagator that lists all headers keeps requests from sharing, but where somebody else reads them, or the route trusts its responses, ${first} first`, async t => {
    trace(t)
    api.propagation.disable()
    api.propagation.setGlobalPropagator(LISTING)
    t.teardown(() => { api.propagation.disable() })
    t.equal(await runs(t, first, true, ['/', '/', '/']), 3)
    t.equal(await runs(t, first, true, ['/', '/', '/'], TRACED_BEFORE), 1)
    t.equal(await runs(t, first, { learnVary: false }, ['/', '/', '/']), 1)
  })

  t.test(`the whole URL that is read for an attribute counts, unless it is said to make no difference, ${first} first`, async t => {
    trace(t)
    t.equal(await runs(t, first, { query: ['q'] }, ['/?q=1&a=1', '/?q=1&a=2']), 2)
    t.equal(await runs(t, first, { query: ['q'], learnVary: { ignore: ['?'] } }, ['/?q=1&a=1', '/?q=1&a=2']), 1)
  })
}

t.test('HEAD shares a run where its handler is known to be that of GET', async t => {
  trace(t)
  t.equal(await runs(t, 'ours', true, ['/', '/'], {}, 'HEAD'), 1)
  t.equal(await runs(t, 'otel', true, ['/', '/'], {}, 'HEAD'), 2)
  t.equal(await runs(t, 'otel', true, ['/', '/'], {}, 'HEAD', { instrumentHandler: false }), 1)
})
