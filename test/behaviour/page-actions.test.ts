import t from 'tap'
import coalesce, { circuitBreaker } from '../../lib/index.js'
import type { CoalesceOptions } from '../../types/index.js'
import { held, queue, times } from '../fixtures/crowd.js'
import { TestClock } from '../fixtures/gate.js'
import { act, ask, DEED, rowOf, stateOf } from '../fixtures/page.js'
import { serve, type TestServer } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }
const PAGE: CoalesceOptions = { dashboard: { public: true, actions: true } }

/** The code and message of an answer that is no success. */
async function refusal (server: TestServer, action: object | string): Promise<unknown> {
  const { body, status } = await act(server, action)
  const { code, message, statusCode } = JSON.parse(body) as Record<string, unknown>
  return [status, statusCode === status, code, message]
}

t.test('without the option nothing can be done, and it says so', async t => {
  const server = await serve(t, () => {}, { dashboard: { public: true } })
  t.equal((await act(server, { action: 'disable' })).status, 404)
  t.equal((await stateOf(server)).actions, false)
})

t.test('all routes are disabled and enabled, those of contexts inside as well', async t => {
  const handler = held()
  const server = await serve(t, app => {
    app.get('/one', ON, handler)
    app.register(async inner => {
      await inner.register(coalesce)
      inner.get('/two', ON, async () => 'body')
    })
  }, PAGE)
  const waiting = await queue(server, times(3, server, '/one'))
  t.match(await act(server, { action: 'disable' }), { status: 200, body: '{"done":true}' })
  handler.gate.open()
  await Promise.all(waiting)
  t.equal(handler.runs, 3, 'who waited runs')
  const off = await stateOf(server)
  t.strictSame([off.mode, off.actions, rowOf(off, '/one')?.state, rowOf(off, '/two')?.state], ['off', true, 'off', 'off'])
  await act(server, { action: 'enable' })
  const on = await stateOf(server)
  t.strictSame([on.mode, rowOf(on, '/one')?.state, rowOf(on, '/two')?.state], ['share', 'shares', 'shares'])
})

t.test('one route is disabled with its HEAD route, by the names that its row has', async t => {
  const server = await serve(t, app => {
    app.get('/one', ON, async () => 'body')
    app.route({ method: ['GET', 'QUERY'], url: '/both', config: { coalesce: { body: true } }, handler: async () => 'body' })
    app.register(async inner => {
      await inner.register(coalesce)
      inner.get('/two', ON, async () => 'body')
    })
  }, PAGE)
  await server.get('/one', { method: 'HEAD' })
  for (const { method, route } of (await stateOf(server)).routes.filter(({ method }) => method !== 'HEAD')) {
    t.equal((await act(server, { action: 'disable', route: { url: route, method } })).status, 200, `${method} ${route}`)
  }
  const off = await stateOf(server)
  t.strictSame(off.routes.map(({ state }) => state), off.routes.map(() => 'off'))
  t.equal(off.mode, 'share', 'coalescing itself is not off')
  await act(server, { action: 'enable', route: { url: '/one', method: 'GET' } })
  const on = await stateOf(server)
  t.strictSame([rowOf(on, '/one')?.state, rowOf(on, '/one', 'HEAD')?.state, rowOf(on, '/two')?.state], ['shares', 'shares', 'off'])
})

t.test('what is cached is purged by tag, route and URL', async t => {
  const clock = new TestClock()
  const handler = held((_request, reply) => {
    reply.coalesce.tag('words')
    return 'body'
  })
  handler.gate.open()
  const server = await serve(t, app => { app.get('/word/:word', { config: { coalesce: { ttl: '1h', staleWhileRevalidate: '1h' } } }, handler) }, { ...PAGE, clock })
  for (const purge of [{ tags: ['words'] }, { route: '/word/:word' }, { url: '/word/a?q=1' }]) {
    const before = handler.runs
    await server.get('/word/a')
    await server.get('/word/a')
    t.equal(handler.runs, before + 1)
    t.equal((await act(server, { action: 'purge', purge })).status, 200)
    clock.advance(1)
    await server.get('/word/a')
    t.equal(handler.runs, before + 2, JSON.stringify(purge))
    await act(server, { action: 'purge', purge: { route: '/word/:word' } })
    clock.advance(1)
  }
  await server.get('/word/a')
  await act(server, { action: 'purge', purge: { tags: ['words'], soft: true } })
  t.ok((await stateOf(server)).kept.list[0]?.fresh as number <= 0, 'softly: it is stale')
})

t.test('a breaker is opened and closed, however many have its name', async t => {
  const [one, other] = [circuitBreaker({ name: 'database' }), circuitBreaker({ name: 'database' })]
  const server = await serve(t, app => {
    app.get('/one', { config: { coalesce: { breaker: one } } }, async () => 'body')
    app.get('/two', { config: { coalesce: { breaker: other } } }, async () => 'body')
  }, PAGE)
  await act(server, { action: 'open', breaker: 'database' })
  t.strictSame([one.state, other.state, (await server.get('/one')).status], ['open', 'open', 503])
  t.strictSame((await stateOf(server)).breakers.map(({ name, state }) => [name, state]), [['database', 'open'], ['database', 'open']])
  await act(server, { action: 'close', breaker: 'database' })
  t.strictSame([one.state, other.state, (await server.get('/one')).status], ['closed', 'closed', 200])
})

t.test('what there is not is not found, and what is wrong is said', async t => {
  const server = await serve(t, app => { app.get('/one', ON, async () => 'body') }, PAGE)
  server.app.coalesce.deduplicate(async () => 1, { key: () => 'key', name: 'lookUp' })
  t.strictSame(await refusal(server, { action: 'disable', route: { url: '/other', method: 'GET' } }), [404, true, 'FST_COALESCE_UNKNOWN_ROUTE', 'no coalesced route GET /other'])
  t.strictSame(await refusal(server, { action: 'disable', route: { url: 'lookUp', method: 'FUNCTION' } }), [404, true, 'FST_COALESCE_UNKNOWN_ROUTE', 'no coalesced route FUNCTION lookUp'])
  t.strictSame(await refusal(server, { action: 'open', breaker: '<b>' }), [404, true, 'FST_COALESCE_UNKNOWN_BREAKER', 'no circuit breaker <b>'])
  t.strictSame(await refusal(server, { action: 'explode' }), [
    400, true, 'FST_COALESCE_INVALID_OPTION', "action.action must be 'disable' or 'enable' or 'purge' or 'open' or 'close', got \"explode\""
  ])
  t.strictSame(await refusal(server, { action: 'purge', purge: {} }), [400, true, 'FST_COALESCE_INVALID_OPTION', 'invalidate must be made of tags, key, route or url, got {}'])
  for (const body of ['{"action"', '', 'null', '[]']) t.match(await refusal(server, body), [400, true, 'FST_COALESCE_INVALID_OPTION'], body)
  t.equal((await act(server, `"${'x'.repeat(70_000)}"`)).status, 413)
})

t.test('actions are logged, with what was done', async t => {
  const lines: Array<{ coalesce?: unknown }> = []
  const server = await serve(t, app => { app.get('/one', ON, async () => 'body') }, PAGE, {
    logger: { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line) as object) } } }
  })
  await act(server, { action: 'disable', route: { url: '/one', method: 'GET' } })
  t.match(lines.filter(({ coalesce }) => coalesce !== undefined), [{ coalesce: { page: { action: 'disable', route: { url: '/one', method: 'GET' } } } }])
})

t.test('the form explains a request, with values only if they are revealed', async t => {
  const routes = (app: TestServer['app']): void => {
    app.addHook('onRequest', async (request, reply) => { if (request.headers.authorization === 'Bearer wrong') await reply.code(401).send() })
    app.get('/search', { config: { coalesce: { headers: ['x-tenant'] } } }, async () => 'body')
  }
  const [closed, open] = [await serve(t, routes, PAGE), await serve(t, routes, { dashboard: { public: true, reveal: ['values'] } })]
  const question = { url: '/search?q=secret', headers: { 'x-tenant': 'acme' } }
  t.match(await ask(closed, question), { coalesced: true, outcome: 'leader', route: { url: '/search' } })
  t.notMatch(JSON.stringify(await ask(closed, question)), /secret|acme/)
  t.match(JSON.stringify(await ask(open, question)), /secret.*acme|acme.*secret/)
  t.match(await ask(closed, { url: '/search', headers: { authorization: 'Bearer wrong' } }), { gate: { status: 401 } })
})

t.test('an explained request is one of who asks, and of nobody else unless things may be done', async t => {
  const addresses: string[] = []
  const routes = (app: TestServer['app']): void => {
    app.addHook('onRequest', async request => { if (request.url === '/one') addresses.push(request.ip) })
    app.get('/one', ON, async () => 'body')
  }
  const guard = { routeOptions: { onRequest: async () => {} } }
  const asked = async (actions: boolean, headers: Record<string, string>): Promise<number> => {
    const { get } = await serve(t, routes, { dashboard: { ...guard, actions } }, { trustProxy: true })
    return (await get('/coalesce/explain', { method: 'POST', headers: { ...DEED, 'x-forwarded-for': '198.51.100.7' }, body: JSON.stringify({ url: '/one', headers }) })).status
  }
  t.equal(await asked(false, {}), 200)
  t.equal(await asked(false, { 'x-forwarded-for': '203.0.113.9' }), 400)
  t.equal(await asked(true, { 'x-forwarded-for': '203.0.113.9' }), 200)
  t.strictSame(addresses, ['198.51.100.7', '203.0.113.9'])
})
