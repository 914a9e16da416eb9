/**
 * A route that asks for coalescing and that no registration has adopted is never silent: the app does not boot, and the error says why and
 * what to write instead.
 */
import { createRequire } from 'node:module'
import Fastify, { type FastifyInstance, type RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import coalesce, { errors } from '../../lib/index.js'
import { errorOf, held, meet, times } from '../fixtures/crowd.js'
import { lines } from '../fixtures/lines.js'
import { listen } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }
const answer = async (): Promise<string> => 'ok'
const EARLY = 'declared before fastify-coalesce was loaded: write "await app.register(coalesce)" before the routes; without await, declare them in ' +
  'app.after() or in a plugin that is registered after it'
const OUTSIDE = 'declared outside the context that fastify-coalesce is registered in: register it in the context around them, and wrap the plugin ' +
  'that registers it in fastify-plugin'

type Build = (app: FastifyInstance) => unknown

interface Test {
  teardown (fn: () => unknown): unknown
  equal (found: unknown, wanted: unknown): unknown
}

/** What an app says that is made like this and boots, or '' if it boots. */
async function refusal (t: Test, build: Build): Promise<string> {
  const app = Fastify() as unknown as FastifyInstance
  t.teardown(() => app.close())
  await build(app)
  try {
    await app.ready()
    return ''
  } catch (error) {
    if (!(error instanceof errors.UnheardRouteError)) throw error
    t.equal(error.code, 'FST_COALESCE_UNHEARD_ROUTE')
    return error.message
  }
}

const early: Record<string, Build> = {
  'the registration is not awaited, and the route is in the same context': app => {
    app.register(coalesce)
    app.get('/prices', ON, answer)
  },
  'the route is before the registration': async app => {
    app.get('/prices', { config: { coalesce: { query: ['q'] } } }, answer)
    await app.register(coalesce)
  },
  'the route is in a plugin that is loaded before': async app => {
    app.register(async inner => { inner.get('/prices', ON, answer) })
    await app.register(coalesce)
  },
  'a plugin registers without await, and declares its routes': app => {
    app.register(async inner => {
      inner.register(coalesce)
      inner.get('/prices', ON, answer)
    })
  }
}

for (const [name, build] of Object.entries(early)) {
  t.test(`an app does not boot where ${name}`, async t => {
    t.equal(await refusal(t, build), `GET /prices asks for coalescing, but was ${EARLY}`)
  })
}

const outside: Record<string, Build> = {
  'a sibling of the route\'s context registers': app => {
    app.register(async inner => { await inner.register(coalesce) })
    app.register(async inner => { inner.get('/prices', ON, answer) })
  },
  'a child of the route\'s context registers': async app => {
    await app.register(async inner => { await inner.register(coalesce) })
    app.get('/prices', ON, answer)
  },
  'a child registers for itself, and a route of its parent\'s asks as well': app => {
    app.get('/prices', ON, answer)
    app.register(async inner => {
      await inner.register(coalesce)
      inner.get('/own', ON, answer)
    })
  }
}

for (const [name, build] of Object.entries(outside)) {
  t.test(`an app does not boot where ${name}`, async t => {
    t.equal(await refusal(t, build), `GET /prices asks for coalescing, but was ${OUTSIDE}`)
  })
}

t.test('each route is named once, without the HEAD routes that Fastify adds, up to eight of a kind', async t => {
  t.equal(await refusal(t, async app => {
    app.register(async inner => {
      inner.get('/', ON, answer)
      inner.route({ method: ['GET', 'HEAD'], url: '/both', ...ON, handler: answer })
      inner.head('/head', ON, answer)
    }, { prefix: '/shop' })
    await app.register(async inner => { await inner.register(coalesce) })
    for (let index = 0; index < 8; index++) app.get(`/${index}`, ON, answer)
  }), `GET /shop, GET,HEAD /shop/both, HEAD /shop/head, GET /0, GET /1, GET /2, GET /3, GET /4 and 3 more ask for coalescing, but were ${OUTSIDE}`)
})

t.test('routes of both kinds are told of together', async t => {
  t.equal(await refusal(t, app => {
    app.get('/outside', ON, answer)
    app.register(async inner => {
      inner.get('/early', ON, answer)
      await inner.register(coalesce)
    })
  }), `GET /early asks for coalescing, but was ${EARLY}. GET /outside asks for coalescing, but was ${OUTSIDE}`)
})

t.test('where all routes are to be coalesced and not one is, because the registration is not awaited, the app does not boot', async t => {
  t.equal(await refusal(t, app => {
    app.register(coalesce, { global: true, metrics: true })
    app.get('/prices', answer)
    app.post('/write', answer)
    app.get('/off', { config: { coalesce: false } }, answer)
  }), `GET /prices asks for coalescing, but was ${EARLY}`)
})

const heard: Record<string, Build> = {
  'the registration is awaited': async app => {
    await app.register(coalesce)
    app.get('/prices', ON, answer)
  },
  'the registration is not awaited, and the route is in after()': app => {
    app.register(coalesce)
    app.after(() => { app.get('/prices', ON, answer) })
  },
  'the registration is not awaited, and the route is in a later plugin': app => {
    app.register(coalesce)
    app.register(async inner => { inner.get('/prices', ON, answer) }, { prefix: '/in' })
  },
  'a plugin that is wrapped in fastify-plugin registers': app => {
    app.register(fp(async inner => { await inner.register(coalesce) }))
    app.register(async inner => { inner.get('/prices', ON, answer) })
  },
  'siblings register, each for its own routes': app => {
    for (const prefix of ['/one', '/two']) {
      app.register(async inner => {
        await inner.register(coalesce)
        inner.get('/', ON, answer)
      }, { prefix })
    }
  },
  'the route says that it is not': async app => {
    app.get('/prices', { config: { coalesce: false } }, answer)
    await app.register(coalesce)
  },
  'the route does not say': async app => {
    app.get('/prices', answer)
    await app.register(coalesce)
  },
  'all routes are to be coalesced, and some are older than the registration': async app => {
    app.get('/health', answer)
    await app.register(coalesce, { global: true })
    app.get('/prices', answer)
  },
  'all routes are to be coalesced, and those that are belong to a registration inside': async app => {
    app.get('/health', answer)
    await app.register(coalesce, { global: true })
    app.register(async inner => {
      await inner.register(coalesce, { global: true, ttl: 1000 })
      inner.get('/prices', answer)
    })
  },
  'another copy of the plugin has the route': app => {
    // As a second installation marks its routes: by a symbol of its own.
    app.register(async inner => { await inner.register(coalesce) })
    app.get('/prices', { config: { coalesce: true, [Symbol('fastify-coalesce.route')]: {} } as RouteOptions['config'] }, answer)
  }
}

for (const [name, build] of Object.entries(heard)) {
  t.test(`an app boots where ${name}`, async t => {
    t.equal(await refusal(t, build), '')
  })
}

t.test('a CommonJS program that declares routes right after the registration does not boot, and one that declares them in a plugin shares', async t => {
  const require = createRequire(import.meta.url)
  // As the plugin is got by require: the module itself, whose `default` Fastify takes.
  const plugin = { default: coalesce } as unknown as typeof coalesce
  const fastify = require('fastify') as typeof Fastify
  const wrong = fastify() as unknown as FastifyInstance
  t.teardown(() => wrong.close())
  wrong.register(plugin)
  wrong.get('/prices', ON, answer)
  t.match(await errorOf(() => wrong.listen({ port: 0 })), { code: 'FST_COALESCE_UNHEARD_ROUTE', message: /^GET \/prices / })

  const handler = held()
  const right = fastify() as unknown as FastifyInstance
  right.register(plugin)
  right.register((routes, _options, done) => { routes.get('/prices', ON, handler); done() })
  const server = await listen(t, right)
  await meet(server, handler, times(5, server, '/prices'))
  t.equal(handler.runs, 1)
})

t.test('a name in a route\'s config that looks like ours is warned of once, by name and route, wherever the route is', async t => {
  const log = lines()
  const app = Fastify({ logger: log.logger }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  app.get('/early', { config: { colaesce: true } as object }, answer)
  await app.register(coalesce)
  const wrong = ['coalsece', 'coalese', 'Coalesce', 'coallesce', 'coalesced', 'COALESCE', 'co_alesce']
  const right = ['cache', 'cors', 'rateLimit', 'coal', 'collapse', 'close', 'cookie', 'url', 'coalesceKey', 'c'.repeat(1000)]
  wrong.forEach((name, index) => { app.get(`/${index}`, { config: { [name]: true } as object }, answer) })
  app.get('/right', { config: Object.fromEntries(right.map(name => [name, true])) }, answer)
  app.get('/beside', { coalesce: true } as object, answer)
  app.get('/off', { coalesce: false } as object, answer)
  app.get('/both', { coalesce: true, ...ON } as object, answer)
  app.get('/not', { coalesce: true, config: { coalesce: false } } as object, answer)
  await app.ready()
  t.same(log.event('misspelled').map(line => line.coalesce), [
    { event: 'misspelled', route: 'GET /early', name: 'colaesce' },
    ...wrong.map((name, index) => ({ event: 'misspelled', route: `GET /${index}`, name }))
  ])
  t.equal(log.event('misspelled')[0]?.msg, 'coalesce: config.colaesce of GET /early means nothing; did you mean config.coalesce?')
  t.same(log.event('misplaced').map(line => [line.coalesce?.route, line.msg]),
    [['GET /beside', 'coalesce: coalesce of GET /beside means nothing beside config; did you mean config: { coalesce: … }?']])
})

t.test('of very many routes the first eight are named, and the others counted', async t => {
  const declare = (count: number): Build => async app => {
    for (let index = 0; index < count; index++) app.get(`/${index}`, ON, answer)
    await app.register(coalesce)
  }
  t.match(await refusal(t, declare(1)), /^GET \/0 asks for coalescing, but was declared/)
  t.match(await refusal(t, declare(2)), /^GET \/0 and GET \/1 ask for coalescing, but were declared/)
  t.match(await refusal(t, declare(10)), /GET \/7 and 2 more ask for coalescing, but were declared/)
})
