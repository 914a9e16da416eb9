/**
 * Where the key covers a part of a query, hooks and validation see all of it, and the handler that part; what hooks make of the rest
 * tells responses apart.
 */
import { connect as connectHttp2 } from 'node:http2'
import { Readable } from 'node:stream'
import { inspect } from 'node:util'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { distinct, held, meet, queue, type HeldHandler } from '../fixtures/crowd.js'
import { TestClock, until } from '../fixtures/gate.js'
import { lines, WARN } from '../fixtures/lines.js'
import { parseNested } from '../fixtures/queries.js'
import { serve, type TestServer } from '../fixtures/server.js'

type Made = FastifyRequest & { made?: unknown }
type Query = Record<string, unknown>

const queryOf = (request: FastifyRequest): Query => request.query as Query
const make = (value: (request: FastifyRequest) => unknown) => async (request: FastifyRequest): Promise<void> => {
  (request as Made).made = value(request)
}
const answer = (request: FastifyRequest): unknown => ({ made: (request as Made).made, query: request.query, url: request.url })
const on = (config: CoalesceRouteOptions) => ({ config: { coalesce: config } })

interface Told { readonly made: unknown, readonly query: unknown, readonly url: string }

async function ask (server: TestServer, handler: Pick<HeldHandler, 'gate'>, paths: readonly string[]): Promise<Told[]> {
  const answers = await meet(server, handler, paths.map(path => () => server.get(path)))
  return answers.map(({ body }) => JSON.parse(body) as Told)
}

const LANGUAGES = ['de', 'fr', 'de', 'fr', 'en']
const PATHS = LANGUAGES.map(lang => `/?q=1&lang=${lang}`)

/** What a hook makes of a language that is not part of the key. */
const WAYS: Readonly<Record<string, (request: FastifyRequest) => unknown>> = {
  'request.query': request => queryOf(request).lang,
  'a destructured query': ({ query }) => (({ lang }) => lang)(query as Query),
  'a name that it looks for': request => 'lang' in queryOf(request) ? Object.getOwnPropertyDescriptor(request.query, 'lang')?.value : undefined,
  'a copy of the query': request => ({ ...queryOf(request) }).lang,
  'the names of the query': request => Object.entries(queryOf(request)).find(([name]) => name === 'lang')?.[1],
  JSON: request => /lang":"(\w+)/.exec(JSON.stringify(request.query))?.[1],
  'util.inspect': request => /lang: '(\w+)/.exec(inspect(request.query))?.[1],
  'request.url': request => /lang=(\w+)/.exec(request.url)?.[1],
  'request.originalUrl': request => /lang=(\w+)/.exec(request.originalUrl)?.[1],
  'request.raw.url': request => /lang=(\w+)/.exec(request.raw.url as string)?.[1]
}

for (const [way, value] of Object.entries(WAYS)) {
  for (const query of [['q'], { ignore: ['lang'] }] as const) {
    t.test(`what a hook makes of a parameter by ${way} is each client's own, with query: ${JSON.stringify(query)}`, async t => {
      const handler = held(answer)
      const server = await serve(t, app => { app.get('/', { ...on({ query }), onRequest: make(value) }, handler) })
      t.same(await ask(server, handler, PATHS), LANGUAGES.map(made => ({ made, query: { q: '1' }, url: '/?q=1' })))
      t.equal(handler.runs, 3, 'and those who agree share')
    })
  }
}

const PLACES: Readonly<Record<string, (app: FastifyInstance, handler: HeldHandler, query: CoalesceRouteOptions) => unknown>> = {
  'onRequest, before the plugin knows of the route': (app, handler, query) => {
    app.addHook('onRequest', make(request => queryOf(request).lang))
    app.get('/', on(query), handler)
  },
  preParsing: (app, handler, query) => {
    app.get('/', {
      ...on(query),
      preParsing: async (request, _reply, payload) => {
        await make(each => queryOf(each).lang)(request)
        return payload
      }
    }, handler)
  },
  preValidation: (app, handler, query) => { app.get('/', { ...on(query), preValidation: make(request => queryOf(request).lang) }, handler) },
  preHandler: (app, handler, query) => { app.get('/', { ...on(query), preHandler: make(request => queryOf(request).lang) }, handler) },
  'preHandler, after a validation,': (app, handler, query) => {
    const schema = { querystring: { type: 'object', additionalProperties: false, properties: { q: { type: 'string' }, lang: { type: 'string' } } } }
    app.get('/', { ...on(query), schema, preHandler: make(request => queryOf(request).lang) }, handler)
  },
  'what is put around a handler': (app, handler, query) => {
    app.addHook('onRoute', route => {
      const { handler: inner } = route
      route.handler = async function (request, reply) {
        await make(each => queryOf(each).lang)(request)
        return await inner.call(this, request, reply)
      }
    })
    app.get('/', on(query), handler)
  },
  'preHandler, where requests wait at onRequest,': (app, handler, query) => {
    app.get('/', { ...on({ ...query, hook: 'onRequest' }), preHandler: make(request => queryOf(request).lang) }, handler)
  }
}

for (const [place, route] of Object.entries(PLACES)) {
  t.test(`a hook at ${place} sees the whole query, and what it makes of it is told apart`, async t => {
    const handler = held(answer)
    const server = await serve(t, app => { route(app, handler, { query: ['q'] }) })
    t.same(await ask(server, handler, PATHS), LANGUAGES.map(made => ({ made, query: { q: '1' }, url: '/?q=1' })))
    t.equal(handler.runs, 3)
  })
}

t.test('a query that a hook keeps hold of is watched as long as the handler runs', async t => {
  const handler = held(request => [((request as Made).made as Query).lang, request.query])
  const server = await serve(t, app => { app.get('/', { ...on({ query: ['q'] }), onRequest: make(request => request.query) }, handler) })
  const answers = await meet(server, handler, PATHS.map(path => () => server.get(path)))
  t.same(answers.map(({ body }) => JSON.parse(body) as unknown), LANGUAGES.map(lang => [lang, { q: '1' }]))
  t.equal(handler.runs, 3)
})

t.test('a hook that looks at what is covered, or at nothing, keeps nobody apart', async t => {
  for (const look of [(request: FastifyRequest) => queryOf(request).q, () => 'nothing']) {
    const handler = held(answer)
    const server = await serve(t, app => { app.get('/', { ...on({ query: ['q'] }), onRequest: make(look), preHandler: make(look) }, handler) })
    const answers = await ask(server, handler, PATHS)
    t.strictSame([handler.runs, distinct(answers).length], [1, 1])
  }
})

const check = (request: FastifyRequest): void => {
  if (!/^s\d$/.test(String(queryOf(request).sig))) throw Object.assign(new Error('who?'), { statusCode: 403 })
}

const CHECKS: Readonly<Record<string, object>> = {
  onRequest: { onRequest: async (request: FastifyRequest) => { check(request) } },
  preParsing: {
    preParsing: async (request: FastifyRequest, _reply: unknown, payload: unknown) => {
      check(request)
      return payload
    }
  },
  preValidation: { preValidation: async (request: FastifyRequest) => { check(request) } },
  preHandler: { preHandler: async (request: FastifyRequest) => { check(request) } },
  'a schema': { schema: { querystring: { type: 'object', required: ['sig'], properties: { sig: { type: 'string', pattern: '^s\\d$' }, q: { type: 'integer' } } } } }
}

for (const [place, options] of Object.entries(CHECKS)) {
  t.test(`a signature that ${place} checks and the key ignores reaches it, and the handler does not see it`, async t => {
    const handler = held(request => [Number(queryOf(request).q), Object.keys(queryOf(request)), request.url, request.originalUrl, request.raw.url])
    const server = await serve(t, app => {
      app.get('/', { ...on({ query: { ignore: ['sig'] }, learnVary: { ignore: ['?sig'] } }), ...options }, handler)
    })
    const asked = ['s1', 's2', 'bad', 's3']
    const refused = await server.get('/?q=1&sig=bad')
    t.ok(refused.status === 403 || refused.status === 400)
    const answers = await meet(server, handler, asked.filter(sig => sig !== 'bad').map(sig => () => server.get(`/?sig=${sig}&q=1`)))
    t.strictSame(answers.map(({ status, body }) => [status, body]), answers.map(() => [200, '[1,["q"],"/?q=1","/?q=1","/?q=1"]']))
    t.equal(handler.runs, 1)
  })
}

t.test('a schema alone that looks at what is not covered keeps nobody apart', async t => {
  const handler = held(answer)
  const schema = { querystring: { type: 'object', required: ['sig'], properties: { sig: { type: 'string' }, q: { type: 'integer' } } } }
  const server = await serve(t, app => {
    app.addHook('onRequest', async () => {})
    app.get('/', { ...on({ query: { ignore: ['sig'] } }), schema }, handler)
  })
  t.same(distinct(await ask(server, handler, ['/?q=1&sig=a', '/?q=1&sig=b'])), [{ query: { q: 1 }, url: '/?q=1' }])
  t.equal(handler.runs, 1)
})

t.test('learnVary says of which parameters a look does not matter', async t => {
  const look = make(request => [queryOf(request).lang, request.url.length].length)
  for (const [ignore, runs] of [[['?'], 1], [['?*'], 1], [['?lang', '?utm_*'], 1], [['?la*', '?utm_a'], 2], [['?utm_*'], 2], [['lang'], 3]] as const) {
    const handler = held(answer)
    const server = await serve(t, app => { app.get('/', { ...on({ query: ['q'], learnVary: { ignore } }), onRequest: look }, handler) })
    await ask(server, handler, ['/?q=1&lang=de&utm_a=1&utm_b=1', '/?q=1&lang=fr&utm_a=1&utm_b=1', '/?q=1&lang=fr&utm_a=2&utm_b=2', '/?utm_b=1&q=1&lang=de&utm_a=1'])
    t.equal(handler.runs, runs, JSON.stringify(ignore))
  }
})

t.test('with learnVary: false nothing is learned, and the handler sees no more', async t => {
  const handler = held(({ query, url }) => ({ query, url }))
  const server = await serve(t, app => {
    app.get('/', { ...on({ query: ['q'], learnVary: false }), preHandler: make(request => [queryOf(request).lang, request.url]) }, handler)
  })
  t.same(distinct(await ask(server, handler, PATHS)), [{ query: { q: '1' }, url: '/?q=1' }])
  t.equal(handler.runs, 1)
})

t.test('a warning says once a route what keeps its responses apart', async t => {
  const handler = held()
  handler.gate.open()
  const { logger, event } = lines()
  const server = await serve(t, app => {
    app.get('/all', { ...on({ query: ['q'] }), onRequest: make(request => request.url) }, handler)
    app.get('/one', { ...on({ query: ['q'], ttl: '1m' }), onRequest: make(request => queryOf(request).lang) }, handler)
  }, {}, { logger })
  for (const path of ['/all?q=1', '/all?q=2', '/one?q=1', '/one?q=2']) await server.get(path)
  t.same(event('reads-query').map(({ level, coalesce }) => [level, coalesce?.route, coalesce?.reads]), [[WARN, '/all', '?'], [WARN, '/one', '?lang']])
})

/** Of a response that is kept, and grows stale. */
async function keep (test: Parameters<typeof serve>[0], options: CoalesceRouteOptions, fastify: FastifyServerOptions = {}) {
  const clock = new TestClock()
  const seen: string[] = []
  let runs = 0
  const server = await serve(test, app => {
    const look = make(request => {
      seen.push(request.url)
      return queryOf(request).lang
    })
    app.get('/', { ...on({ ttl: '10s', staleWhileRevalidate: '1m', query: ['q'], ...options }), preHandler: look }, request => ({ run: ++runs, ...answer(request) as object }))
  }, { clock, storeTimeout: '5s' }, fastify)
  const get = async (path: string) => JSON.parse((await server.get(path)).body) as Told & { run: number }
  const ended = async (count: number): Promise<void> => {
    await until(() => runs >= count, 'a refresh')
    await new Promise(resolve => setImmediate(resolve))
  }
  return { server, clock, seen, get, ended, runs: () => runs }
}

for (const [what, options, fastify] of [
  ['', { learnVary: { ignore: ['?'] } }, {}],
  [', of one parameter', {}, {}],
  [', and the router rewrites URLs', {}, { rewriteUrl: ({ url = '' }: { url?: string }) => url.replace('/?', '/?was=1&') }]
] as const) {
  t.test(`a refresh in the background has what the key and the variant are made of, and no more${what}`, async t => {
    const learns = 'learnVary' in options
    const looks = learns ? options : { learnVary: { ignore: ['?me', '?was'] } }
    const { clock, seen, get, ended, runs } = await keep(t, looks, fastify)
    const ask = (lang: string, me: string) => get(`/?me=${me}&q=1&lang=${lang}`)
    t.equal((await ask('de', 'a')).run, 1)
    if (!learns) t.match(await ask('fr', 'b'), { run: 2, made: 'fr', query: { q: '1' } })
    const before = runs()
    clock.advance(11_000)
    const stale = await ask('de', 'c')
    t.match(stale, { run: 1, made: 'de' })
    await ended(before + 1)
    t.match(await ask('de', 'd'), { run: before + 1, query: { q: '1' }, ...learns ? {} : { made: 'de' } })
    const refresh = seen.filter(url => !url.includes('me='))
    t.equal(refresh.length, 1)
    t.match(refresh[0], learns ? '/?q=1' : /q=1&lang=de$/)
    t.equal(runs(), before + 1)
  })
}

t.test('a response that depends on all of a query is refreshed with all of it', async t => {
  const { clock, seen, get, ended } = await keep(t, {})
  await get('/?q=1&lang=de&me=a')
  clock.advance(11_000)
  t.match(await get('/?q=1&lang=de&me=a'), { run: 1 })
  await ended(2)
  t.match(await get('/?q=1&lang=de&me=a'), { run: 2, made: 'de' })
  t.equal(new Set(seen).size, 1)
})

t.test('HEAD is answered from what a GET of its own variant left, and runs as that did otherwise', async t => {
  const seen: unknown[] = []
  const server = await serve(t, app => {
    app.get('/', { ...on({ ttl: '1m', query: ['q'] }), onRequest: make(request => queryOf(request).lang) }, (request, reply) => {
      seen.push([request.method, answer(request)])
      reply.header('content-language', String((request as Made).made))
      return 'page'
    })
  })
  const head = async (lang: string) => (await server.get(`/?q=1&lang=${lang}`, { method: 'HEAD' })).headers['content-language']
  t.equal(await head('de'), 'de')
  await server.get('/?q=1&lang=de')
  t.equal(await head('de'), 'de')
  t.equal(await head('fr'), 'fr')
  const handlerSaw = (made: string) => ({ made, query: { q: '1' }, url: '/?q=1' })
  t.same(seen, [['HEAD', handlerSaw('de')], ['GET', handlerSaw('de')], ['HEAD', handlerSaw('fr')]])
})

t.test('a follower that takes over has its own query, and its handler what is covered', async t => {
  const handler = held(answer)
  const server = await serve(t, app => {
    app.get('/', { ...on({ query: ['q'], flightTimeout: '50ms' }), onRequest: make(request => queryOf(request).lang) }, handler)
  })
  const answers = await queue(server, ['de', 'de', 'fr'].map(lang => () => server.get(`/?q=1&lang=${lang}`)))
  await new Promise(resolve => setTimeout(resolve, 100))
  handler.gate.open()
  t.same((await Promise.all(answers)).map(({ body }) => JSON.parse(body) as unknown), ['de', 'de', 'fr'].map(made => ({ made, query: { q: '1' }, url: '/?q=1' })))
})

t.test('who bypasses has its handler see what is covered as well', async t => {
  const server = await serve(t, app => {
    app.get('/', { ...on({ query: ['q'] }), preHandler: make(request => queryOf(request).lang) }, answer)
    app.get('/early', on({ query: ['q'] }), answer)
  })
  const headers = { authorization: 'me' }
  t.same(JSON.parse((await server.get('/?q=1&lang=de', { headers })).body), { made: 'de', query: { q: '1' }, url: '/?q=1' })
  t.same(JSON.parse((await server.get('/early?q=1&lang=de', { headers })).body), { query: { q: '1' }, url: '/early?q=1' })
})

t.test('hooks after the handler see the whole query again, but of a stream that is still being made', async t => {
  const seen: unknown[] = []
  const handler = held((request, reply) => {
    if (!request.url.startsWith('/stream')) return 'page'
    return reply.send(Readable.from((async function * () { yield JSON.stringify([request.url, request.query]) })()))
  })
  const server = await serve(t, app => {
    app.addHook('onSend', async (request, _reply, payload) => {
      seen.push([request.url, request.originalUrl, request.query])
      return payload
    })
    for (const path of ['/page', '/stream']) app.get(path, { ...on({ query: ['q'] }), preHandler: async () => {} }, handler)
  })
  await meet(server, handler, ['a', 'b'].map(me => () => server.get(`/page?q=1&me=${me}`)))
  const whole = (me: string) => [`/page?q=1&me=${me}`, `/page?q=1&me=${me}`, { q: '1', me }]
  t.same(new Set(seen.map(each => JSON.stringify(each))), new Set(['a', 'b'].map(me => JSON.stringify(whole(me)))))
  const { body } = await server.get('/stream?q=1&me=a')
  t.same(JSON.parse(body), ['/stream?q=1', { q: '1' }])
})

t.test('what hooks put into a query reaches the handler, whatever clients send by that name', async t => {
  const hooks: Readonly<Record<string, (request: FastifyRequest) => void>> = {
    'one by one': request => { Object.assign(queryOf(request), { tenant: 'acme', q: String(queryOf(request).q).toLowerCase() }) },
    'in another object': request => { request.query = { ...queryOf(request), tenant: 'acme', q: String(queryOf(request).q).toLowerCase() } },
    'in another object, which it changes': request => {
      request.query = { ...queryOf(request) }
      Object.assign(queryOf(request), { tenant: 'acme', q: String(queryOf(request).q).toLowerCase() })
    }
  }
  for (const [how, hook] of Object.entries(hooks)) {
    for (const learnVary of [false, { ignore: ['?'] }] as const) {
      const handler = held(({ query }) => query)
      const server = await serve(t, app => {
        const schema = { querystring: { type: 'object', properties: { me: { type: 'integer' } } } }
        app.get('/', { ...on({ query: ['q'], learnVary }), schema, preValidation: async request => { hook(request) } }, handler)
      })
      const answers = await meet(server, handler, ['/?q=A&me=1', '/?q=A&me=2&tenant=evil', '/?tenant=evil&q=A', '/?q=A'].map(path => () => server.get(path)))
      t.same(distinct(answers.map(({ body }) => JSON.parse(body) as unknown)), [{ tenant: 'acme', q: 'a' }], how)
      t.equal(handler.runs, 1)
    }
  }
})

t.test('what hooks take out of a query is not there for the handler', async t => {
  const handler = held(({ query }) => query)
  const server = await serve(t, app => {
    app.get('/', { ...on({ query: ['q', 'p'] }), preHandler: async request => { delete queryOf(request).p } }, handler)
  })
  const answers = await meet(server, handler, ['/?q=1&p=2&me=1', '/?q=1&p=2&me=2'].map(path => () => server.get(path)))
  t.same(distinct(answers.map(({ body }) => body)), ['{"q":"1"}'])
  t.equal(handler.runs, 1)
})

/** Validators that make of a query what they like. */
const VALIDATORS: Readonly<Record<string, (query: Query) => unknown>> = {
  'answers with another object': ({ q, lang }) => ({ value: { q: `${String(q)} in ${String(lang)}` } }),
  'changes it later': async query => {
    await null
    query.q = `${String(query.q)} in ${String(query.lang)}`
  },
  'answers with the same object': query => {
    query.q = `${String(query.q)} in ${String(query.lang)}`
    return { value: query }
  },
  'changes it': query => {
    query.q = `${String(query.q)} in ${String(query.lang)}`
    return true
  },
  'does not bear to be asked about less': ({ q, lang }) => {
    if (lang === undefined) throw new Error('which?')
    return { value: { q: `${String(q)} in ${String(lang)}` } }
  },
  'puts another object in its place': Object.assign((query: Query, { parentData }: { parentData?: { query: Query } } = {}) => {
    if (parentData !== undefined) parentData.query = { q: `${String(query.q)} in ${String(query.lang)}` }
    return true
  }, { schemaEnv: {} }),
  'answers with an object of a class': ({ q, lang }) => ({ value: { q: new Map([['q', `${String(q)} in ${String(lang)}`]]) } })
}

for (const [what, validate] of Object.entries(VALIDATORS)) {
  t.test(`a validation that ${what} hands nothing of one client's to another`, async t => {
    for (const [learnVary, watches] of [[true, false], [true, true], [{ ignore: ['?'] }, false], [{ ignore: ['?'] }, true]] as const) {
      const handler = held(({ query }) => query)
      const shown = ({ q }: Query): unknown => q instanceof Map ? Object.fromEntries(q) : q
      const server = await serve(t, app => {
        if (watches) app.addHook('onRequest', async () => {})
        app.get('/', { ...on({ query: ['q'], learnVary }), schema: { querystring: {} }, validatorCompiler: () => validate as never }, async (request, reply) => {
          await handler(request, reply)
          return { q: shown(queryOf(request)) }
        })
      })
      const answers = await meet(server, handler, PATHS.map(path => () => server.get(path)))
      const bodies = answers.map(({ body }) => (JSON.parse(body) as Query).q)
      t.same(bodies.map(each => /(\w+)"?\}?$/.exec(JSON.stringify(each).replace(/"/g, ''))?.[1]), LANGUAGES)
    }
  })
}

t.test('what hooks make of what a validation answered is told apart', async t => {
  for (const [validate, value] of [
    [({ q, lang }: Query) => ({ value: { q, text: `in ${String(lang)}` } }), (request: FastifyRequest) => queryOf(request).text],
    [({ q, lang }: Query) => ({ value: `${String(q)} in ${String(lang)}` }), (request: FastifyRequest) => request.query]
  ] as const) {
    const handler = held(answer)
    const server = await serve(t, app => {
      app.addHook('onRequest', async () => {})
      app.get('/', { ...on({ query: ['q'] }), schema: { querystring: {} }, validatorCompiler: () => validate as never, preHandler: make(value) }, handler)
    })
    const answers = await ask(server, handler, PATHS)
    t.same(answers.map(({ made }) => /in (\w+)$/.exec(String(made))?.[1]), LANGUAGES)
    t.equal(handler.runs, 3)
  }
})

for (const part of ['querystring', 'query']) {
  t.test(`what a validation takes a dislike to is told apart where the handler is told of it, by ${part}`, async t => {
    const handler = held(request => request.validationError === undefined ? 'fine' : 'not fine')
    const server = await serve(t, app => {
      const schema = { [part]: { type: 'object', properties: { me: { type: 'integer' } } } }
      app.get('/', { ...on({ query: ['q'] }), schema, attachValidation: true }, handler)
    })
    const answers = await meet(server, handler, ['1', 'x', '1', 'x'].map(me => () => server.get(`/?q=1&me=${me}`)))
    t.same(answers.map(({ body }) => body), ['fine', 'not fine', 'fine', 'not fine'])
    t.equal(handler.runs, 2)
  })
}

t.test('a validation after a request has boarded is told apart', async t => {
  const handler = held(({ query }) => query)
  const schema = { querystring: { type: 'object', required: ['me'], properties: { me: { type: 'integer' }, q: { type: 'integer' } } } }
  const server = await serve(t, app => { app.get('/', { ...on({ query: ['q'], hook: 'onRequest' }), schema }, handler) })
  const answers = await meet(server, handler, ['1', '2', '1'].map(me => () => server.get(`/?q=1&me=${me}`)))
  t.same(answers.map(({ body }) => body), ['{"q":1}', '{"q":1}', '{"q":1}'])
  t.equal(handler.runs, 2)
})

/** Parsers of the app's own. */
const PARSERS: Readonly<Record<string, { parse: (query: string) => unknown, value: (query: never) => unknown, cover: string }>> = {
  'of nested objects': { parse: parseNested, value: ({ ui }: { ui?: { lang?: string } }) => ui?.lang, cover: 'q' },
  'that makes one value of several names': {
    parse: query => {
      const { q, 'ui[lang]': lang } = Object.fromEntries(new URLSearchParams(query))
      if (q === undefined) return {}
      return { q: lang === undefined ? q : `${q} ${lang}` }
    },
    value: ({ q }: { q: string }) => q.split(' ')[1],
    cover: 'q'
  },
  'that gives no plain object': { parse: query => new URLSearchParams(query), value: (query: URLSearchParams) => query.get('ui[lang]'), cover: 'q' },
  'that gives text': { parse: query => query, value: (query: string) => /lang\]=(\w+)/.exec(decodeURIComponent(query))?.[1], cover: 'q' }
}

for (const [what, { parse, value, cover }] of Object.entries(PARSERS)) {
  t.test(`with a parser ${what} what a hook makes of the rest is each client's own`, async t => {
    const handler = held(request => [(request as Made).made, value(request.query as never) ?? null, request.url])
    const server = await serve(t, app => {
      app.get('/', { ...on({ query: [cover] }), onRequest: make(request => value(request.query as never)) }, handler)
    }, {}, { routerOptions: { querystringParser: parse as (query: string) => Record<string, unknown> } })
    const answers = await meet(server, handler, LANGUAGES.map(lang => () => server.get(`/?q=1&ui%5Blang%5D=${lang}`)))
    t.same(answers.map(({ body }) => JSON.parse(body) as unknown), LANGUAGES.map(lang => [lang, null, '/?q=1']))
    t.equal(handler.runs, 3)
  })
}

t.test('over HTTP/2 as well', async t => {
  const handler = held(answer)
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  await app.register(coalesce)
  app.get('/', { ...on({ query: ['q'] }), onRequest: make(request => /lang=(\w+)/.exec(request.url)?.[1]) }, handler)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connectHttp2(`http://127.0.0.1:${(app.server.address() as { port: number }).port}`)
  t.teardown(async () => {
    session.close()
    await app.close()
  })
  const answers = PATHS.map(path => new Promise<string>((resolve, reject) => {
    let body = ''
    session.request({ ':path': path }).on('data', chunk => { body += String(chunk) }).on('end', () => { resolve(body) }).on('error', reject)
  }))
  while (app.coalesce.stats().totalRequests < PATHS.length) await new Promise(resolve => setImmediate(resolve))
  handler.gate.open()
  t.same((await Promise.all(answers)).map(body => JSON.parse(body) as unknown), LANGUAGES.map(made => ({ made, query: { q: '1' }, url: '/?q=1' })))
  t.equal(handler.runs, 3)
})

t.test('a URL that a hook changes, or watches itself, is seen as it left it', async t => {
  const handler = held(({ url, raw }) => [url, Object.keys(raw).includes('url')])
  const server = await serve(t, app => {
    app.get('/changed', { ...on({ query: ['q'] }), onRequest: async ({ raw }) => { raw.url = '/other?q=2&me=1' } }, handler)
    app.get('/defined', {
      ...on({ query: ['q'] }),
      onRequest: async ({ raw }) => {
        Object.defineProperty(raw, 'url', { value: '/other?q=3&me=1', writable: true, enumerable: true, configurable: true })
      }
    }, handler)
  })
  const answers = await meet(server, handler, ['/changed?q=1&me=1', '/defined?q=1&me=1'].map(path => () => server.get(path)))
  t.same(answers.map(({ body }) => JSON.parse(body) as unknown), [['/other?q=2', true], ['/other?q=3', true]])
})

t.test('a URL that was looked at before the hooks is looked at anew', async t => {
  const handler = held(answer)
  const server = await serve(t, app => {
    app.get('/', { ...on({ query: ['q'] }), onRequest: make(request => /lang=(\w+)/.exec(request.originalUrl)?.[1]) }, handler)
  }, {}, { logger: { level: 'info', stream: { write () {} }, serializers: { req: ({ originalUrl }: { originalUrl: string }) => ({ originalUrl }) as never } } })
  t.same((await ask(server, handler, PATHS)).map(({ made }) => made), LANGUAGES)
  t.equal(handler.runs, 3)
})

t.test('what a validation refuses is refused, and who is not refused is answered', async t => {
  const handler = held(({ query }) => query)
  const validate = ({ me, q }: Query): unknown => me === 'x' ? { error: new Error('who?'), value: { q: 'nobody' } } : { value: { q: `${String(q)}!` } }
  const server = await serve(t, app => {
    app.get('/', { ...on({ query: ['q'] }), schema: { querystring: {} }, validatorCompiler: () => validate as never, preHandler: async () => {} }, handler)
  })
  t.equal((await server.get('/?q=1&me=x')).status, 400)
  const answers = await meet(server, handler, ['1', '2'].map(me => () => server.get(`/?q=1&me=${me}`)))
  t.strictSame([handler.runs, distinct(answers.map(({ body }) => body))], [1, ['{"q":"1!"}']])
})

t.test('where a hook puts what is no plain object in the place of a query, the handler sees what is covered', async t => {
  const handler = held(({ query }) => query)
  const server = await serve(t, app => {
    app.get('/', { ...on({ query: ['q'] }), onRequest: async request => { request.query = new Map(Object.entries(queryOf(request))) } }, handler)
  })
  const answers = await meet(server, handler, ['1', '2', '1'].map(me => () => server.get(`/?q=1&me=${me}`)))
  t.strictSame([handler.runs, distinct(answers.map(({ body }) => body))], [2, ['{"q":"1"}']])
})

t.test('a handler that is called twice sees what is covered both times, wherever its requests wait', async t => {
  for (const hook of ['onRequest', 'preHandler'] as const) {
    const seen: unknown[] = []
    const server = await serve(t, app => {
      app.addHook('onRoute', route => {
        const { handler: inner } = route
        route.handler = async function (request, reply) {
          await inner.call(this, request, reply)
          return await inner.call(this, request, reply)
        }
      })
      app.get('/', on({ query: ['q'], hook }), async request => {
        seen.push(request.query)
        return 'twice'
      })
    })
    t.equal((await server.get('/?q=1&me=1')).body, 'twice')
    t.same(seen, [{ q: '1' }, { q: '1' }])
  }
})

t.test('a route that attaches what validation finds, and has none to attach, shares as any other', async t => {
  const handlers = { '/narrowed': held(({ query }) => query), '/whole': held(({ query }) => query) }
  const server = await serve(t, app => {
    app.get('/narrowed', { ...on({ query: ['q'], hook: 'preHandler' }), attachValidation: true }, handlers['/narrowed'])
    app.get('/whole', { ...on({}), attachValidation: true, schema: { querystring: { type: 'object' } } }, handlers['/whole'])
  })
  for (const [path, handler] of Object.entries(handlers)) {
    const answers = await meet(server, handler, ['', ''].map(() => () => server.get(`${path}?q=1`)))
    t.same(answers.map(({ body }) => body), ['{"q":"1"}', '{"q":"1"}'])
    t.equal(handler.runs, 1, path)
  }
})

t.test('hooks that come after the response see the whole query, of one that led, that followed, and that was answered from the cache', async t => {
  const handler = held(answer)
  const seen: unknown[] = []
  const server = await serve(t, app => {
    app.addHook('onResponse', async request => { seen.push([request.coalesce?.outcome, request.url, { ...queryOf(request) }]) })
    app.get('/', on({ query: ['q'], ttl: '1m' }), handler)
  })
  t.same((await ask(server, handler, ['/?q=1&lang=de', '/?q=1&lang=fr'])).map(({ url }) => url), ['/?q=1', '/?q=1'])
  await server.get('/?q=1&lang=en')
  await until(() => seen.length === 3, 'all hooks')
  t.same(new Set(seen), new Set([
    ['leader', '/?q=1&lang=de', { q: '1', lang: 'de' }], ['follower', '/?q=1&lang=fr', { q: '1', lang: 'fr' }], ['hit', '/?q=1&lang=en', { q: '1', lang: 'en' }]
  ]))
})
