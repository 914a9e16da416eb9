/**
 * What a hook makes of Forwarded besides addresses is told apart, and the addresses in it keep nobody from sharing.
 */
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { held, meet, type HeldHandler } from '../fixtures/crowd.js'
import { outcomes } from '../fixtures/endings.js'
import { TestClock, until } from '../fixtures/gate.js'
import { serve, type TestServer } from '../fixtures/server.js'

const POISONED = 'for=192.0.2.66;host=evil.example;proto=https'

/** An app whose hook takes the base of its URLs from Forwarded. */
async function based (test: Parameters<typeof serve>[0], route: CoalesceRouteOptions | true, changes = false, clock?: TestClock): Promise<[TestServer, HeldHandler]> {
  const handler = held(request => request.getDecorator('base'))
  const server = await serve(test, (app: FastifyInstance) => {
    app.decorateRequest('base', '')
    app.addHook('onRequest', async request => {
      request.setDecorator('base', /host=([^;,]+)/.exec(request.headers.forwarded ?? '')?.[1] ?? 'own.example')
      if (changes) delete request.headers.forwarded
    })
    app.get('/', { config: { coalesce: route } }, handler)
  }, clock === undefined ? {} : { clock })
  return [server, handler]
}

for (const changes of [false, true]) {
  t.test(`a host in Forwarded that a hook builds URLs from${changes ? ', and takes away,' : ''} reaches nobody else, kept or not`, async t => {
    const [server, handler] = await based(t, { ttl: '1m' }, changes)
    handler.gate.open()
    const get = async (forwarded?: string): Promise<string> =>
      (await server.get('/', { headers: forwarded === undefined ? {} : { forwarded } })).body
    t.equal(await get(POISONED), 'evil.example')
    t.equal(await get(), 'own.example')
    t.equal(await get('for=192.0.2.1'), 'own.example')
    t.equal(await get('for="x;host=evil.example"'), 'evil.example"')
    t.equal(await get('for=192.0.2.2, for="[2001:db8::1]:80";by=_proxy'), 'own.example')
    t.equal(await get(POISONED.replace('66', '67')), 'evil.example')
    t.equal(handler.runs, 3)
  })

  t.test(`the addresses in Forwarded that a hook reads${changes ? ' and takes away' : ''} keep nobody from sharing`, async t => {
    const [server, handler] = await based(t, true, changes)
    const answers = await meet(server, handler, ['for=192.0.2.1', 'for=192.0.2.2;by=_a', undefined, 'for=unknown'].map(forwarded =>
      () => server.get('/', { headers: forwarded === undefined ? {} : { forwarded } })))
    t.same([answers.map(({ body }) => body), handler.runs], [Array(4).fill('own.example'), 1])
  })
}

t.test('a handler that reads Forwarded itself has read all of it', async t => {
  const handler = held(({ headers }) => headers.forwarded)
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const own = ['for=192.0.2.1', 'for=192.0.2.2', 'for=192.0.2.1']
  const answers = await meet(server, handler, own.map(forwarded => () => server.get('/', { headers: { forwarded } })))
  t.same([answers.map(({ body }) => body), handler.runs], [own, 2])
})

for (const [what, route] of Object.entries<CoalesceRouteOptions>({
  'whose route ignores it': { learnVary: { ignore: ['forwarded'] } },
  'whose credential it is': { credentials: ['forwarded'], identity: () => 'everybody' }
})) {
  t.test(`Forwarded, ${what}, tells nobody apart`, async t => {
    const [server, handler] = await based(t, route)
    await meet(server, handler, [POISONED, 'host=other.example'].map(forwarded => () => server.get('/', { headers: { forwarded } })))
    t.equal(handler.runs, 1)
  })
}

t.test('with Forwarded in its key a request shares with those of the same', async t => {
  const [server, handler] = await based(t, { headers: ['forwarded'], ttl: '1m' })
  const own = [POISONED, 'host=other.example', POISONED]
  const answers = await meet(server, handler, own.map(forwarded => () => server.get('/', { headers: { forwarded } })))
  t.same([answers.map(({ body }) => body), handler.runs], [['evil.example', 'other.example', 'evil.example'], 2])
  t.notOk(Object.keys(await outcomes(server.app)).some(name => name.startsWith('alone')))
})

t.test('what was made of Forwarded is refreshed with it', async t => {
  const clock = new TestClock()
  const [server, handler] = await based(t, { ttl: '10s', staleWhileRevalidate: '1m' }, false, clock)
  handler.gate.open()
  const get = async (): Promise<string> => (await server.get('/', { headers: { forwarded: POISONED } })).body
  t.equal(await get(), 'evil.example')
  clock.advance(11_000)
  t.equal(await get(), 'evil.example')
  await until(() => handler.runs === 2, 'the refresh')
  t.equal(await get(), 'evil.example')
  await until(() => server.app.coalesce.stats().cacheHits === 2, 'the second hit')
  t.same(await outcomes(server.app), { 'leader shared': 1, 'stale stale-while-revalidate': 1, 'hit fresh': 1 })
})

t.test('a hook that puts a Forwarded of its own where there was none tells nobody apart by that', async t => {
  const handler = held(({ headers }) => headers.forwarded)
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => { request.headers.forwarded ??= 'host=own.example' })
    app.get('/', { config: { coalesce: true } }, handler)
  })
  const own = [undefined, 'host=other.example', undefined]
  const answers = await meet(server, handler, own.map(forwarded => () => server.get('/', { headers: forwarded === undefined ? {} : { forwarded } })))
  t.same([answers.map(({ body }) => body), handler.runs], [own.map(each => each ?? 'host=own.example'), 2])
})
