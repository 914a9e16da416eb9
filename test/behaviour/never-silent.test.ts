/**
 * Fifty identical requests at once, to a route that asks for coalescing: either they are shared, or one log line says by name why not, and which
 * option changes that; or the app does not boot (unheard-routes.test.ts).
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import { errors } from '../../lib/index.js'
import { Silence } from '../../lib/observers/silence.js'
import { Tally } from '../../lib/observers/tally.js'
import type { CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'
import { errorOf, held, meet } from '../fixtures/crowd.js'
import { lines, WARN, type Line } from '../fixtures/lines.js'
import { serve, type GetOptions, type TestServer } from '../fixtures/server.js'

const CLIENTS = 50

interface Case {
  readonly config?: true | CoalesceRouteOptions
  readonly answer?: (request: FastifyRequest, reply: FastifyReply) => unknown
  readonly client?: (index: number) => GetOptions
  /** The name of the warning; undefined: they are shared. */
  readonly event?: string
  readonly names?: readonly string[]
  /** A piece of what it advises. */
  readonly says?: string
}

const browser = (index: number): GetOptions => ({ headers: { cookie: `_ga=GA1.${index}; _gid=${index}` } })
const behindProxy = (index: number): GetOptions => ({ headers: { 'x-forwarded-for': `192.0.2.${index + 1}`, 'x-request-id': `id-${index}` } })
const user = (index: number): GetOptions => ({ headers: { authorization: `Bearer ${index}` } })

const cases: Readonly<Record<string, Case>> = {
  'a public route': {},
  'a public route, from browsers with analytics cookies': { client: browser, event: 'credentials-cookie', names: ['_ga', '_gid'], says: "cookies: { ignore: ['_ga', '_gid'] }" },
  'cookies of which one is in the key': { config: { cookies: ['_gid'] }, client: browser, event: 'credentials-cookie', names: ['_ga'], says: "ignore: ['_ga']" },
  'a handler that reads request.ip': { answer: request => request.ip, client: behindProxy, event: 'split-address', names: ['ip', 'x-forwarded-for'], says: "learnVary: { ignore: ['ip', 'x-forwarded-for'] }" },
  'a handler that logs its request': { answer: request => { request.log.info({ req: request }, 'got it'); return 'ok' }, client: behindProxy, event: 'split-address', says: "'ip'" },
  'a handler that reads X-Request-Id': { answer: request => request.headers['x-request-id'], client: behindProxy, event: 'split-header', names: ['x-request-id'], says: "learnVary: { ignore: ['x-request-id'] }" },
  'a response with Set-Cookie': { answer: (_request, reply) => reply.header('set-cookie', 'a=1').send('ok'), event: 'set-cookie', says: 'sets a cookie' },
  'a private response': { answer: (_request, reply) => reply.header('cache-control', 'private').send('ok'), event: 'private', says: 'public' },
  'a response of more than 8 MiB': { config: { maxBodyBytes: 5 }, answer: () => 'more than that', event: 'too-large', says: 'maxBodyBytes' },
  'a response with the status 400': { answer: (_request, reply) => reply.code(400).send('no'), event: 'status', says: 'statuses' },
  'a JWT without an identity': { client: user, event: 'credentials-authorization', names: ['authorization'], says: 'identity: request => request.user.id' },
  'a key in X-Api-Key': { client: index => ({ headers: { 'x-api-key': String(index) } }), event: 'credentials-other', names: ['x-api-key'], says: "headers: ['x-api-key']" },
  'an identity that answers nothing': { config: { identity: () => undefined as never }, event: 'no-identity', says: "'anonymous'" },
  'a key function that answers nothing': { config: { key: () => null }, event: 'no-key', says: 'key function' }
}

const warned = (all: readonly Line[]): Line[] => all.filter(({ level }) => level >= WARN)

interface Asked {
  readonly server: TestServer
  readonly all: readonly Line[]
  ask (clients?: number, client?: (index: number) => GetOptions): Promise<number>
}

/** An app with one route. `ask`: so many clients meet there; answers how often its handler ran. */
async function app (t: Parameters<typeof serve>[0], { config = true, answer = () => 'ok', client = () => ({}) }: Case, options: CoalesceOptions = {}): Promise<Asked> {
  const log = lines('info')
  let handler = held(answer)
  const server = await serve(t, app => {
    app.get('/word', { config: { coalesce: config } }, (request, reply) => handler(request, reply))
  }, options, { trustProxy: true, logger: log.logger })
  return {
    server,
    all: log.all,
    async ask (clients = CLIENTS, each = client) {
      handler = held(answer)
      await meet(server, handler, Array.from({ length: clients }, (_, index) => () => server.get('/word', each(index))))
      return handler.runs
    }
  }
}

for (const [name, given] of Object.entries(cases)) {
  t.test(`${name}: it is shared, or one warning says why not, by name`, async t => {
    const { all, ask } = await app(t, given)
    const runs = await ask()
    if (given.event === undefined) {
      t.equal(runs, 1)
      t.strictSame(warned(all), [])
      return
    }
    await ask()
    const [line, ...others] = warned(all)
    t.strictSame(others, [], 'and only one')
    const event = `nothing-shared-${given.event}`
    t.match(line?.coalesce, { event, method: 'GET', route: '/word', ...given.names !== undefined && { names: given.names } })
    t.ok(line?.msg.includes(`docs/why-is-nothing-shared.md#${event}`))
    t.ok(line?.msg.includes(given.says as string), String(line?.msg))
    t.notMatch(JSON.stringify(line), /GA1|Bearer|192\.0\.2|id-\d/, 'no value')
  })
}

t.test('a route of which something was shared is never warned of, whatever comes later', async t => {
  const { all, ask } = await app(t, {})
  t.equal(await ask(2), 1)
  for (let turn = 0; turn < 3; turn++) t.equal(await ask(CLIENTS, browser), CLIENTS)
  t.strictSame(warned(all), [])
})

t.test('a route is not warned of before fifty of its requests overlapped, nor for requests that do not', async t => {
  const { all, ask, server } = await app(t, { client: browser })
  await ask(49)
  for (let turn = 0; turn < 60; turn++) await ask(1)
  t.strictSame(warned(all), [])
  t.equal(server.app.coalesce.stats().totalRequests, 109)
  await ask(2)
  t.equal(warned(all).length, 1)
})

t.test('requests for different URLs do not overlap, and those of users that are told apart neither', async t => {
  const told = await app(t, { config: { identity: request => String(request.headers.authorization) } })
  t.equal(await told.ask(CLIENTS * 2, user), CLIENTS * 2)
  t.strictSame(warned(told.all), [])
  const log = lines('info')
  const handler = held()
  const server = await serve(t, app => { app.get('/word', { config: { coalesce: true } }, handler) }, {}, { logger: log.logger })
  await meet(server, handler, Array.from({ length: CLIENTS * 2 }, (_, index) => () => server.get(`/word?n=${index}`, browser(index))))
  t.strictSame(warned(log.all), [])
})

t.test('what overlaps is counted for a bounded number of URLs, and not for very long ones', async t => {
  const log = lines('info')
  const handler = held()
  const server = await serve(t, app => { app.get('/word', { config: { coalesce: true } }, handler) }, {}, { logger: log.logger })
  const long = `/word?${'x'.repeat(1024)}`
  const asked = [
    ...Array.from({ length: 256 }, (_, index) => server.get(`/word?${index}`, browser(index))),
    ...Array.from({ length: CLIENTS }, (_, index) => server.get(long, browser(index)))
  ]
  await server.arrived(256 + CLIENTS)
  asked.push(...Array.from({ length: CLIENTS }, (_, index) => server.get('/word', browser(index))))
  await server.arrived(256 + 2 * CLIENTS)
  t.strictSame(warned(log.all), [], 'there is no room for one more')
  handler.gate.open()
  await Promise.all(asked)
  t.strictSame(warned(log.all), [])
})

t.test('names that clients made up are shortened and escaped, and at most eight are told', async t => {
  const { all, ask } = await app(t, { client: index => ({ headers: { cookie: `no-name; a"b'c\`\\=1; ${'x'.repeat(100)}=2; n${index}=3` } }) })
  await ask()
  t.strictSame(warned(all)[0]?.coalesce?.names, ['a?b?c??', 'x'.repeat(64), ...Array.from({ length: 6 }, (_, index) => `n${index + 1}`)])
})

t.test('of several reasons the most frequent is told', t => {
  const tally = new Tally('GET', '/word')
  const watch = tally.watch = new Silence(tally, new Set())
  const told: unknown[] = []
  const warn = (fields: object): void => { told.push((fields as { coalesce: { event: string } }).coalesce.event) }
  for (let turn = 0; turn < 30; turn++) watch.settled({ warn }, 'alone', 'private', undefined)
  for (let turn = 0; turn < 20; turn++) watch.settled({ warn }, 'alone', 'set-cookie', undefined)
  t.strictSame(told, ['nothing-shared-private'])
  t.end()
})

t.test('a route is watched for ten thousand requests', t => {
  const tally = new Tally('GET', '/word')
  const watch = tally.watch = new Silence(tally, new Set())
  const warn = (fields: object) => { t.fail(JSON.stringify(fields)) }
  for (let turn = 0; turn < 9_999; turn++) watch.settled({ warn }, 'leader', 'shared', undefined)
  watch.settled({ warn }, 'leader', 'split', undefined)
  t.equal(tally.watch, watch)
  watch.settled({ warn }, 'leader', 'shared', undefined)
  t.equal(tally.watch, undefined)
  t.end()
})

t.test('warnings are silenced by their names, or all of them', async t => {
  for (const warnings of [['nothing-shared-credentials-cookie'], ['reads-all-headers', 'nothing-shared-credentials-cookie'], false] as const) {
    const { all, ask } = await app(t, { client: browser }, { warnings })
    await ask()
    await ask()
    t.strictSame(warned(all), [])
  }
  const { all, ask } = await app(t, { client: browser }, { warnings: ['nothing-shared-private'] })
  await ask()
  t.equal(warned(all).length, 1, 'the others are not')
})

t.test('every other warning can be silenced as well', async t => {
  const log = lines('info')
  const all: CoalesceRouteOptions = { hook: 'onRequest', ttl: () => { throw new Error('no ttl') }, staleWhileRevalidate: '1m' }
  const server = await serve(t, app => {
    app.addHook('preHandler', async () => {})
    app.get('/all', { config: { coalesce: all } }, async request => Object.keys(request.headers).length)
    app.get('/ttl', { config: { coalesce: all } }, async () => 'ok')
    app.get('/identity', { config: { coalesce: { identity: () => { throw new Error('nobody') } } } }, async () => 'ok')
    app.get('/key', { config: { coalesce: { key: (async () => 'k') as never } } }, async () => 'ok')
    app.get('/wrong', { config: { coalsece: true } as object }, async () => 'ok')
    app.get('/beside', { coalesce: true } as object, async () => 'ok')
    const call = app.coalesce.deduplicate(async () => 1, { key: () => { throw new Error('no key') } })
    app.get('/call', async () => await call())
  }, { warnings: false }, { logger: log.logger })
  for (const path of ['/all', '/ttl', '/identity', '/key', '/wrong', '/beside', '/call']) await server.get(path)
  t.strictSame(warned(log.all), [])
})

t.test('names of warnings that there are none of are refused', async t => {
  const message = async (warnings: unknown): Promise<string> => {
    const error = await errorOf(() => serve(t, () => {}, { warnings } as CoalesceOptions))
    t.ok(error instanceof errors.InvalidOptionError)
    return error.message
  }
  t.equal(await message(true), 'coalesce options.warnings must be false or an array of names of warnings, got true')
  t.equal(await message(['reads-al-headers']), 'coalesce options.warnings must be made of names of warnings, such as reads-all-headers, got "reads-al-headers"')
  t.match(await message(['everything']), /^coalesce options\.warnings must be made of nothing-shared-.*, observe-failed, got "everything"$/)
})
