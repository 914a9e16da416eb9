import type { IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { held, meet, times } from '../fixtures/crowd.js'
import { getFrom, outcomes } from '../fixtures/endings.js'
import { lines, WARN } from '../fixtures/lines.js'
import { metric, serve } from '../fixtures/server.js'

type Reading = (request: FastifyRequest) => unknown

interface Met {
  readonly bodies: string[]
  readonly runs: number
}

const TENANTS = ['acme', 'umbrella', 'acme', 'umbrella', 'acme']

/** What clients of two tenants get who ask for the same thing at once. */
async function tenants (test: Parameters<typeof serve>[0], read: Reading, config: CoalesceRouteOptions | true = true): Promise<Met> {
  const handler = held(async request => `data of ${String(await read(request))}`)
  const server = await serve(test, app => { app.get('/', { config: { coalesce: config } }, handler) })
  const answers = await meet(server, handler, TENANTS.map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  return { bodies: answers.map(({ body }) => body), runs: handler.runs }
}

const OWN = TENANTS.map(tenant => `data of ${tenant}`)

const readings: Record<string, Reading> = {
  'request.headers': request => request.headers['x-tenant'],
  'request.raw.headers': request => request.raw.headers['x-tenant'],
  destructuring: ({ headers: { 'x-tenant': tenant } }) => tenant,
  'Reflect.get': request => Reflect.get(request.headers, 'x-tenant') as unknown,
  'a property descriptor': request => Object.getOwnPropertyDescriptor(request.headers, 'x-tenant')?.value as unknown,
  'a name that is computed': request => request.headers[['x', 'tenant'].join('-')]
}

for (const [name, read] of Object.entries(readings)) {
  t.test(`tenants told apart by a header read through ${name} never see each other's data, and still share their own`, async t => {
    t.same(await tenants(t, read), { bodies: OWN, runs: 2 })
  })
}

t.test('whether a header is there at all counts as read', async t => {
  const handler = held(request => 'x-beta' in request.headers ? 'beta' : 'stable')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const answers = await meet(server, handler, [undefined, { 'x-beta': '1' }, undefined, { 'x-beta': '1' }].map(headers => () => server.get('/', { headers })))
  t.same([answers.map(({ body }) => body), handler.runs], [['stable', 'beta', 'stable', 'beta'], 2])
})

const enumerations: Record<string, Reading> = {
  'Object.keys': request => Object.keys(request.headers).includes('x-tenant') ? request.headers['x-tenant'] : '',
  'a spread': request => ({ ...request.headers })['x-tenant'],
  'Object.entries': request => Object.entries(request.headers).find(([name]) => name === 'x-tenant')?.[1],
  'for in': request => {
    const copy: Record<string, unknown> = {}
    for (const name in request.headers) copy[name] = request.headers[name]
    return copy['x-tenant']
  },
  'JSON.stringify': request => (JSON.parse(JSON.stringify(request.headers)) as Record<string, string>)['x-tenant'],
  rawHeaders: request => request.raw.rawHeaders[request.raw.rawHeaders.indexOf('x-tenant') + 1],
  headersDistinct: request => request.raw.headersDistinct['x-tenant']?.[0],
  'new Headers': request => new Headers(request.headers as Record<string, string>).get('x-tenant')
}

for (const [name, read] of Object.entries(enumerations)) {
  t.test(`a response of a handler that takes all headers with ${name} is its own client's`, async t => {
    t.same(await tenants(t, read), { bodies: OWN, runs: 5 })
  })
}

t.test('a handler that takes all headers is warned of once', async t => {
  const log = lines('warn')
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async request => ({ ...request.headers }))
  }, {}, { logger: log.logger })
  await server.get('/')
  await server.get('/')
  t.match(log.event('reads-all-headers'), [{ level: WARN, coalesce: { route: '/' } }])
  t.equal(log.coalesce().length, 1)
})

t.test('a key that covers the header needs no second run to learn it', async t => {
  const handler = held(request => `data of ${String(request.headers['x-tenant'])}`)
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { headers: ['x-tenant'] } } }, handler) })
  const answers = await meet(server, handler, TENANTS.map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  t.same([answers.map(({ body }) => body), handler.runs], [OWN, 2])
  t.same(await outcomes(server.app), { 'leader shared': 2, 'follower shared': 3 })
})

t.test('a handler that reads after a wait, and a stream that reads while it flows, are watched as well', async t => {
  const { Readable } = await import('node:stream')
  t.same(await tenants(t, async request => {
    await new Promise(resolve => setImmediate(resolve))
    return request.headers['x-tenant']
  }).then(({ runs }) => runs), 2)

  const handler = held(request => Readable.from((async function * () {
    yield 'data of '
    yield request.headers['x-tenant']
  })()))
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const answers = await meet(server, handler, TENANTS.map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  t.same([answers.map(({ body }) => body), handler.runs], [OWN, 2])
})

t.test('a route that switches learning off trusts its own Vary', async t => {
  const read: Reading = request => request.headers['x-tenant']
  const { runs, bodies } = await tenants(t, read, { learnVary: false })
  t.equal(runs, 1)
  t.equal(new Set(bodies).size, 1)

  const handler = held((request, reply) => {
    reply.header('vary', 'X-Tenant')
    return `data of ${String({ ...request.headers }['x-tenant'])}`
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: false } } }, handler) })
  const answers = await meet(server, handler, TENANTS.map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  t.same([answers.map(({ body }) => body), handler.runs], [OWN, 2])
})

t.test('a header that is ignored does not count, any other still does', async t => {
  const handler = held(request => `${String(request.headers['user-agent'] !== '')} ${String(request.headers['x-tenant'])}`)
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: { ignore: ['User-Agent'] } } } }, handler) })
  const answers = await meet(server, handler,
    TENANTS.map((tenant, index) => () => server.get('/', { headers: { 'x-tenant': tenant, 'user-agent': `browser ${index}` } })))
  t.same([answers.map(({ body }) => body), handler.runs], [TENANTS.map(tenant => `true ${tenant}`), 2])
})

t.test('what a handler says by hand counts as read', async t => {
  const handler = held(request => {
    request.coalesce?.varyOn('X-Tenant')
    return `run for ${String(request.headers['x-tenant'])}`
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: false } } }, handler) })
  const answers = await meet(server, handler, TENANTS.map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  t.same([answers.map(({ body }) => body), handler.runs], [TENANTS.map(tenant => `run for ${tenant}`), 2])
})

t.test('what a handler says by hand is read as Vary is: lists, and a star for what nobody else may have', async t => {
  const said: Array<[string[], number, string]> = [
    [['Accept, X-Tenant'], 2, 'shared'], [['X-Tenant', '*'], 3, 'vary-any'], [['X-Tenant;'], 3, 'vary-malformed']
  ]
  for (const [names, runs, reason] of said) {
    const handler = held(request => {
      request.coalesce?.varyOn(...names)
      return `run for ${String(request.raw.headers['x-tenant'])}`
    })
    const server = await serve(t, app => { app.get('/', { config: { coalesce: { learnVary: false } } }, handler) })
    const answers = await meet(server, handler, ['a', 'b', 'a'].map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
    t.same([answers.map(({ body }) => body), handler.runs], [['a', 'b', 'a'].map(tenant => `run for ${tenant}`), runs], String(names))
    t.ok(await metric(server.app, 'coalesce_requests_total', { outcome: 'leader', reason }) > 0, reason)
  }
})

t.test('an error that depends on a header is for those who match', async t => {
  const handler = held(request => { throw new Error(`no data of ${String(request.headers['x-tenant'])}`) })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const answers = await meet(server, handler, TENANTS.map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  t.same([answers.map(({ body }) => (JSON.parse(body) as { message: string }).message), handler.runs],
    [TENANTS.map(tenant => `no data of ${tenant}`), 2])
})

/** What clients at two addresses get; `forwarded`: what X-Forwarded-For says. */
async function fromTwoAddresses (
  test: Parameters<typeof serve>[0], read: Reading, options: FastifyServerOptions, config: CoalesceRouteOptions | true,
  forwarded: ReadonlyArray<string | undefined>
): Promise<Met> {
  const handler = held(request => String(read(request)))
  const server = await serve(test, (app: FastifyInstance) => { app.get('/', { config: { coalesce: config } }, handler) }, {}, options)
  const asked = forwarded.map((value, index) =>
    getFrom(server, `127.0.0.${index % 2 + 1}`, '/', value === undefined ? {} : { 'x-forwarded-for': value }))
  await server.arrived(asked.length)
  handler.gate.open()
  return { bodies: await Promise.all(asked), runs: handler.runs }
}

t.test('a response that depends on the client\'s address is for clients at that address', async t => {
  const nobody = [undefined, undefined, undefined, undefined]
  t.same(await fromTwoAddresses(t, request => request.ip, {}, true, nobody),
    { bodies: ['127.0.0.1', '127.0.0.2', '127.0.0.1', '127.0.0.2'], runs: 2 })
  t.same((await fromTwoAddresses(t, () => 'hello', {}, true, nobody)).runs, 1)
  t.same((await fromTwoAddresses(t, request => typeof request.ip, {}, { learnVary: { ignore: ['ip'] } }, nobody)).runs, 1)
})

t.test('behind a proxy that is trusted, a response that depends on the address is for clients at that address', async t => {
  const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.1', '10.0.0.2']
  t.same((await fromTwoAddresses(t, request => request.ip, { trustProxy: true }, true, addresses)).bodies, addresses)
  const { bodies } = await fromTwoAddresses(t, request => request.ips?.join(), { trustProxy: true }, true, addresses)
  t.same(bodies, ['127.0.0.1,10.0.0.1', '127.0.0.2,10.0.0.2', '127.0.0.1,10.0.0.1', '127.0.0.2,10.0.0.2'])
  const direct = await fromTwoAddresses(t, request => request.ip, { trustProxy: true }, true, [undefined, undefined])
  t.same(direct.bodies, ['127.0.0.1', '127.0.0.2'])
})

t.test('the log, and hooks after the handler, read what they like', async t => {
  const handler = held(() => 'hello')
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => request.ip)
    app.addHook('onSend', async request => { Object.keys(request.headers) })
    app.addHook('onResponse', async request => { Object.keys(request.headers) })
    app.get('/', { config: { coalesce: true } }, handler)
  }, {}, { logger: { level: 'trace', stream: { write () {} } } })
  await meet(server, handler, times(5, server, '/'))
  t.equal(handler.runs, 1)
})

const changes: Record<string, (headers: IncomingHttpHeaders, request: FastifyRequest) => void> = {
  deletes: headers => { Reflect.deleteProperty(headers, 'x-tenant') },
  sets: headers => { headers['x-tenant'] = 'any' },
  defines: headers => { Object.defineProperty(headers, 'x-tenant', { value: 'any', configurable: true, enumerable: true, writable: true }) },
  replaces: (_headers, { raw }) => { raw.headers = {} }
}

for (const [what, change] of Object.entries(changes)) {
  for (const hooked of [false, true]) {
    t.test(`a handler that ${what} a header that ${hooked ? 'a hook' : 'it'} has read answers its own client only`, async t => {
      const read = new WeakMap<FastifyRequest, unknown>()
      const handler = held(request => {
        if (!hooked) read.set(request, request.headers['x-tenant'])
        change(request.headers, request)
        return `data of ${String(read.get(request))}`
      })
      const server = await serve(t, app => {
        if (hooked) app.addHook('onRequest', async request => { read.set(request, request.headers['x-tenant']) })
        app.get('/', { config: { coalesce: true } }, handler)
      })
      const tenants = ['acme', undefined, 'any', 'acme']
      const answers = await meet(server, handler, tenants.map(tenant => () => server.get('/', { headers: tenant === undefined ? {} : { 'x-tenant': tenant } })))
      t.strictSame(answers.map(({ body }) => body), tenants.map(tenant => `data of ${String(tenant)}`))
    })
  }
}

for (const [what, answer] of [
  ['has read', (request: FastifyRequest) => `data of ${String(request.headers['x-tenant'])}`],
  ['names in Vary', (request: FastifyRequest, reply: FastifyReply) => {
    const { rawHeaders } = request.raw
    reply.header('vary', 'x-tenant')
    return `data of ${String(rawHeaders[rawHeaders.indexOf('x-tenant') + 1])}`
  }]
] as const) {
  t.test(`an onSend hook that deletes a header that a handler ${what} does not make the response one for those without it`, async t => {
    const handler = held((request, reply) => answer(request, reply))
    const server = await serve(t, app => {
      app.addHook('onSend', async request => { delete request.headers['x-tenant'] })
      app.get('/', { config: { coalesce: { learnVary: what === 'has read' } } }, handler)
    })
    const tenants = ['acme', undefined, 'acme']
    const answers = await meet(server, handler, tenants.map(tenant => () => server.get('/', { headers: tenant === undefined ? {} : { 'x-tenant': tenant } })))
    t.equal(answers[0]?.body, 'data of acme')
    t.not(answers[1]?.body, 'data of acme')
    t.equal(answers[2]?.body, 'data of acme')
    t.equal(handler.runs, 2)
  })
}

t.test('a handler that changes headers that nobody has read shares', async t => {
  const handler = held(request => {
    for (const change of Object.values(changes)) change(request.headers, request)
    return 'shared'
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  await meet(server, handler, times(3, server, '/'))
  t.equal(handler.runs, 1)
})

t.test('a failure that Fastify logs with all that there is of its request is shared, behind a proxy as well', async t => {
  const handler = held(() => { throw new Error('out of order') })
  const logged: string[] = []
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) }, {}, {
    trustProxy: true,
    logger: {
      level: 'error',
      stream: { write (line: string) { logged.push(line) } },
      serializers: { req: ({ headers, host, ip, raw }: FastifyRequest) => ({ all: { ...headers }, raw: raw.rawHeaders.join(), host, ip }) as never }
    }
  })
  const answers = await meet(server, handler, ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map(address => () =>
    server.get('/', { headers: { 'x-forwarded-for': address } })))
  t.same(answers.map(({ status }) => status), [500, 500, 500])
  t.equal(handler.runs, 1)
  t.match(logged, [/out of order/])
})

t.test('what an onError hook, or a handler of errors, answers with of a header tells clients apart', async t => {
  for (const place of ['hook', 'handler']) {
    const handler = held(() => { throw new Error('out of order') })
    const server = await serve(t, app => {
      const tell = (request: FastifyRequest, reply: FastifyReply): void => { reply.header('x-told', String(request.headers['x-client'])) }
      if (place === 'hook') app.addHook('onError', async (request, reply) => { tell(request, reply) })
      else {
        app.setErrorHandler(async (_error, request, reply) => {
          tell(request, reply)
          reply.code(500)
          return 'told'
        })
      }
      app.get('/', { config: { coalesce: true } }, handler)
    })
    const answers = await meet(server, handler, ['a', 'b', 'a'].map(client => () => server.get('/', { headers: { 'x-client': client } })))
    t.same(answers.map(({ headers }) => headers['x-told']), ['a', 'b', 'a'], place)
    t.equal(handler.runs, 2)
  }
})
