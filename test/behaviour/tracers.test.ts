/**
 * What a tracer reads that Fastify tells of a request right before its handler is told apart as what a hook reads.
 */
import { channel } from 'node:diagnostics_channel'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import t from 'tap'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { held, meet, type HeldHandler } from '../fixtures/crowd.js'
import { serve, type TestServer } from '../fixtures/server.js'

interface Teardown { teardown (fn: () => unknown): unknown }

const TENANTS = ['acme', 'umbrella', 'acme', 'umbrella']
const made = new WeakMap<FastifyRequest, unknown>()

/** A tracer that makes a tenant of a header. */
function subscribe (t: Teardown): void {
  const start = channel('tracing:fastify.request.handler:start')
  const derive = (message: unknown): void => {
    const { request } = message as { request: FastifyRequest }
    made.set(request, request.headers['x-tenant'])
  }
  start.subscribe(derive)
  t.teardown(() => { start.unsubscribe(derive) })
}

const answer = (request: FastifyRequest): string => String(made.get(request))
const SCHEMA = { querystring: { type: 'object', properties: {} } }

async function ask (server: TestServer, handler: HeldHandler): Promise<unknown> {
  const answers = await meet(server, handler, TENANTS.map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  return [answers.map(({ body }) => body), handler.runs]
}

const routes: Record<string, { readonly coalesce: CoalesceRouteOptions | true, readonly schema?: object }> = {
  'because of a schema': { coalesce: true, schema: SCHEMA },
  'by option': { coalesce: { hook: 'preHandler' } },
  'nowhere but at onRequest': { coalesce: true }
}

for (const [why, { coalesce, schema }] of Object.entries(routes)) {
  t.test(`a header that a tracer reads counts where a route waits before its handler ${why}`, async t => {
    const handler = held(answer)
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce }, ...schema === undefined ? {} : { schema } }, handler)
    })
    subscribe(t)
    t.strictSame(await ask(server, handler), [TENANTS, 2])
  })
}

t.test('a part of the query that the key leaves out counts if a tracer reads it', async t => {
  const start = channel('tracing:fastify.request.handler:start')
  const derive = (message: unknown): void => {
    const { request } = message as { request: FastifyRequest<{ Querystring: { lang?: string } }> }
    made.set(request as FastifyRequest, request.query.lang)
  }
  start.subscribe(derive)
  t.teardown(() => { start.unsubscribe(derive) })
  const handler = held(answer)
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { query: ['q'] } }, schema: { headers: { type: 'object', properties: {} } } }, handler)
  })
  const own = ['fr', 'de', 'fr']
  const answers = await meet(server, handler, own.map(lang => () => server.get(`/?q=1&lang=${lang}`)))
  t.strictSame([answers.map(({ body }) => body), handler.runs], [own, 2])
})

t.test('a tracer that reads nothing keeps nobody from sharing, and one that is gone neither', async t => {
  const start = channel('tracing:fastify.request.handler:start')
  const listen = (): void => {}
  for (const traced of [true, false]) {
    if (traced) start.subscribe(listen)
    else start.unsubscribe(listen)
    const handler = held(() => 'shared')
    const server = await serve(t, app => { app.get('/', { config: { coalesce: true }, schema: SCHEMA }, handler) })
    t.strictSame(await ask(server, handler), [Array(4).fill('shared'), 1])
  }
})

for (const learnVary of [true, false]) {
  t.test(`a tracer that comes while a request is validated may have read all of it${learnVary ? '' : ', but where the route trusts its responses'}`, async t => {
    const handler = held(answer)
    let come = (): void => { subscribe(t) }
    const server = await serve(t, (app: FastifyInstance) => {
      app.setValidatorCompiler(() => () => {
        come()
        come = () => {}
        return true
      })
      app.get('/', { config: { coalesce: { learnVary, ttl: '1m' } }, schema: SCHEMA }, handler)
    })
    handler.gate.open()
    const get = async (tenant: string): Promise<string> => (await server.get('/', { headers: { 'x-tenant': tenant } })).body
    t.equal(await get('acme'), 'acme')
    t.equal(server.app.coalesce.stats().routes[0]?.actualExecutions, 1)
    t.equal(await get('umbrella'), learnVary ? 'umbrella' : 'acme')
  })
}
