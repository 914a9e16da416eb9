/**
 * `report()` says what should change, on which evidence; the log says it at most once an hour; what is silenced is nowhere.
 */
import t from 'tap'
import { errors } from '../../lib/index.js'
import type { CoalesceOptions } from '../../types/index.js'
import { held, meet, times } from '../fixtures/crowd.js'
import { TestClock } from '../fixtures/gate.js'
import { lines } from '../fixtures/lines.js'
import { serve, type GetOptions, type TestServer } from '../fixtures/server.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const ADVICE = 'advice-too-broad'

/** An app whose handler reads a header that differs; `ask` has requests come that split by it. */
async function splitting (t: Parameters<typeof serve>[0], options: CoalesceOptions = {}) {
  const clock = new TestClock()
  const log = lines('warn')
  let handler = held()
  const server = await serve(t, app => {
    app.get('/word', { config: { coalesce: true } }, async (request, reply) => {
      await handler(request, reply)
      return request.headers['accept-language'] ?? 'en'
    })
  }, { clock, ...options }, { logger: log.logger })
  const ask = async (): Promise<void> => {
    for (let turn = 0; turn < 2; turn++) {
      handler = held()
      await meet(server, handler, Array.from({ length: 60 }, (_, index) => () => server.get('/word', { headers: { 'accept-language': `l${Math.max(index, 10)}` } })))
    }
  }
  return { ask, clock, log, server }
}

t.test('what runs split by is advised to be in the key, in the report and once an hour in the log', async t => {
  const { ask, clock, log, server } = await splitting(t)
  t.strictSame(server.app.coalesce.report().advice, [])
  await ask()
  const [advice, ...others] = server.app.coalesce.report().advice
  t.strictSame(others, [])
  t.match(advice, { id: 'too-broad/split', method: 'GET', route: '/word', text: /reads accept-language/, silence: `warnings: ['${ADVICE}'] of the registration` })
  t.strictSame(advice?.patch, { headers: ['accept-language'] })
  t.strictSame(log.event(ADVICE), [], 'not at once')

  clock.advance(MINUTE)
  const [line] = log.event(ADVICE)
  t.strictSame(line?.coalesce, {
    event: ADVICE, id: 'too-broad/split', method: 'GET', route: '/word', evidence: advice?.evidence, confidence: 'medium', patch: { headers: ['accept-language'] }
  })
  t.equal(line?.msg, `coalesce: ${String(advice?.text)}`)
  for (let turn = 0; turn < 5; turn++) {
    await ask()
    clock.advance(10 * MINUTE)
  }
  t.equal(log.event(ADVICE).length, 1, 'within the hour')
  await ask()
  clock.advance(HOUR)
  t.equal(log.event(ADVICE).length, 1, 'what came within the hour')
  await ask()
  clock.advance(MINUTE)
  t.equal(log.event(ADVICE).length, 2, 'it still holds')
})

t.test('once nothing comes that is a sign of anything, there is no timer', async t => {
  const { ask, clock } = await splitting(t)
  await ask()
  t.ok(clock.timers > 0)
  clock.advance(2 * MINUTE)
  t.equal(clock.timers, 0)
})

t.test('an app of which all is well has no timer and logs nothing', async t => {
  const clock = new TestClock()
  const log = lines('warn')
  const handler = held()
  const server = await serve(t, app => { app.get('/word', { config: { coalesce: { ttl: '1h' } } }, handler) }, { clock }, { logger: log.logger })
  await meet(server, handler, times(200, server, '/word'))
  await Promise.all(times(10, server, '/word').map(send => send()))
  clock.advance(2000)
  t.equal(clock.timers, 0)
  t.strictSame([server.app.coalesce.report().advice, log.all], [[], []])
})

t.test('the log of a closed app is silent, and its timer is cleared', async t => {
  const { ask, clock, log, server } = await splitting(t)
  await ask()
  const last = server.get('/word', { headers: { 'accept-language': 'x' } })
  await last
  await server.close()
  t.equal(clock.timers, 0)
  clock.advance(HOUR)
  t.strictSame(log.event(ADVICE), [])
})

t.test('advice that is silenced is neither in the report nor in the log', async t => {
  for (const warnings of [[ADVICE], false] as const) {
    const { ask, clock, log, server } = await splitting(t, { warnings })
    await ask()
    t.strictSame(server.app.coalesce.report().advice, [])
    clock.advance(HOUR)
    t.strictSame(log.all, [])
  }
})

const browser = (index: number): GetOptions => ({ headers: { cookie: `_ga=GA1.${index}` } })

async function unshared (t: Parameters<typeof serve>[0], options: CoalesceOptions = {}): Promise<{ server: TestServer, log: ReturnType<typeof lines>, clock: TestClock }> {
  const clock = new TestClock()
  const log = lines('warn')
  const handler = held()
  const server = await serve(t, app => { app.get('/word', { config: { coalesce: true } }, handler) }, { clock, ...options }, { logger: log.logger })
  await meet(server, handler, Array.from({ length: 60 }, (_, index) => () => server.get('/word', browser(index))))
  return { server, log, clock }
}

t.test('a route that shares nothing is advised what its warning says, and is warned of once only', async t => {
  const { clock, log, server } = await unshared(t)
  const { advice: [advice] } = server.app.coalesce.report()
  t.match(advice, { id: 'nothing-shared/credentials-cookie', patch: { cookies: { ignore: ['_ga'] } } })
  t.ok(log.event('nothing-shared-credentials-cookie')[0]?.msg.includes(String(advice?.text.slice(0, -1))), 'in the same words')
  clock.advance(2000)
  t.equal(clock.timers, 0, 'of which nothing more is to be said')
})

t.test('a route whose runs all split is warned of once only as well', async t => {
  const clock = new TestClock()
  const log = lines('warn')
  const handler = held()
  const server = await serve(t, app => {
    app.get('/word', { config: { coalesce: true } }, async (request, reply) => {
      await handler(request, reply)
      return request.headers['accept-language']
    })
  }, { clock }, { logger: log.logger })
  await meet(server, handler, Array.from({ length: 120 }, (_, index) => () => server.get('/word', { headers: { 'accept-language': `l${index}` } })))
  clock.advance(HOUR)
  t.strictSame(log.all.map(({ coalesce }) => coalesce?.event), ['nothing-shared-split-header'])
  t.strictSame(server.app.coalesce.report().advice.map(({ id }) => id), ['nothing-shared/split-header'])
})

t.test('a route whose handler reads all headers is advised in the words of its warning', async t => {
  const log = lines('warn')
  const server = await serve(t, app => { app.get('/word', { config: { coalesce: true } }, async request => Object.keys(request.headers).length) }, {}, { logger: log.logger })
  for (let index = 0; index < 100; index++) await server.get('/word')
  const { advice } = server.app.coalesce.report()
  t.match(advice, [{ id: 'nothing-shared/reads-all-headers', evidence: '100 of 100 requests (100 %)' }])
  t.ok(log.event('reads-all-headers')[0]?.msg.includes(String(advice[0]?.text.slice(1).split(', at the price')[0])))
})

t.test('a route that is observed is told why its requests would bypass, or would not be shared, with names that count', async t => {
  const server = await serve(t, app => {
    app.get('/word', { config: { coalesce: { cookies: { ignore: ['_ga'] } } } }, async () => 'ok')
    app.get('/login', { config: { coalesce: true } }, async (_request, reply) => reply.header('set-cookie', 'a=1').send('ok'))
  }, { clock: new TestClock(), ...BUDGET })
  for (let index = 0; index < 100; index++) {
    await server.get('/word', { headers: { cookie: `_ga=${index}; theme=dark` } })
    await server.get('/login')
  }
  const { advice, routes } = server.app.coalesce.report()
  t.match(routes, [
    { route: '/word', requests: 0, would: [{ outcome: 'bypass', reason: 'credentials', count: 100 }] },
    { route: '/login', requests: 0, would: [{ outcome: 'unshareable', reason: 'set-cookie', count: 100 }] }
  ])
  t.match(advice, [
    { id: 'nothing-shared/credentials-cookie', route: '/word', text: /they carry cookies \(theme\), which may say who is asking/, evidence: '100 of 100 requests (100 %)' },
    { id: 'nothing-shared/set-cookie', route: '/login' }
  ])
  t.strictSame(advice[0]?.patch, { cookies: { ignore: ['_ga'], key: ['theme'] } })
})

t.test('that advice is silenced by the name of the warning', async t => {
  const { log, server } = await unshared(t, { warnings: ['nothing-shared-credentials-cookie'] })
  t.strictSame([server.app.coalesce.report().advice, log.all], [[], []])
})

t.test('routes that Fastify makes for HEAD, and functions, are advised nothing of their own', async t => {
  const server = await serve(t, app => { app.get('/word', { config: { coalesce: { hook: 'onRequest' } }, preHandler: async () => {} }, async () => 'ok') })
  await server.app.coalesce.deduplicate(async () => 1, { key: () => 'k' })()
  for (let index = 0; index < 120; index++) await server.get('/word', { method: 'HEAD' })
  t.strictSame(server.app.coalesce.report().advice, [])
})

t.test('where nothing is observed nothing is safe to share for all that is known', async t => {
  const { server } = await unshared(t)
  const { assertSafe, routes } = server.app.coalesce.report()
  t.strictSame(routes, [])
  t.throws(assertSafe, errors.UnsafeError)
  t.throws(assertSafe, { code: 'FST_COALESCE_UNSAFE', message: /^no route is observed/ })
})

/** Clients that are told apart by a cookie, one after the other, so that each is seen often. */
async function observe (server: TestServer, path = '/home'): Promise<void> {
  for (let index = 0; index < 240; index++) {
    const client = index * 7919 % 101 % 6
    await server.get(`${path}?utm_source=${index * 31 % 17 % 5}`, { headers: { cookie: `_visitor=0123456789abcdef0123456789abcdef-${client}; ab=${client % 2}` } })
  }
}

/** With all the time that comparing takes. */
const BUDGET = { observe: { budget: 1 } } as const

t.test('a route whose response depends on a cookie is told of as a leak, by report, log and assertSafe', async t => {
  const clock = new TestClock()
  const log = lines('warn')
  const server = await serve(t, app => {
    app.get('/home', { config: { coalesce: { credentials: { remove: ['cookie'] }, learnVary: false } } }, async request => ({ hero: /ab=(\d)/.exec(request.headers.cookie ?? '')?.[1] === '0' ? 'sea' : 'sky' }))
  }, { clock, ...BUDGET }, { logger: log.logger })
  await observe(server)
  const { advice: [advice], assertSafe, routes } = server.app.coalesce.report()
  t.equal(routes.length, 1, 'and none for HEAD')
  t.match(routes[0], { method: 'GET', route: '/home', mode: 'observe', differences: [{ path: '$.hero' }] })
  t.match(advice, { kind: 'leak', method: 'GET', route: '/home', text: /\$\.hero differs/ })
  t.strictSame(advice?.patch, { cookies: ['ab'] })
  t.throws(assertSafe, { code: 'FST_COALESCE_UNSAFE', message: /^GET \/home: .*\$\.hero.*cookie ab/ })
  clock.advance(MINUTE)
  t.match(log.event('advice-leak'), [{ coalesce: { id: advice?.id, method: 'GET', route: '/home' } }])
})

t.test('a leak of which nothing was compared, because there was no time for it, is not safe', async t => {
  const server = await serve(t, app => {
    app.get('/home', { config: { coalesce: { credentials: { remove: ['cookie'] }, learnVary: false } } }, async request => request.headers.cookie)
    app.get('/other', { config: { coalesce: true } }, async () => 'ok')
  }, { clock: new TestClock(), observe: { budget: 0 } })
  await observe(server)
  t.throws(server.app.coalesce.report().assertSafe, {
    code: 'FST_COALESCE_UNSAFE', message: /^GET \/home: no verdict, because responses were not compared \(240 skipped: budget\): observe: \{ budget: 1 \} at the registration/
  })
})

t.test('a route whose response is the same for all is safe, and what makes no difference is advised to be ignored', async t => {
  const server = await serve(t, app => { app.get('/home', { config: { coalesce: { credentials: { remove: ['cookie'] } } } }, async () => ({ hero: 'sea' })) }, { clock: new TestClock(), ...BUDGET })
  t.match(server.app.coalesce.report(), { routes: [{ verdict: 'too-few', shareable: 0 }], advice: [] }, 'before the first request')
  await observe(server)
  const { advice, assertSafe, routes } = server.app.coalesce.report()
  t.match(routes, [{ verdict: 'equal' }])
  t.strictSame(advice.find(({ kind }) => kind === 'too-narrow')?.patch, { query: { ignore: ['utm_*'] } })
  assertSafe()
})

t.test('of a route that is verified it is reported what was shared', async t => {
  const server = await serve(t, app => {
    app.get('/home', { config: { coalesce: { ttl: '1h', observe: { verify: 0.5 } } } }, async () => 'same')
  }, { clock: new TestClock(), ...BUDGET })
  t.equal(server.app.coalesce.report().routes[0]?.shareable, 0, 'before the first request')
  for (let index = 0; index < 8; index++) await server.get('/home')
  const { routes: [route] } = server.app.coalesce.report()
  t.match(route, { mode: 'verify' })
  t.ok(route !== undefined && route.shareable > 0.2 && route.shareable < 0.9, String(route?.shareable))
})
