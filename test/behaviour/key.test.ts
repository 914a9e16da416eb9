import t, { type Test } from 'tap'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { distinct, held, meet, times } from '../fixtures/crowd.js'
import { lines, WARN } from '../fixtures/lines.js'
import { parseNested } from '../fixtures/queries.js'
import { metric, serve, type GetOptions } from '../fixtures/server.js'

interface Ask extends GetOptions {
  readonly path?: string
}

/** How many runs these requests take, and what each of them is answered. */
async function runsOf (t: Test, options: CoalesceRouteOptions, asks: readonly Ask[]) {
  const handler = held(request => ({ url: request.url, query: request.query }))
  const server = await serve(t, app => {
    app.route({ method: ['GET', 'POST', 'QUERY'], url: '/search', config: { coalesce: { learnVary: false, ...options } }, handler })
  })
  const answers = await meet(server, handler, asks.map(({ path = '/search', ...rest }) => () => server.get(path, rest)))
  const bypassed = await metric(server.app, 'coalesce_requests_total', { outcome: 'bypass' })
  return { runs: handler.runs, bypassed, answers: answers.map(({ body }) => JSON.parse(body) as { url: string, query: unknown }) }
}

const paths = (...queries: string[]): Ask[] => queries.map(query => ({ path: `/search${query}` }))

t.test('the order of names does not matter, the order of a name\'s values does', async t => {
  const { runs } = await runsOf(t, {}, paths('?a=1&b=2', '?b=2&a=1', '?a=1&b=2&a=3', '?a=3&b=2&a=1', '?b=2&a=1&a=3'))
  t.equal(runs, 3)
})

t.test('nothing of a query is decoded, dropped or changed in case', async t => {
  const queries = ['', '?', '?a', '?a=', '?A=', '?a=%20', '?a=+', '?a=x', '?a=X', '?%61=x', '?a=x&', '?a=x&&b']
  const { runs } = await runsOf(t, {}, paths(...queries))
  t.equal(runs, queries.length)
})

t.test("query: 'raw' tells the order of names apart", async t => {
  t.equal((await runsOf(t, { query: 'raw' }, paths('?a=1&b=2', '?b=2&a=1', '?a=1&b=2'))).runs, 2)
})

t.test('query: [names] shares whatever the other names say, and the handler sees these only', async t => {
  const { runs, answers } = await runsOf(t, { query: ['q', 'page'] }, paths('?q=1&utm=x&page=2', '?page=2&user=me&q=1', '?q=1', '?utm=1', ''))
  t.equal(runs, 3)
  t.strictSame(distinct(answers.map(({ query }) => query)), [{ q: '1', page: '2' }, { q: '1' }, {}])
  t.strictSame(distinct(answers.map(({ url }) => url)), ['/search?q=1&page=2', '/search?q=1', '/search'])
})

t.test('query: { ignore } shares whatever these names say, and the handler does not see them', async t => {
  const { runs, answers } = await runsOf(t, { query: { ignore: ['utm_*', 'gclid'] } },
    paths('?q=1&utm_source=a', '?utm_medium=b&q=1&gclid=2', '?q=1', '?q=1&gclid_=3'))
  t.equal(runs, 2)
  t.strictSame(distinct(answers.map(({ query }) => query)), [{ q: '1' }, { q: '1', gclid_: '3' }])
})

const NAMES: Readonly<Record<string, string>> = {
  'filter[name]': 'filter%5Bname%5D', 'ids[]': 'ids%5B%5D', größe: 'gr%C3%B6%C3%9Fe', 'page size': 'page+size', $top: '%24top', q: '%71'
}

for (const [name, sent] of Object.entries(NAMES)) {
  t.test(`query: ['${name}'] covers what clients send as ${sent}, and { ignore: ['${name}'] } ignores it`, async t => {
    const only = await runsOf(t, { query: [name] }, paths(`?${sent}=1&x=1`, `?x=2&${sent}=1`, `?${sent}=2`))
    t.equal(only.runs, 2)
    t.strictSame(distinct(only.answers.map(({ query }) => query)), [{ [name]: '1' }, { [name]: '2' }])
    const but = await runsOf(t, { query: { ignore: [name] } }, paths(`?${sent}=1&x=1`, `?x=1&${sent}=2`, `?${sent}=2`))
    t.equal(but.runs, 2)
    t.strictSame(distinct(but.answers.map(({ query }) => query)), [{ x: '1' }, {}])
  })
}

t.test('with a parser of nested objects names are those that it gives, or the way to a value', async t => {
  for (const [query, seen] of [
    [['filter'], { filter: { name: 'x', age: '1' } }],
    [['filter[name]'], { filter: { name: 'x' } }],
    [['ids'], { ids: ['2', '3'] }],
    [['ids[]'], { ids: ['2', '3'] }],
    [{ ignore: ['filter', 'me'] }, { ids: ['2', '3'] }],
    [{ ignore: ['filter[age]', 'ids[]', 'me'] }, { filter: { name: 'x' } }]
  ] as const) {
    const handler = held(request => request.query)
    const server = await serve(t, app => { app.get('/', { config: { coalesce: { query } } }, handler) }, {}, { routerOptions: { querystringParser: parseNested } })
    const answers = await meet(server, handler, ['a', 'b'].map(me => () => server.get(`/?filter%5Bname%5D=x&me=${me}&filter[age]=1&ids%5B%5D=2&ids[]=3`)))
    t.strictSame(distinct(answers.map(({ body }) => JSON.parse(body) as unknown)), [seen], JSON.stringify(query))
    t.equal(handler.runs, 1)
  }
})

t.test('a request that bypasses sees the narrowed query as well', async t => {
  const { bypassed, answers } = await runsOf(t, { query: ['q'] }, [{ path: '/search?q=1&me=2', headers: { authorization: 'x' } }])
  t.equal(bypassed, 1)
  t.strictSame(answers, [{ url: '/search?q=1', query: { q: '1' } }])
})

t.test('a schema that coerces and fills in sees the whole query, and the handler what it makes of what is covered', async t => {
  const handler = held(request => request.query)
  const querystring = {
    type: 'object',
    properties: { page: { type: 'integer', default: 1 }, limit: { type: 'integer', default: 10 } }
  }
  const server = await serve(t, app => { app.get('/', { config: { coalesce: { query: ['page'] } }, schema: { querystring } }, handler) })
  const answers = await meet(server, handler, ['/?page=2&limit=99', '/?page=2&limit=7', '/?limit=5', '/?page=2'].map(path => () => server.get(path)))
  t.strictSame(answers.map(({ status, body }) => [status, body]),
    [[200, '{"page":2,"limit":10}'], [200, '{"page":2,"limit":10}'], [200, '{"page":1,"limit":10}'], [200, '{"page":2,"limit":10}']])
  t.equal(handler.runs, 2)
  t.equal((await server.get('/?page=2&limit=x')).status, 400)
})

t.test('a parser of the app\'s own parses the narrowed query', async t => {
  const querystringParser = (query: string): Record<string, string> => ({ parsed: query.toUpperCase() })
  for (const options of [{ querystringParser }, { routerOptions: { querystringParser } }]) {
    const handler = held(request => request.query)
    const server = await serve(t, app => { app.get('/', { config: { coalesce: { query: ['q'] } } }, handler) }, {}, options)
    const answers = await meet(server, handler, ['/?q=a&b=1', '/?b=2&q=a'].map(path => () => server.get(path)))
    t.strictSame(answers.map(({ body }) => body), ['{"parsed":"Q=A"}', '{"parsed":"Q=A"}'])
    t.equal(handler.runs, 1)
  }
})

t.test('a semicolon begins the query where the router has it so', async t => {
  for (const [useSemicolonDelimiter, runs] of [[true, 1], [false, 2]] as const) {
    const handler = held(request => request.query)
    const server = await serve(t, app => { app.get('/:rest', { config: { coalesce: { query: ['q'] } } }, handler) }, {}, { useSemicolonDelimiter })
    await meet(server, handler, ['/a;q=1&b=2', '/a;q=1&b=3'].map(path => () => server.get(path)))
    t.equal(handler.runs, runs)
  }
})

t.test('headers are part of the key, and an absent one differs from an empty one', async t => {
  const ask = (language?: string): Ask => ({ headers: language === undefined ? {} : { 'accept-language': language } })
  const { runs } = await runsOf(t, { headers: ['Accept-Language'] }, [ask('de'), ask('en'), ask('de'), ask(''), ask(), ask(''), ask()])
  t.equal(runs, 4)
})

t.test('a header that is declared is not a credential any more', async t => {
  const ask = (key: string): Ask => ({ headers: { 'x-api-key': key } })
  const { runs, bypassed } = await runsOf(t, { headers: ['x-api-key'] }, [ask('a'), ask('b'), ask('a')])
  t.strictSame([runs, bypassed], [2, 0])
})

t.test('cookies are part of the key, and only a request without others coalesces', async t => {
  const ask = (cookie: string): Ask => ({ headers: { cookie } })
  const { runs, bypassed } = await runsOf(t, { cookies: ['theme'] },
    [ask('theme=dark'), ask(' theme=dark; '), ask('theme=light'), ask('theme=dark; session=1'), ask('theme=dark; session=2'), {}, {}])
  t.strictSame([runs, bypassed], [5, 2])
})

t.test('identity keeps clients apart and makes those with credentials coalesce', async t => {
  const ask = (user: string): Ask => ({ headers: { authorization: user } })
  const { runs, bypassed } = await runsOf(t, { identity: request => request.headers.authorization ?? '' },
    [ask('ann'), ask('bob'), ask('ann'), ask('bob'), {}, {}])
  t.strictSame([runs, bypassed], [4, 2], 'who has no identity bypasses')
})

t.test('identity and key that throw, or answer nothing, bypass: there is no shared empty key', async t => {
  const nothing: ReadonlyArray<CoalesceRouteOptions> = [
    { identity: () => '' },
    { identity: () => { throw new Error('who?') } },
    { identity: () => undefined as unknown as string },
    { identity: async () => 'me' } as unknown as CoalesceRouteOptions,
    { key: () => null },
    { key: () => '' },
    { key: () => [] },
    { key: () => { throw new Error('which?') } },
    { key: () => [undefined] as unknown as string[] },
    { key: () => ({}) as unknown as string }
  ]
  const results: number[][] = []
  for (const options of nothing) {
    const { runs, bypassed } = await runsOf(t, options, [{}, {}])
    results.push([runs, bypassed])
  }
  t.strictSame(results, nothing.map(() => [2, 2]))
})

t.test('key replaces path and query, and nothing else', async t => {
  const handler = held(() => 'shared')
  const server = await serve(t, app => {
    const key = (request: { params: unknown }) => (request.params as { id: string }).id.toLowerCase()
    app.get('/item/:id', { config: { coalesce: { key, headers: ['x-tenant'] } } }, handler)
    app.get('/other/:id', { config: { coalesce: { key } } }, handler)
  })
  await meet(server, handler, [
    () => server.get('/item/A?x=1'), () => server.get('/item/a?x=2'),
    () => server.get('/item/a', { headers: { 'x-tenant': '1' } }),
    () => server.get('/item/a', { headers: { host: 'elsewhere' } }),
    () => server.get('/other/a')
  ])
  t.equal(handler.runs, 4)
})

for (const query of [true, 'raw', ['token', 'q']] as const) {
  for (const learnVary of [true, false]) {
    t.test(`a hook that changes a request's URL hides nothing from the key, with query: ${JSON.stringify(query)} and learnVary: ${learnVary}`, async t => {
      const handler = held(({ params, query, url }) => [params, query, url])
      const server = await serve(t, app => {
        app.addHook('onRequest', async ({ raw }) => { if (raw.url?.includes('token') === true) raw.url = '/hidden' })
        app.get('/item/:id', { config: { coalesce: { query, learnVary } } }, handler)
      })
      const asked = ['/item/1?token=a', '/item/1?token=b', '/item/2?token=a', '/item/1?token=a', '/item/1?q=a']
      const answers = await meet(server, handler, asked.map(path => () => server.get(path)))
      const seen = (id: string, token: string): string => JSON.stringify([{ id }, { token }, '/hidden'])
      t.same(answers.map(({ body }) => body),
        [seen('1', 'a'), seen('1', 'b'), seen('2', 'a'), seen('1', 'a'), JSON.stringify([{ id: '1' }, { q: 'a' }, '/item/1?q=a'])])
      t.equal(handler.runs, 4)
    })
  }
}

t.test('keys made of parts are apart wherever the parts are', async t => {
  const { runs } = await runsOf(t, { key: request => (request.query as { parts: string }).parts.split('~') },
    paths('?parts=a~b', '?parts=a,b', '?parts=a"~"b', '?parts=a~b~', '?parts=~a~b', '?parts=a~b'))
  t.equal(runs, 5)
})

t.test('a key function sees what gates left on the request', async t => {
  const handler = held(request => request.params)
  const server = await serve(t, app => {
    app.decorateRequest('tenant', '')
    app.addHook('preHandler', async request => { request.setDecorator('tenant', String(request.headers['x-tenant'])) })
    app.get('/', { config: { coalesce: { identity: request => request.getDecorator<string>('tenant') } } }, handler)
  })
  await meet(server, handler, ['a', 'b', 'a'].map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
  t.equal(handler.runs, 2)
})

t.test('a declared header, and a cookie, may be what a schema has made of them', async t => {
  const handler = held(({ headers }) => ({ page: headers['x-page'], flag: headers['x-flag'] ?? 'none', cookie: headers.cookie }))
  const string = { type: 'array', items: { type: 'string' } }
  const server = await serve(t, app => {
    app.get('/', {
      config: { coalesce: { headers: ['x-page', 'x-flag'], cookies: ['theme'] } },
      schema: { headers: { type: 'object', properties: { 'x-page': { type: 'integer' }, 'x-flag': { type: 'boolean' }, cookie: string } } }
    }, handler)
  }, {}, { ajv: { customOptions: { coerceTypes: 'array' } } })
  const asks = [{ 'x-page': '1' }, { 'x-page': '2' }, { 'x-page': '1' }, { 'x-flag': 'true' }, { 'x-flag': 'false' }, { cookie: 'theme=dark' }, {}, {}]
  const answers = await meet(server, handler, asks.map(headers => () => server.get('/', { headers })))
  t.strictSame(answers.map(({ status, body }) => [status, JSON.parse(body)]), [
    [200, { page: 1, flag: 'none' }], [200, { page: 2, flag: 'none' }], [200, { page: 1, flag: 'none' }],
    [200, { flag: true }], [200, { flag: false }], [200, { flag: 'none', cookie: ['theme=dark'] }], [200, { flag: 'none' }], [200, { flag: 'none' }]
  ])
  t.equal(handler.runs, 6)
})

const post = (body: string, type = 'application/json', method = 'POST'): Ask => ({ method, body, headers: { 'content-type': type } })

t.test('bodies of POST and QUERY are part of the key, JSON by what it says', async t => {
  for (const method of ['POST', 'QUERY']) {
    const asks = [
      '{"a":1,"b":{"c":[1,2],"d":null}}', '{"b":{"d":null,"c":[1,2]},"a":1.0}', ' {"a":1, "b":{"c":[1,2],"d":null}}',
      '{"a":1,"b":{"c":[2,1],"d":null}}', '{"a":"1","b":{"c":[1,2],"d":null}}', '{}', '[]', 'null'
    ].map(body => post(body, 'application/json', method))
    t.equal((await runsOf(t, { body: true }, asks)).runs, 6, method)
  }
})

t.test('numbers that JSON cannot write again are told apart', async t => {
  t.equal((await runsOf(t, { body: true }, ['{"n":1e400}', '{"n":null}', '{"n":-1e400}'].map(body => post(body)))).runs, 3)
})

t.test('POST and QUERY with the same body are apart, and so are paths', async t => {
  const { runs } = await runsOf(t, { body: true }, [
    post('{}'), post('{}', 'application/json', 'QUERY'), { ...post('{}'), path: '/search?q=1' }, { ...post('{}'), path: '/search?q=1' }
  ])
  t.equal(runs, 3)
})

t.test('text and bytes are part of the key as they are', async t => {
  const handler = held(request => request.body)
  const server = await serve(t, app => {
    app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => body)
    app.post('/', { config: { coalesce: { body: true } } }, handler)
  })
  const send = (body: string, type: string) => () => server.get('/', post(body, type))
  const answers = await meet(server, handler, [
    send('a b', 'text/plain'), send('a  b', 'text/plain'), send('a b', 'text/plain'),
    send('a b', 'application/octet-stream'), send('a b', 'application/octet-stream'), send('ab', 'application/octet-stream')
  ])
  t.strictSame(answers.map(({ body }) => body), ['a b', 'a  b', 'a b', 'a b', 'a b', 'ab'])
  t.equal(handler.runs, 4)
})

t.test('a body over the cap bypasses', async t => {
  const body = (length: number): Ask => post(JSON.stringify('x'.repeat(length)))
  const { runs, bypassed } = await runsOf(t, { body: { maxBytes: 100 } }, [body(99), body(99), body(101), body(101)])
  t.strictSame([runs, bypassed], [3, 2])
})

t.test('a body that is nested without end is answered, as it is without the plugin', async t => {
  const handler = held(() => 'fine')
  const server = await serve(t, app => { app.post('/', { config: { coalesce: { body: true } } }, handler) })
  const answers = await meet(server, handler, times(2, server, '/', post('['.repeat(100_000) + ']'.repeat(100_000))))
  t.strictSame(answers.map(({ status }) => status), [200, 200])
})

t.test('a body that says nothing about its content bypasses', async t => {
  const handler = held(() => 'read')
  const server = await serve(t, app => {
    app.addContentTypeParser('application/x-stream', async (_request: unknown, payload: unknown) => payload)
    app.post('/', { config: { coalesce: { body: true } } }, handler)
  })
  await meet(server, handler, times(2, server, '/', post('same', 'application/x-stream')))
  t.equal(handler.runs, 2)
})

t.test('POST without body: true, and a GET with a body, bypass', async t => {
  t.strictSame(await runsOf(t, {}, [post('{}'), post('{}')]).then(({ runs, bypassed }) => [runs, bypassed]), [2, 2])
  const get = { method: 'GET', body: '{}', headers: { 'content-type': 'application/json', 'content-length': '2' } }
  t.strictSame(await runsOf(t, {}, [get, get]).then(({ runs, bypassed }) => [runs, bypassed]), [2, 2])
})

t.test('numbers, bigints and booleans are keys and identities, and not what their texts are', async t => {
  const made = (request: { headers: Record<string, unknown> }): unknown =>
    ({ 1: 1, '1n': 1n, true: true, array: ['page', 3], text: ['page', '3'] } as Record<string, unknown>)[String(request.headers['x-made'])] ?? '1'
  const asks = ['1', '1n', 'true', 'other', '1', '1n', 'true', 'other'].map((name): Ask => ({ headers: { 'x-made': name } }))
  const arrays = ['array', 'text', 'array', 'text'].map((name): Ask => ({ headers: { 'x-made': name } }))
  for (const [options, wanted] of [[{ key: made }, [...asks, ...arrays]], [{ identity: made }, asks]] as const) {
    const { runs, bypassed } = await runsOf(t, options as CoalesceRouteOptions, wanted)
    t.strictSame([runs, bypassed], [wanted.length / 2, 0])
  }
})

t.test('a function that answers what is no key is warned of once a route, and one that answers nothing is not', async t => {
  const { logger, coalesce } = lines()
  const on = (options: unknown): { config: { coalesce: CoalesceRouteOptions } } => ({ config: { coalesce: options as CoalesceRouteOptions } })
  const server = await serve(t, app => {
    app.get('/key', on({ key: () => new Date() }), () => 'a')
    app.get('/identity', on({ identity: () => NaN }), () => 'a')
    app.get('/nothing', on({ identity: () => undefined }), () => 'a')
    app.get('/null', on({ key: () => null }), () => 'a')
  }, {}, { logger })
  for (const path of ['/key', '/key', '/identity', '/identity', '/nothing', '/null']) t.equal((await server.get(path)).body, 'a')
  t.strictSame(coalesce().filter(({ level }) => level === WARN).map(line => line.coalesce), [
    { event: 'no-key', route: '/key', got: 'an object' }, { event: 'no-identity', route: '/identity', got: 'NaN' }
  ])
})
