/**
 * Two requests are one client's only if nothing that they say tells them apart, and no client alone has a difference called noise.
 */
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { held, meet } from '../fixtures/crowd.js'
import { observedRoute } from '../fixtures/observed.js'
import { serve, type TestServer } from '../fixtures/server.js'

type Says = (user: number) => Record<string, string>

const WAYS: Readonly<Record<string, Says>> = {
  'a short cookie': user => ({ cookie: `uid=${user}` }),
  'a header of the app': user => ({ 'x-user': `u${user}` }),
  'an address that a proxy names': user => ({ 'x-forwarded-for': `192.0.2.${user}, 10.0.0.1` })
}

const me = ({ raw: { headers } }: FastifyRequest): object => ({ name: /uid=\w+/.exec(String(headers.cookie))?.[0] ?? headers['x-user'] ?? headers['x-forwarded-for'] })

/** As an app whose key lacks what it reads. */
async function app (t: Parameters<typeof serve>[0], config: CoalesceRouteOptions, handler = me): Promise<TestServer> {
  return await serve(t, app => { app.get('/me', { config: { coalesce: { learnVary: false, ...config } } }, handler as never) }, { observe: { budget: 1 } })
}

/** All come through one load balancer, with the same program. */
async function ask ({ app }: TestServer, headers: Record<string, string>): Promise<string> {
  return (await app.inject({ url: '/me', headers: { 'x-role': 'staff', 'user-agent': 'App/1', ...headers } })).body
}

const OF_A_GROUP: CoalesceRouteOptions = { identity: ({ headers }) => headers['x-role'] as string }

for (const [way, says] of Object.entries(WAYS)) {
  t.test(`users of one identity that ${way} tells apart are different clients, so that a leak is no noise`, async t => {
    const server = await app(t, { ...OF_A_GROUP, observe: true })
    for (let n = 0; n < 100; n++) await ask(server, says(n))
    const { noise, pairs, verdict } = observedRoute(server.app, '/me').comparison.findings()
    t.match({ noise, pairs, verdict }, { noise: [], pairs: { between: { differs: 99 }, within: { differs: 0, noise: 0 } }, verdict: 'unknown' })
    t.throws(() => { server.app.coalesce.report().assertSafe() }, { code: 'FST_COALESCE_UNSAFE' })
  })

  t.test(`and a route that is verified is switched off at the first that ${way} tells apart`, async t => {
    const handler = held(me as never)
    const server = await app(t, { ...OF_A_GROUP, observe: { verify: 1, onMismatch: 'disable' } }, handler as never)
    await meet(server, handler, [1, 2].map(n => () => server.get('/me', { headers: { 'x-role': 'staff', 'user-agent': 'App/1', ...says(n) } })))
    await ask(server, says(3))
    const [route] = server.app.coalesce.stats().routes
    t.equal(route?.reasons.find(({ reason }) => reason === 'disabled')?.count, 1)
  })
}

t.test('a client that varies what it says is no evidence of noise', async t => {
  const server = await app(t, { credentials: ['authorization'], observe: true })
  for (let n = 0; n < 90; n++) {
    await ask(server, { cookie: `uid=${n % 20}; sid=session-of-client-${n % 20}` })
    for (let turn = 0; turn < 30; turn++) await ask(server, { cookie: `uid=a${n}x${turn}; sid=session-of-an-attacker` })
  }
  const { noise, verdict } = observedRoute(server.app, '/me').comparison.findings()
  // So many clients leave no room for those who come again.
  t.same([verdict, noise], ['unknown', []])
})
