/**
 * What Fastify or Node remembers of a request's headers after a first look counts as read whenever a handler takes it up.
 */
import { createServer } from 'node:http'
import accepts from '@fastify/accepts'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { held, meet } from '../fixtures/crowd.js'
import { outcomes } from '../fixtures/endings.js'
import { keeping } from '../fixtures/kept.js'
import { lines } from '../fixtures/lines.js'
import { listen, serve } from '../fixtures/server.js'

interface Remembered {
  readonly header: string
  readonly values: readonly [string, string]
  readonly look: (request: FastifyRequest) => unknown
}

/** What the first look keeps. */
const remembered: Record<string, Remembered> = {
  'request.mediaType': { header: 'content-type', values: ['text/one', 'text/two'], look: ({ mediaType }) => mediaType },
  'request.accepts()': { header: 'accept-language', values: ['fr', 'de'], look: request => request.accepts().languages()[0] },
  'an object of headers that a hook kept': {
    header: 'user-agent', values: ['one', 'two'], look: request => (request.getDecorator<Record<string, string>>('headersThen'))['user-agent']
  }
}

for (const [what, { header, values, look }] of Object.entries(remembered)) {
  t.test(`${what}, which a hook looks at first, answers each client by its own ${header}, kept or not`, async t => {
    const handler = held(look)
    const server = await serve(t, async app => {
      await app.register(accepts)
      app.decorateRequest('headersThen', null)
      app.addHook('onRequest', async request => {
        request.setDecorator('headersThen', request.headers)
        look(request)
      })
      app.get('/', { config: { coalesce: { ttl: '1m' } } }, handler)
    })
    const own = [values[0], values[1], values[0], values[1]]
    const answers = await meet(server, handler, own.map(value => () => server.get('/', { headers: { [header]: value } })))
    t.strictSame([answers.map(({ body }) => body), handler.runs], [own, 2])
    t.equal((await server.get('/', { headers: { [header]: values[0] } })).body, values[0])
    t.equal(handler.runs, 2)
  })
}

t.test('a run for HEAD that looks at what is remembered tells nothing of what is kept for others', async t => {
  const server = await keeping(t, {
    route: { staleIfError: '1h' },
    before: app => { app.addHook('onRequest', async ({ mediaType }) => { String(mediaType) }) },
    handler: (_run, request, reply) => {
      reply.header('etag', '"one"')
      if (request.method === 'HEAD') reply.header('x-type', String(request.mediaType))
      return 'body'
    }
  })
  await server.get('/thing/1')
  server.clock.advance(61_000)
  const head = await server.get('/thing/1', { method: 'HEAD', headers: { 'content-type': 'text/mine' } })
  t.equal(head.headers['x-type'], 'text/mine')
  t.equal((await server.get('/thing/1')).headers['x-type'], undefined)
  t.equal(server.hits(), 0)
})

for (const first of ['before the hooks', 'in a hook'] as const) {
  t.test(`headersDistinct that was made ${first} is watched as the headers are`, async t => {
    const handler = held(({ raw }) => raw.headersDistinct['x-tenant']?.[0])
    const app = Fastify({
      serverFactory: receive => createServer((request, response) => {
        if (first === 'before the hooks') t.ok(request.headersDistinct)
        receive(request, response)
      })
    }) as unknown as FastifyInstance
    await app.register(coalesce, { metrics: true })
    app.addHook('onRequest', async ({ raw }) => { if (first === 'in a hook') t.ok(raw.headersDistinct) })
    app.get('/', { config: { coalesce: true } }, handler)
    const server = await listen(t, app)
    const own = ['acme', 'umbrella', 'acme']
    const answers = await meet(server, handler, own.map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
    // In a hook it is made of all the raw headers.
    t.strictSame([answers.map(({ body }) => body), handler.runs], [own, first === 'in a hook' ? 3 : 2])
  })
}

t.test('a body of which the parser left something shares nothing, for trailers may come, and a handler may read on', async t => {
  const handler = held(async ({ raw }) => {
    let rest = ''
    for await (const chunk of raw) rest += String(chunk)
    return rest.slice(0, 3)
  })
  const server = await serve(t, app => {
    app.addContentTypeParser('text/lines', (_request, payload, done) => {
      payload.once('readable', () => { done(null, String(payload.read(2))) })
    })
    app.post('/', { config: { coalesce: { body: true } } }, handler)
  })
  const own = ['one', 'two']
  const answers = await meet(server, handler, own.map(each => () => server.get('/', {
    method: 'POST', headers: { 'content-type': 'text/lines' }, body: `a\n${each.repeat(100_000)}`
  })))
  t.strictSame(answers.map(({ body }) => body), own)
  t.same(await outcomes(server.app), { 'bypass body-unknown': 2 })
})

/** A validator as zod's and others are: it answers with a value of its own. */
const paged = () => (data: Record<string, unknown>) => ({ value: { 'x-page': Number(data['x-page']) } })
const SCHEMA = { headers: { type: 'object', properties: { 'x-page': { type: 'integer' } } } }

for (const hooked of [false, true]) {
  t.test(`a validator that answers with headers of its own leaves it to the handler${hooked ? ', and hooks,' : ''} which of them count`, async t => {
    const log = lines('warn')
    const handler = held(({ headers }) => `page ${String(headers['x-page'])}`)
    const server = await serve(t, app => {
      app.setValidatorCompiler(paged as never)
      if (hooked) app.addHook('preHandler', async ({ headers }) => { String(headers['x-tenant']) })
      app.get('/', { config: { coalesce: true }, schema: SCHEMA }, handler)
    }, {}, { logger: log.logger })
    const ask = (page: string, tenant: string, agent: string) => () =>
      server.get('/', { headers: { 'x-page': page, 'x-tenant': tenant, 'user-agent': agent } })
    const answers = await meet(server, handler, [ask('1', 'a', 'one'), ask('2', 'a', 'two'), ask('01', 'a', 'three'), ask('1', 'b', 'four')])
    t.strictSame(answers.map(({ body }) => body), ['page 1', 'page 2', 'page 1', 'page 1'])
    // Hooks were there when the validator read it: what it was then counts as well.
    t.equal(handler.runs, hooked ? 4 : 2)
    t.strictSame(log.event('reads-all-headers'), [])
  })
}

t.test('a handler that takes all headers has read them, also where a validator has put some of its own among them', async t => {
  const handler = held(({ headers }) => ({ ...headers })['x-tenant'])
  const server = await serve(t, app => {
    app.setValidatorCompiler(paged as never)
    app.get('/', { config: { coalesce: true }, schema: SCHEMA }, handler)
  })
  const own = ['a', 'b', 'a']
  const answers = await meet(server, handler, own.map(tenant => () => server.get('/', { headers: { 'x-page': '1', 'x-tenant': tenant } })))
  t.strictSame([answers.map(({ body }) => body), handler.runs], [own, 3])
})

for (const [what, route] of Object.entries({
  'in its key': { headers: ['x-page'] }, 'that do not matter': { learnVary: { ignore: ['x-page'] } }
})) {
  t.test(`a validator that answers with headers ${what} leaves a route one run`, async t => {
    const handler = held(({ headers }) => typeof headers['x-page'])
    const server = await serve(t, app => {
      app.setValidatorCompiler(paged as never)
      app.get('/', { config: { coalesce: route }, schema: SCHEMA }, handler)
    })
    const answers = await meet(server, handler, ['one', 'two'].map(agent => () => server.get('/', { headers: { 'x-page': '1', 'user-agent': agent } })))
    t.strictSame([answers.map(({ body }) => body), handler.runs], [['number', 'number'], 1])
  })
}

t.test('on a route that is not coalesced, headers that are put beside the client\'s are Fastify\'s own affair', async t => {
  const server = await serve(t, app => {
    app.setValidatorCompiler(paged as never)
    app.get('/', { schema: SCHEMA }, async request => [request.headers['x-page'], Object.hasOwn(request, 'headers')])
  })
  t.equal((await server.get('/', { headers: { 'x-page': '1' } })).body, '[1,false]')
})
