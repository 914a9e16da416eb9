/**
 * What hooks before the handler make of a header is told apart as what the handler itself makes of one.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { readFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import { fastifyRequestContext } from '@fastify/request-context'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { INFRASTRUCTURE_HEADERS } from '../../lib/http/infrastructure-headers.js'
import type { CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'
import { held, meet, queue, times, type HeldHandler } from '../fixtures/crowd.js'
import { getFrom, leave, outcomes } from '../fixtures/endings.js'
import { lines, WARN } from '../fixtures/lines.js'
import { listen, metric, serve, type TestServer } from '../fixtures/server.js'

type Teardown = Parameters<typeof listen>[0]
type Options = CoalesceRouteOptions | true

const TENANTS = ['acme', 'umbrella', 'acme', 'umbrella', 'acme']
const OWN = TENANTS.map(tenant => `data of ${tenant}`)

const made = new WeakMap<FastifyRequest, unknown>()
/** A hook that makes a tenant of a header. */
const derive = async (request: FastifyRequest): Promise<void> => { made.set(request, request.headers['x-tenant']) }
const answer = (request: FastifyRequest): string => `data of ${String(made.get(request))}`
const on = (config: Options = true): { config: { coalesce: Options } } => ({ config: { coalesce: config } })

async function burst (server: TestServer, handler: HeldHandler, tenants = TENANTS): Promise<unknown> {
  const answers = await meet(server, handler, tenants.map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  return [answers.map(({ body }) => body), handler.runs]
}

/** An app that a plugin comes into after `before`. */
async function after (test: Teardown, before: (app: FastifyInstance) => unknown, routes: (app: FastifyInstance) => unknown, options: CoalesceOptions = {}): Promise<TestServer> {
  const app = Fastify() as unknown as FastifyInstance
  await before(app)
  await app.register(coalesce, { metrics: true, ...options })
  await routes(app)
  return await listen(test, app)
}

const tenants = new AsyncLocalStorage<unknown>()

const ways: Record<string, { readonly hook: (app: FastifyInstance) => unknown, readonly tenant: (request: FastifyRequest) => unknown }> = {
  'a WeakMap': { hook: app => app.addHook('onRequest', derive), tenant: request => made.get(request) },
  'a property of the request': {
    hook: app => {
      app.decorateRequest('tenant', undefined)
      app.addHook('onRequest', async request => { request.setDecorator('tenant', request.raw.headers['x-tenant']) })
    },
    tenant: request => request.getDecorator('tenant')
  },
  '@fastify/request-context': {
    hook: async app => {
      await app.register(fastifyRequestContext)
      app.addHook('onRequest', async request => { request.requestContext.set('tenant' as never, request.headers['x-tenant'] as never) })
    },
    tenant: request => request.requestContext.get('tenant' as never)
  },
  AsyncLocalStorage: {
    hook: app => { app.addHook('onRequest', (request, _reply, done) => { tenants.run(request.headers['x-tenant'], done) }) },
    tenant: () => tenants.getStore()
  },
  'a header that it sets': {
    hook: app => { app.addHook('onRequest', async request => { request.headers['x-own'] = request.headers['x-tenant'] }) },
    tenant: request => request.headers['x-own']
  },
  'what it reads after a wait': {
    hook: app => {
      app.addHook('onRequest', async request => {
        await new Promise(resolve => setImmediate(resolve))
        await derive(request)
      })
    },
    tenant: request => made.get(request)
  },
  'a promise that it does not wait for': {
    hook: app => {
      app.addHook('onRequest', (request, _reply, done) => {
        made.set(request, new Promise(resolve => setImmediate(resolve)).then(() => request.headers['x-tenant']))
        done()
      })
    },
    tenant: async request => await made.get(request)
  }
}

for (const [name, { hook, tenant }] of Object.entries(ways)) {
  t.test(`tenants that a hook tells apart with ${name} never see each other's data, and still share their own`, async t => {
    const handler = held(async request => `data of ${String(await tenant(request))}`)
    const server = await serve(t, async app => {
      await hook(app)
      app.get('/', on(), handler)
    })
    t.same(await burst(server, handler), [OWN, 2])
  })
}

const places: Record<string, (t: Teardown, handler: HeldHandler) => Promise<TestServer>> = {
  'before the plugin': (t, handler) => after(t, app => app.addHook('onRequest', derive), app => app.get('/', on(), handler)),
  'after the route': (t, handler) => serve(t, app => {
    app.get('/', on(), handler)
    app.addHook('onRequest', derive)
  }),
  'in the context around the plugin\'s': (t, handler) => after(t, () => {}, app => {
    app.addHook('onRequest', derive)
    return app.register(async inner => { inner.get('/', on(), handler) })
  }),
  'around a plugin in a context of its own': async (t, handler) => {
    const app = Fastify() as unknown as FastifyInstance
    app.addHook('onRequest', derive)
    await app.register(async inner => {
      await inner.register(coalesce, { metrics: true })
      inner.get('/', on(), handler)
      app.coalesce ?? Object.assign(app, { coalesce: inner.coalesce })
    })
    return await listen(t, app)
  },
  'in the context around, once the inner one is made': (t, handler) => after(t, () => {}, async app => {
    await app.register(async inner => { inner.get('/', on(), handler) })
    app.addHook('onRequest', derive)
  }),
  'in an inner context': (t, handler) => serve(t, app => app.register(async inner => {
    inner.addHook('onRequest', derive)
    inner.get('/', on(), handler)
  })),
  'in an inner context beside other routes': (t, handler) => serve(t, async app => {
    app.get('/outer', on(), async () => 'outer')
    await app.register(async inner => {
      inner.addHook('onRequest', derive)
      inner.get('/', on(), handler)
    })
  }),
  'on the route': (t, handler) => serve(t, app => { app.get('/', { ...on(), onRequest: derive }, handler) }),
  'on the route, as one of several,': (t, handler) => serve(t, app => { app.get('/', { ...on(), onRequest: [async () => {}, derive] }, handler) }),
  'by another plugin\'s onRoute': (t, handler) => after(t, app => {
    app.addHook('onRoute', route => { route.onRequest = derive })
  }, app => app.get('/', on(), handler)),
  'at preParsing': (t, handler) => serve(t, app => {
    app.addHook('preParsing', async (request, _reply, payload) => {
      await derive(request)
      return payload
    })
    app.get('/', on(), handler)
  }),
  'at preValidation': (t, handler) => serve(t, app => { app.get('/', { ...on(), preValidation: derive }, handler) }),
  'at preHandler': (t, handler) => serve(t, app => {
    app.addHook('preHandler', derive)
    app.get('/', on(), handler)
  }),
  'at preHandler, on the route,': (t, handler) => serve(t, app => { app.get('/', { ...on(), preHandler: [derive] }, handler) }),
  'where the route waits at onRequest': (t, handler) => serve(t, app => {
    app.addHook('onRequest', derive)
    app.get('/', on({ hook: 'onRequest' }), handler)
  }),
  'where the route waits before the handler': (t, handler) => serve(t, app => {
    app.addHook('onRequest', derive)
    app.get('/', on({ hook: 'preHandler' }), handler)
  }),
  'where all routes are coalesced': (t, handler) => serve(t, app => {
    app.addHook('onRequest', derive)
    app.get('/', handler)
  }, { global: true })
}

for (const [name, build] of Object.entries(places)) {
  t.test(`a hook that is added ${name} is seen`, async t => {
    const handler = held(answer)
    t.same(await burst(await build(t, handler), handler), [OWN, 2])
  })
}

/** What runs before a handler besides hooks. */
const around: Record<string, (app: FastifyInstance, handler: HeldHandler) => unknown> = {
  'what a plugin puts around a handler': (app, handler) => {
    app.addHook('onRoute', route => {
      const { handler: inner } = route
      route.handler = async function (request, reply) {
        await derive(request)
        return await inner.call(this, request, reply)
      }
    })
    app.get('/', on(), handler)
  },
  'a parser of bodies': (app, handler) => {
    app.addContentTypeParser('text/x-own', { parseAs: 'string' }, async (request: FastifyRequest, body: string) => {
      await derive(request)
      return body
    })
    app.post('/', on({ body: true }), handler)
  },
  'a validation of headers that the handler is told of': (app, handler) => {
    const schema = { headers: { type: 'object', properties: { 'x-tenant': { enum: ['acme'] } } } }
    app.get('/', { ...on(), schema, attachValidation: true }, async (request, reply) => {
      made.set(request, request.validationError === undefined ? 'acme' : 'umbrella')
      return await handler(request, reply)
    })
  }
}

for (const [what, route] of Object.entries(around)) {
  t.test(`tenants that ${what} tells apart never see each other's data`, async t => {
    const handler = held(answer)
    const server = await serve(t, app => { route(app, handler) })
    const method = server.app.hasRoute({ method: 'POST', url: '/' }) ? 'POST' : 'GET'
    const answers = await meet(server, handler, TENANTS.map(tenant => () => server.get('/', {
      method,
      headers: { 'x-tenant': tenant, ...method === 'POST' ? { 'content-type': 'text/x-own' } : {} },
      ...method === 'POST' ? { body: 'the same' } : {}
    })))
    t.same([answers.map(({ body }) => body), handler.runs], [OWN, 2])
  })
}

t.test('what is known of a key splits the next burst at once', async t => {
  let handler = held(answer)
  const server = await serve(t, app => {
    app.addHook('onRequest', derive)
    app.get('/', on(), async (request, reply) => await handler(request, reply))
  })
  const tenants = Array.from({ length: 20 }, (_, index) => `tenant ${index % 10}`)
  for (const again of [false, true]) {
    handler = held(answer)
    t.same(await burst(server, handler, tenants), [tenants.map(tenant => `data of ${tenant}`), 10])
    t.equal(await metric(server.app, 'coalesce_requests_total', { outcome: 'alone' }), 0, again ? 'again' : 'at first')
  }
})

t.test('a response that is kept reaches its own tenant only, and is refreshed for it', async t => {
  const handler = held(answer)
  handler.gate.open()
  const server = await serve(t, app => {
    app.addHook('onRequest', derive)
    app.get('/', on({ ttl: '1m' }), handler)
  })
  for (const tenant of TENANTS) t.equal((await server.get('/', { headers: { 'x-tenant': tenant } })).body, `data of ${tenant}`)
  t.equal(handler.runs, 2)
  t.same(await outcomes(server.app), { 'leader shared': 2, 'hit fresh': 3 })
})

t.test('a follower that takes over has had its hooks watched as well', async t => {
  const handler = held(answer)
  const server = await serve(t, app => {
    app.addHook('onRequest', derive)
    app.get('/', on({ flightTimeout: '50ms' }), handler)
  })
  const ask = (tenant: string) => () => server.get('/', { headers: { 'x-tenant': tenant } })
  const answers = await queue(server, [ask('acme'), ask('acme'), ask('acme'), ask('umbrella')])
  await new Promise(resolve => setTimeout(resolve, 100))
  handler.gate.open()
  t.same((await Promise.all(answers)).map(({ body }) => body), ['acme', 'acme', 'acme', 'umbrella'].map(tenant => `data of ${tenant}`))
})

t.test('learnVary: false, and a name that is ignored, switch it off', async t => {
  for (const learnVary of [false, { ignore: ['X-Tenant'] }]) {
    const handler = held(answer)
    const server = await serve(t, app => {
      app.addHook('onRequest', derive)
      app.get('/', on({ learnVary }), handler)
    })
    await burst(server, handler)
    t.equal(handler.runs, 1)
  }
})

t.test('what hooks read for other purposes does not split, what the handler reads of it does', async t => {
  const names = INFRASTRUCTURE_HEADERS.filter(name => !['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding',
    'content-length', 'content-type', 'expect', 'upgrade', 'range'].includes(name) && !name.startsWith('if-'))
  const ask = (server: TestServer) => TENANTS.map((_, index) => () =>
    server.get('/', { headers: Object.fromEntries(names.map(name => [name, `${name} ${index}`])) }))
  const look = async (request: FastifyRequest): Promise<void> => {
    for (const name of INFRASTRUCTURE_HEADERS) made.set(request, [request.headers[name], request.ip, request.socket.remoteAddress])
  }
  const handler = held(() => 'shared')
  const server = await serve(t, app => {
    app.addHook('onRequest', look)
    app.addHook('preHandler', look)
    app.get('/', on(), handler)
  })
  await meet(server, handler, ask(server))
  t.equal(handler.runs, 1)

  const reader = held(request => String(request.headers['x-request-id']))
  const other = await serve(t, app => {
    app.addHook('onRequest', look)
    app.get('/', on(), reader)
  })
  const answers = await meet(other, reader, ask(other))
  t.same([answers.map(({ body }) => body), reader.runs], [TENANTS.map((_, index) => `x-request-id ${index}`), 5])
})

t.test('tenants that a hook tells apart by Host never see each other\'s data where a trusted proxy names another host', async t => {
  const hosts = ['acme.example', 'umbrella.example', 'acme.example']
  const handler = held(answer)
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => { made.set(request, request.headers.host) })
    app.get('/', on(), handler)
  }, {}, { trustProxy: true })
  const answers = await meet(server, handler, hosts.map(host => () => server.get('/', { headers: { host, 'x-forwarded-host': 'front.example' } })))
  t.same([answers.map(({ body }) => body), handler.runs], [hosts.map(host => `data of ${host}`), 2])
})

for (const config of [true, { learnVary: false }, false] as const) {
  t.test(`headers that a hook puts in the place of a request's are what its handler sees, with coalesce: ${JSON.stringify(config)}`, async t => {
    const server = await serve(t, app => {
      app.addHook('onRequest', async ({ raw }) => {
        const { 'x-admin': _admin, ...others } = raw.headers
        raw.headers = others
        raw.rawHeaders = raw.rawHeaders.filter(each => each !== 'x-admin')
      })
      app.get('/', { config: { coalesce: config } }, async ({ headers, raw }) => [headers['x-admin'] ?? 'nobody', raw.rawHeaders.includes('x-admin')])
    })
    for (const headers of [{}, { cookie: 'a=b' }]) {
      t.equal((await server.get('/', { headers: { 'x-admin': 'yes', ...headers } })).body, '["nobody",false]')
    }
  })
}

t.test('what a handler reads of headers that a hook put in the place of a request\'s tells clients apart', async t => {
  const handler = held(request => `data of ${String(request.headers['x-own'])}`)
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => {
      request.raw.headers = { host: request.headers.host, 'x-own': request.headers['user-agent'] }
    })
    app.get('/', on(), handler)
  })
  const answers = await meet(server, handler, TENANTS.map(tenant => () => server.get('/', { headers: { 'user-agent': tenant } })))
  t.same([answers.map(({ body }) => body), handler.runs], [OWN, 2])
})

const takes: Record<string, (headers: IncomingHttpHeaders, request: FastifyRequest) => void> = {
  'takes away': headers => { Reflect.deleteProperty(headers, 'authorization') },
  'blots out': headers => { headers.authorization = undefined },
  'makes the same for all': headers => { headers.authorization = 'Bearer app' },
  'leaves out': ({ host }, { raw }) => { raw.headers = host === undefined ? {} : { host } }
}

for (const [what, take] of Object.entries(takes)) {
  for (const options of [true, { headers: ['authorization'] }, { credentials: ['authorization'], ttl: '1m' }, { learnVary: false }] as const) {
    t.test(`users never see each other's data where a hook ${what} the credential that it has read, with ${JSON.stringify(options)}`, async t => {
      const handler = held(answer)
      const server = await serve(t, app => {
        app.addHook('onRequest', async request => {
          made.set(request, request.headers.authorization)
          take(request.headers, request)
        })
        app.get('/', on(options as Options), handler)
      })
      const answers = await meet(server, handler, TENANTS.map(tenant => () => server.get('/', { headers: { authorization: tenant } })))
      t.same([answers.map(({ body }) => body), handler.runs], [OWN, 5])
      t.match(await outcomes(server.app), { 'bypass credentials': 5 })
    })
  }
}

for (const [options, runs] of [[true, 2], [{ headers: ['x-tenant'] }, 2], [{ key: () => 'the key' }, 2], [{ learnVary: { ignore: ['x-tenant'] } }, 1]] as const) {
  for (const left of [undefined, 'any']) {
    t.test(`tenants stay apart where a hook leaves ${String(left)} of the header that it has read, with ${JSON.stringify(options)}`, async t => {
      const handler = held(answer)
      const server = await serve(t, app => {
        app.addHook('onRequest', derive)
        app.addHook('onRequest', async ({ headers }) => {
          headers['x-tenant'] = left
          headers['x-other'] = 'set'
        })
        app.get('/', on(options as Options), handler)
      })
      t.same(await burst(server, handler), [runs === 2 ? OWN : OWN.map(() => OWN[0]), runs])
    })
  }
}

t.test('a cookie that a hook takes away without a look at it keeps nobody from sharing, and an identity tells who is asking', async t => {
  for (const [options, runs] of [[true, 1], [{ identity: (request: FastifyRequest) => String(made.get(request)) }, 2]] as const) {
    const handler = held(answer)
    const server = await serve(t, app => {
      app.addHook('onRequest', async request => {
        if (options !== true) made.set(request, request.headers.cookie)
        delete request.headers.cookie
      })
      app.get('/', on(options), handler)
    })
    await meet(server, handler, TENANTS.map(tenant => () => server.get('/', { headers: { cookie: tenant } })))
    t.equal(handler.runs, runs)
  }
})

t.test('what a hook makes of the address tells clients apart once it hands that on as a header, or the handler says so', async t => {
  for (const say of [true, false]) {
    const handler = held(request => {
      if (say) request.coalesce?.varyOn('user-agent')
      return say ? String(made.get(request)) : request.headers['x-country']
    })
    const server = await serve(t, app => {
      app.addHook('onRequest', async request => {
        request.headers['x-country'] = request.ip === '127.0.0.2' ? 'two' : 'one'
        made.set(request, request.headers['user-agent'])
      })
      app.get('/', on(), handler)
    })
    const asked = [1, 2, 3].map(index => getFrom(server, `127.0.0.${index}`, '/', { 'user-agent': index === 2 ? 'two' : 'one' }))
    await server.arrived(3)
    handler.gate.open()
    t.same([await Promise.all(asked), handler.runs], [['one', 'two', 'one'], 2])
  }
})

t.test('a page names all that does not count of what hooks read', t => {
  const page = readFileSync(new URL('../../docs/headers-hooks-read.md', import.meta.url), 'utf8')
  t.strictSame(INFRASTRUCTURE_HEADERS.filter(name => !page.includes(`\`${name}\``)), [])
  t.end()
})

t.test('the list of what is read for other purposes cannot be changed', t => {
  t.throws(() => { (INFRASTRUCTURE_HEADERS as string[]).push('x-tenant') })
  t.strictSame(INFRASTRUCTURE_HEADERS.filter(name => name !== name.toLowerCase()), [])
  t.equal(new Set(INFRASTRUCTURE_HEADERS).size, INFRASTRUCTURE_HEADERS.length)
  t.end()
})

for (const order of ['before', 'after'] as const) {
  t.test(`CORS, rate limits, helmet and logs registered ${order} the plugin leave it one run`, async t => {
    const others = async (app: FastifyInstance): Promise<void> => {
      await app.register(cors, { origin: 'https://a.example' })
      await app.register(rateLimit, { max: 100 })
      await app.register(helmet)
      app.addHook('onRequest', async (request, reply) => {
        reply.header('x-request-id', request.headers['x-request-id'])
        request.log.debug({ client: request.headers['x-forwarded-for'], agent: request.headers['user-agent'] })
      })
    }
    const handler = held(() => 'shared')
    const server = await after(t, order === 'before' ? others : () => {}, async app => {
      if (order === 'after') await others(app)
      app.get('/', on(), handler)
    })
    const answers = await meet(server, handler, [1, 2, 3, 4].map(index => () => server.get('/', {
      headers: { 'x-request-id': `r${index}`, 'x-forwarded-for': `10.0.0.${index}`, 'user-agent': `browser ${index}`, origin: `https://${index}.example` }
    })))
    t.same([answers.map(({ headers }) => headers['x-request-id']), handler.runs], [['r1', 'r2', 'r3', 'r4'], 1])
  })
}

t.test('credentials that hooks check do not tell the clients of one identity apart', async t => {
  const handler = held(() => 'profile')
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => { made.set(request, request.headers.cookie?.slice(0, 3)) })
    app.get('/', on({ identity: request => String(made.get(request)) }), handler)
  })
  await meet(server, handler, ['ada 1', 'ada 2', 'bob 1'].map(cookie => () => server.get('/', { headers: { cookie } })))
  t.equal(handler.runs, 2)
})

t.test('a cookie that is no credential here counts as any other header', async t => {
  const handler = held(request => `data of ${String(made.get(request))}`)
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => { made.set(request, request.headers.cookie) })
    app.get('/', on({ credentials: [] }), handler)
  })
  const answers = await meet(server, handler, TENANTS.map(cookie => () => server.get('/', { headers: { cookie } })))
  t.same([answers.map(({ body }) => body), handler.runs], [OWN, 2])
})

t.test('a response is its own client\'s if a hook takes all headers, and that is warned of once', async t => {
  const log = lines('warn')
  const handler = held(answer)
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => { made.set(request, ({ ...request.headers })['x-tenant']) })
    app.get('/', on(), handler)
  }, {}, { logger: log.logger })
  t.same(await burst(server, handler), [OWN, 5])
  await server.get('/')
  t.match(log.event('reads-all-headers'), [{ level: WARN, msg: /or a hook before it/, coalesce: { route: '/' } }])
})

for (const [level, runs] of [['info', 3], ['warn', 1]] as const) {
  t.test(`a log of all headers ${level === 'info' ? 'reads them where its level is on, and the warning says so' : 'reads none where its level is off'}`, async t => {
    const log = lines(level)
    const handler = held(() => 'shared')
    const server = await serve(t, app => {
      app.addHook('onRequest', async request => { request.log.info({ headers: request.headers }) })
      app.get('/', on(), handler)
    }, {}, { logger: log.logger })
    await meet(server, handler, times(3, server, '/'))
    t.equal(handler.runs, runs)
    t.match(log.event('reads-all-headers'), runs === 1 ? [] : [{ level: WARN, msg: /a log of them does/ }])
    t.equal(log.event('reads-all-headers').length, runs === 1 ? 0 : 1)
  })
}

const isOwn = (request: FastifyRequest): boolean => {
  // No proxy can be cloned.
  try {
    return structuredClone(request.headers)['x-tenant'] === 'acme' && structuredClone(request.raw.rawHeaders).length > 0
  } catch {
    return false
  }
}

t.test('a request that does not lead has its own headers back, and so has one that has been answered', async t => {
  const seen: Record<string, boolean[]> = {}
  const note = (what: string, request: FastifyRequest): void => { (seen[what] ??= []).push(isOwn(request)) }
  const handler = held(request => { note('leader', request) })
  const server = await serve(t, app => {
    app.addHook('onRequest', async (request, reply) => {
      await derive(request)
      if (request.headers['x-answer'] === 'reply') return await reply.send('answered')
      if (request.headers['x-answer'] === 'error') throw new Error('refused')
      if (request.headers['x-answer'] === 'hijack') {
        reply.hijack()
        note('hijacked', request)
        reply.raw.end()
      }
    })
    app.addHook('onError', async request => { note('onError', request) })
    app.addHook('onSend', async request => { note('onSend', request) })
    app.addHook('onResponse', async request => { note('onResponse', request) })
    app.get('/', on({ ttl: '1m' }), handler)
    app.get('/bypass', on(), async request => { note('bypass', request) })
    app.get('/private', on(), async (request, reply) => { note('private', request); return await reply.header('cache-control', 'private').send('') })
  })
  const headers = { 'x-tenant': 'acme' }
  await meet(server, handler, times(3, server, '/', { headers }))
  await server.get('/', { headers })
  await server.get('/bypass', { headers: { ...headers, authorization: 'x' } })
  await server.get('/private', { headers })
  for (const answer of ['reply', 'error', 'hijack']) await server.get('/', { headers: { ...headers, 'x-answer': answer } })
  t.same(seen.leader, [false], 'its handler is watched')
  t.same(seen.bypass, [true])
  t.same(seen.private, [false])
  t.same(seen.hijacked, [true])
  t.same(seen.onError, [true])
  t.same(new Set(seen.onSend), new Set([true]))
  t.same(new Set(seen.onResponse), new Set([true]))
})

t.test('routes where there is nothing to watch have none of it after their first request', async t => {
  const app = Fastify() as unknown as FastifyInstance
  await app.register(coalesce)
  const contextOf = (request: FastifyRequest): { onRequest: unknown[] | null } => {
    const symbol = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.context') as symbol
    return (request as unknown as Record<symbol, { onRequest: unknown[] | null }>)[symbol] as { onRequest: unknown[] | null }
  }
  const count = async (request: FastifyRequest): Promise<unknown> => ({ hooks: contextOf(request).onRequest?.length ?? 0, own: isOwn(request) })
  app.get('/plain', count)
  app.get('/coalesced', on(), count)
  app.get('/trusting', on({ learnVary: false }), count)
  await app.register(async inner => {
    inner.addHook('onRequest', derive)
    inner.get('/inner', count)
    inner.get('/inner/coalesced', on(), count)
  })
  const ask = async (url: string): Promise<unknown> => (await app.inject({ url, headers: { 'x-tenant': 'acme' } })).json()
  t.same(await ask('/plain'), { hooks: 0, own: true })
  t.same(await ask('/coalesced'), { hooks: 1, own: false }, 'that where it waits')
  t.same(await ask('/trusting'), { hooks: 1, own: true })
  t.same(await ask('/inner'), { hooks: 1, own: true })
  t.same(await ask('/inner/coalesced'), { hooks: 3, own: false })
  await app.inject('/not-found')
  t.same((await app.inject('/not-found')).statusCode, 404)
  await app.close()
})

t.test('validation of headers counts by the names in the schema', async t => {
  const handler = held(request => `data of ${String(made.get(request))}`)
  const server = await serve(t, app => {
    app.addHook('preHandler', derive)
    app.get('/', { ...on(), schema: { headers: { type: 'object', properties: { 'x-page': { type: 'integer' } }, required: ['x-page'] } } }, handler)
  })
  const ask = (tenant: string, page: string) => () => server.get('/', { headers: { 'x-tenant': tenant, 'x-page': page } })
  const answers = await meet(server, handler, [ask('acme', '1'), ask('acme', '1'), ask('umbrella', '1'), ask('acme', '2')])
  t.equal((await ask('acme', 'no')()).status, 400)
  t.same([answers.map(({ body }) => body), handler.runs], [['acme', 'acme', 'umbrella', 'acme'].map(tenant => `data of ${tenant}`), 3])
})

t.test('validation that takes away all headers but those in the schema looks at all of them', async t => {
  const schema = { headers: { type: 'object', properties: { 'x-page': { type: 'string' } }, additionalProperties: false } }
  for (const hooked of [true, false]) {
    const handler = held(() => 'page')
    const server = await serve(t, app => {
      if (hooked) app.addHook('onRequest', async () => {})
      app.get('/', { ...on(), schema }, handler)
    })
    await meet(server, handler, times(3, server, '/', { headers: { 'x-page': '1' } }))
    t.equal(handler.runs, hooked ? 3 : 1, hooked ? 'where hooks are watched' : 'and counts only there')
  }
})

t.test('streams of one HTTP/2 connection are told apart by what hooks read', async t => {
  const handler = held(answer)
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  await app.register(coalesce)
  app.addHook('onRequest', derive)
  app.get('/', on(), handler)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connectHttp2(`http://127.0.0.1:${(app.server.address() as { port: number }).port}`)
  t.teardown(async () => {
    session.close()
    await app.close()
  })
  const answers = TENANTS.map(tenant => new Promise<string>((resolve, reject) => {
    let body = ''
    session.request({ ':path': '/', 'x-tenant': tenant }).on('data', chunk => { body += String(chunk) })
      .on('end', () => { resolve(body) }).on('error', reject)
  }))
  while (app.coalesce.stats().totalRequests < TENANTS.length) await new Promise(resolve => setImmediate(resolve))
  handler.gate.open()
  t.same([await Promise.all(answers), handler.runs], [OWN, 2])
})

t.test('requests that are injected are told apart as well', async t => {
  const handler = held(answer)
  const server = await serve(t, app => {
    app.addHook('onRequest', derive)
    app.get('/', on(), handler)
  })
  const answers = TENANTS.map(async tenant => (await server.app.inject({ url: '/', headers: { 'x-tenant': tenant } })).body)
  await server.arrived(TENANTS.length)
  handler.gate.open()
  t.same([await Promise.all(answers), handler.runs], [OWN, 2])
})

t.test('what a hook puts in the place of the headers is told apart by its values, whether it has names of its own or not', async t => {
  const wrappers: Record<string, (headers: IncomingHttpHeaders) => IncomingHttpHeaders> = {
    'an object that inherits them': headers => Object.create(headers) as IncomingHttpHeaders,
    'a proxy of nothing': headers => new Proxy<IncomingHttpHeaders>({}, { get: (_target, name) => Reflect.get(headers, name) as unknown })
  }
  for (const [name, wrap] of Object.entries(wrappers)) {
    for (const hooked of [true, false]) {
      const handler = held(({ headers }: FastifyRequest) => `data of ${String(headers['x-tenant'])}`)
      const server = await serve(t, app => {
        app.addHook('onRequest', async ({ raw }) => { raw.headers = wrap(raw.headers) })
        if (hooked) app.addHook('onSend', async ({ raw }) => { raw.headers['x-late'] = 'yes' })
        app.get('/', on(), handler)
      })
      const answers = await meet(server, handler, [...TENANTS.map(tenant => ({ 'x-tenant': tenant })), {}].map(headers => () => server.get('/', { headers })))
      t.same(answers.map(({ body }) => body), [...OWN, 'data of undefined'], `${name}${hooked ? ', with a hook after the handler' : ''}`)
    }
  }
})

t.test('what a handler reads as an onRequestAbort hook has it go on counts', async t => {
  let runs = 0
  let goOn: (() => void) | undefined
  const server = await serve(t, app => {
    app.addHook('onRequestAbort', (_request, done) => {
      goOn?.()
      done()
    })
    app.get('/', { config: { coalesce: true } }, async request => {
      if (++runs > 1) return `for ${String(request.headers['x-who'])}`
      return await new Promise(resolve => { goOn = () => { resolve(`for ${String(request.headers['x-who'])}`) } })
    })
  })
  const first = server.get('/', { headers: { 'x-who': 'a' } })
  await server.arrived(1)
  const second = server.get('/', { headers: { 'x-who': 'b' } })
  await server.arrived(2)
  await leave(first)
  t.equal((await second).body, 'for b')
})
