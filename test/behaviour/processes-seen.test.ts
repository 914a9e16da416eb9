/**
 * "What happens between processes is visible: who ran, where, for whom, and what is wrong if nobody does."
 */
import diagnostics from 'node:diagnostics_channel'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import { redisCoordinator } from '../../lib/redis/coordinator.js'
import { redisStore } from '../../lib/redis/store/store.js'
import type { CoalesceOptions, RequestCoalesce } from '../../types/index.js'
import { held, times } from '../fixtures/crowd.js'
import { until } from '../fixtures/gate.js'
import { DEBUG, lines, WARN } from '../fixtures/lines.js'
import { redisServer, withServer, type RedisServer } from '../fixtures/redis/server.js'
import { metric, serve, type Pending, type TestServer } from '../fixtures/server.js'

/** The same app, whichever process it is in. */
const SHOP = { headers: { host: 'shop.test' } }
const PATH = '/word/secret'

/** An app as it is in one of several processes: it shares nothing with the others but the server. */
async function start (t: Test, redis: RedisServer, name: string, options: CoalesceOptions = {}, secret = 'a secret for tests') {
  const log = lines()
  const handler = held((_request, reply) => reply.send(`of ${name}`))
  const served: Array<Pick<RequestCoalesce, 'outcome' | 'reason' | 'leaderId'>> = []
  const client = new Redis({ host: redis.host, port: redis.port, lazyConnect: true, retryStrategy: () => 50 })
  let ids = 0
  const server = await serve(t, app => {
    app.addHook('onResponse', async ({ coalesce }) => {
      if (coalesce !== undefined) served.push({ outcome: coalesce.outcome, reason: coalesce.reason, leaderId: coalesce.leaderId })
    })
    app.get('/word/:word', { config: { coalesce: true } }, handler)
  }, { coordinator: redisCoordinator({ client, secret, opTimeout: '2s' }), cacheStatus: true, ...options }, { logger: log.logger, genReqId: () => `${name}-${++ids}` })
  return Object.assign(server, { log, handler, served })
}

/** Lines of a scrape, without help. */
async function scraped ({ app }: TestServer, name: string): Promise<string[]> {
  const { body } = await app.inject('/metrics')
  return body.split('\n').filter(line => line.startsWith(`coalesce_${name}`))
}

t.test('who was answered by a run of another process says so everywhere', withServer, async t => {
  const redis = await redisServer(t)
  const [one, two] = [await start(t, redis, 'one'), await start(t, redis, 'two')]
  const heard: object[] = []
  const listen = (message: unknown): void => { heard.push(message as object) }
  for (const name of ['board', 'settle']) diagnostics.subscribe(`fastify-coalesce:${name}`, listen)
  t.teardown(() => { for (const name of ['board', 'settle']) diagnostics.unsubscribe(`fastify-coalesce:${name}`, listen) })

  const before = await two.app.coalesce.explain({ url: PATH, ...SHOP })
  const led = one.get(PATH, SHOP)
  await until(() => one.handler.runs === 1)
  const followed: Pending[] = []
  for (const send of times(2, two, PATH, SHOP)) {
    followed.push(send())
    // Once it is known that another process runs: who comes while that is asked joins the one that asks.
    await until(() => two.log.event('joined').length === followed.length)
  }
  const during = await two.app.coalesce.explain({ url: PATH, ...SHOP })
  one.handler.gate.open()
  const answers = await Promise.all([led, ...followed])
  t.strictSame(answers.map(({ body }) => body), Array(3).fill('of one'))
  t.strictSame([one.handler.runs, two.handler.runs], [1, 0])

  t.test('in the log, with the id of the request that ran', async t => {
    t.strictSame(two.log.event('joined').map(({ level, coalesce }) => [level, coalesce?.leaderId, coalesce?.elsewhere]), Array(2).fill([DEBUG, undefined, true]))
    t.strictSame(two.log.event('started'), [])
    t.match(two.log.event('settled'), Array(2).fill({ level: DEBUG, coalesce: { outcome: 'peer', reason: 'shared', leaderId: 'one-1' } }))
    t.match(one.log.event('settled'), [{ reqId: 'one-1', coalesce: { outcome: 'leader', reason: 'shared', leaderId: 'one-1' } }])
    t.notMatch(JSON.stringify([one, two].map(({ log }) => log.coalesce())), /secret/, 'no key and no URL')
  })

  t.test('in request.coalesce, and on the channels', async t => {
    await until(() => two.served.length === 2)
    t.strictSame(two.served, Array(2).fill({ outcome: 'peer', reason: 'shared', leaderId: 'one-1' }))
    t.match(heard.filter(message => 'waiters' in message && 'elsewhere' in message), Array(2).fill({ role: 'follower', elsewhere: true }))
    t.match(heard.filter(message => 'outcome' in message && message.outcome === 'peer'), Array(2).fill({ leaderId: 'one-1', reason: 'shared' }))
  })

  t.test('in Cache-Status', async t => {
    t.strictSame(answers.map(({ headers }) => headers['cache-status']), [
      'fastify-coalesce; fwd=miss; detail=shared', ...Array(2).fill('fastify-coalesce; fwd=miss; collapsed; detail=peer/shared')
    ])
  })

  t.test('in metrics and figures', async t => {
    t.equal(await metric(two.app, 'coalesce_requests_total', { outcome: 'peer', reason: 'shared' }), 2)
    const { coordinators, ...stats } = two.app.coalesce.stats()
    t.match(stats, { totalRequests: 2, deduplicatedRequests: 2, actualExecutions: 0 })
    t.match(coordinators, [{ isOpen: false, joins: { follows: 1 }, received: { messages: 1 } }])
    t.strictSame(JSON.parse(JSON.stringify(coordinators)), coordinators, 'which is data')
    t.strictSame(await scraped(two, 'coordinator_joins_total{result="follows"}'), ['coalesce_coordinator_joins_total{result="follows"} 1'])
    t.strictSame(await scraped(two, 'coordinator_join_seconds_count'), ['coalesce_coordinator_join_seconds_count 1'])
    t.strictSame(await scraped(two, 'coordinator_messages_total{direction="received"}'), ['coalesce_coordinator_messages_total{direction="received"} 1'])
    t.strictSame(await scraped(two, 'coordinator_circuits_open'), ['coalesce_coordinator_circuits_open 0'])
    await until(() => one.app.coalesce.stats().coordinators?.[0]?.sent.messages === 1)
    t.strictSame(await scraped(one, 'coordinator_messages_total{direction="sent"}'), ['coalesce_coordinator_messages_total{direction="sent"} 1'])
    t.strictSame(await scraped(one, 'coordinator_lease_seconds_count'), ['coalesce_coordinator_lease_seconds_count 1'])
    t.strictSame(await scraped(one, 'coordinator_hand_off_seconds_count'), ['coalesce_coordinator_hand_off_seconds_count 1'])
  })

  t.test('and before it happens', async t => {
    t.match(before, { outcome: 'leader', reason: undefined, coordinator: { isDown: false }, flight: undefined })
    t.match(before.steps.slice(-2), [{ step: 'coordinator', decides: false, text: /is asked first.*\(peer\)/ }, { step: 'lead', decides: true }])
    t.match(during, { outcome: 'peer', reason: undefined, coordinator: undefined, flight: { leaderId: undefined, followers: 2, elsewhere: true } })
    t.match(during.steps.at(-1), { step: 'flight', decides: true, text: /^another process runs the handler/ })
    t.match(await two.app.coalesce.explain({ url: PATH, method: 'HEAD', ...SHOP }), { outcome: 'bypass', reason: 'head', coordinator: { isDown: false } })
    t.equal(two.app.coalesce.stats().coordinators?.[0]?.joins.leads, 0, 'to explain asks nobody')
  })
})

t.test('a server that is gone is warned of once, seen in metrics, and explained; who waited runs', withServer, async t => {
  const redis = await redisServer(t)
  const [one, two] = [await start(t, redis, 'one'), await start(t, redis, 'two', { warnings: ['coordinator-up'] })]
  const led = one.get(PATH, SHOP)
  await until(() => one.handler.runs === 1)
  const followed = two.get(PATH, SHOP)
  await until(() => two.log.event('joined').length === 1)
  await redis.kill()
  await until(() => two.handler.runs === 1)
  t.match(two.log.event('peer lost'), [{ level: DEBUG, reqId: 'two-1', coalesce: { leaderId: 'two-1', reason: 'unreachable' } }])
  t.strictSame(await scraped(two, 'peers_lost_total'), ['coalesce_peers_lost_total{method="GET",route="/word/:word",reason="unreachable"} 1'])
  for (const { handler } of [one, two]) handler.gate.open()
  t.strictSame((await Promise.all([led, followed])).map(({ body }) => body), ['of one', 'of two'])

  t.strictSame(await scraped(two, 'coordinator_circuits_open'), ['coalesce_coordinator_circuits_open 1'])
  t.equal(await metric(two.app, 'coalesce_coordinator_circuit_openings_total'), 1)
  t.match(two.app.coalesce.stats().coordinators, [{ isOpen: true }])
  const { coordinator, steps } = await two.app.coalesce.explain({ url: PATH, ...SHOP })
  t.match([coordinator, steps.at(-2)], [{ isDown: true }, { step: 'coordinator', text: /cannot be asked now/ }])
  for (const path of ['/word/a', '/word/b']) await two.get(path, SHOP)
  t.match(two.log.event('coordinator-down'), [{ level: WARN }], 'not for each request')

  await redis.start()
  await until(() => one.log.event('coordinator-up').length === 1)
  await until(() => two.app.coalesce.stats().coordinators?.[0]?.isOpen === false)
  t.strictSame(two.log.event('coordinator-up'), [], 'it is silenced there')
})

t.test('a store that processes share is told of, and its connection with it', withServer, async t => {
  const redis = await redisServer(t)
  const client = new Redis({ host: redis.host, port: redis.port, lazyConnect: true })
  const store = redisStore({ client, secret: 'a secret for tests', opTimeout: '2s' })
  const server = await serve(t, app => {
    // With another registration that uses the same store.
    app.register(async app => { await app.register(coalesce, { store }) })
    app.get('/word/:word', { config: { coalesce: { ttl: '1m' } } }, async () => 'body')
  }, { store })
  t.strictSame((await scraped(server, 'coordinator_circuits_open')), ['coalesce_coordinator_circuits_open 0'])
  t.strictSame((await scraped(server, 'shared_store_writes_total{result="stored"}')), ['coalesce_shared_store_writes_total{result="stored"} 0'], 'from the start')
  await server.get(PATH)
  await until(() => server.app.coalesce.stats().sharedStores?.[0]?.stored === 1)
  await server.get(PATH)
  t.strictSame(await scraped(server, 'shared_store_lookups_total'), [
    'coalesce_shared_store_lookups_total{result="memory"} 1', 'coalesce_shared_store_lookups_total{result="server"} 0',
    'coalesce_shared_store_lookups_total{result="none"} 1'
  ])
  const { coordinators, sharedStores } = server.app.coalesce.stats()
  t.equal(coordinators, undefined)
  t.match(sharedStores, [{ frontHits: 1, misses: 1, stored: 1, link: { isOpen: false, timeouts: 0 } }])
  t.strictSame(JSON.parse(JSON.stringify(sharedStores)), sharedStores)
})

t.test('without other processes there is nothing to tell of them', async t => {
  const server = await serve(t, app => { app.get('/word/:word', { config: { coalesce: true } }, async () => 'body') })
  const { coordinators, sharedStores } = server.app.coalesce.stats()
  t.strictSame([coordinators, sharedStores], [undefined, undefined])
  t.strictSame([...await scraped(server, 'coordinator'), ...await scraped(server, 'shared_store')], [])
  const { coordinator, steps } = await server.app.coalesce.explain(PATH)
  t.strictSame([coordinator, steps.filter(({ step }) => step === 'coordinator')], [undefined, []])
})

t.test('processes with different secrets do not answer each other, and say so', withServer, async t => {
  const redis = await redisServer(t)
  const [one, two] = [await start(t, redis, 'one'), await start(t, redis, 'two', {}, 'quite another secret')]
  one.app.coalesce.invalidate({ tags: ['a'] })
  await until(() => two.log.event('coordinator-rejected').length > 0)
  t.match(two.log.event('coordinator-rejected'), [{ level: WARN }])
  t.ok(await metric(two.app, 'coalesce_coordinator_rejected_total') >= 1)
})
