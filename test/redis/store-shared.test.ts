/**
 * "Responses that one process has cached are the others' as well, and what one purges is purged for all."
 */
import t, { type Test } from 'tap'
import { memoryStore } from '../../lib/stores/memory.js'
import { until } from '../fixtures/gate.js'
import { Instances, type Instance } from '../fixtures/redis/instances.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

const LONG = { memory: { ttl: '1h' } } as const
const NONE = { memory: false } as const

t.test('what one instance has cached all are given, from Redis, and then from their own memory at once', withServer, async t => {
  const instances = new Instances(await redisServer(t))
  const [a, b, c] = await Promise.all([instances.start(t, 'a'), instances.start(t, 'b', { store: LONG }), instances.start(t, 'c', { store: NONE })])
  t.equal(await a.ask(), 'a1')
  await a.settled()
  for (const instance of [a, b, c, b, c]) t.equal(await instance.ask(), 'a1')
  t.match(a.store.figures(), { stored: 1, frontHits: 1, hits: 0 })
  t.match(b.store.figures(), { hits: 1, frontHits: 1 })
  t.match(c.store.figures(), { hits: 2, frontHits: 0 })
  t.equal((await c.get('/thing/1')).headers['age'], '0')
  t.match(b.store.size, { entries: 1, evictions: 0 })
  t.ok(b.store.size.bytes > 500)
  t.match(c.store.size, { entries: 0, bytes: 0 })
})

t.test('variants and large bodies are shared as well', withServer, async t => {
  const instances = new Instances(await redisServer(t))
  const body = (length: number): string => 'ä'.repeat(length / 2)
  for (const length of [100, 70_000, 1_500_000]) {
    const options = {
      store: NONE,
      handler: (_run: number, request: { readonly headers: NodeJS.Dict<string | string[]> }, reply: { header (name: string, value: string): unknown }) => {
        reply.header('vary', 'accept-language')
        return `${String(request.headers['accept-language'])} ${body(length)}`
      },
      route: { maxEntryBytes: 2_000_000, ttl: '1m' } as const
    }
    const [a, b] = await Promise.all([instances.start(t, 'a', options), instances.start(t, 'b', options)])
    const ask = async (instance: Instance, language: string): Promise<string> =>
      (await instance.get(`/thing/${length}`, { headers: { 'accept-language': language } })).body
    for (const language of ['de', 'fr']) t.equal(await ask(a, language), `${language} ${body(length)}`)
    await a.settled()
    for (const language of ['de', 'fr', 'de']) t.equal(await ask(b, language), `${language} ${body(length)}`)
    t.equal(b.runs(), 0, `${length} bytes`)
  }
})

/** The key of `/thing/1`, as a store that can be listed has it. */
async function keyOf (t: Test, instances: Instances): Promise<string> {
  const listable = await instances.start(t, 'listable', { options: { store: memoryStore() } })
  await listable.ask()
  return listable.app.coalesce.entries()[0]?.key as string
}

const PURGES: ReadonlyArray<readonly [name: string, purge: (instance: Instance, key: string) => unknown]> = [
  ['a tag', ({ app }) => { app.coalesce.invalidate({ tags: ['all'] }) }],
  ['a route', ({ app }) => { app.coalesce.invalidate({ route: '/thing/:id' }) }],
  ['a URL', ({ app }) => { app.coalesce.invalidate({ url: '/thing/1' }) }],
  ['a key', ({ app }, key) => { app.coalesce.invalidate({ key }) }],
  ['a write', async instance => await instance.get('/thing/1', { method: 'POST' })]
]

for (const [name, purge] of PURGES) {
  t.test(`what one instance purges by ${name} is purged for those that hear of it, and for those that ask Redis`, withServer, async t => {
    const instances = new Instances(await redisServer(t))
    const key = await keyOf(t, instances)
    const [a, hears, asks] = await Promise.all([
      instances.start(t, 'a'), instances.start(t, 'hears', { store: LONG }), instances.start(t, 'asks', { store: NONE })
    ])
    t.equal(await a.ask(), 'a1')
    await a.settled()
    for (const instance of [hears, asks]) t.equal(await instance.ask(), 'a1')
    await purge(a, key)
    await a.settled()
    await until(() => hears.store.figures().link?.purges.received === 1)
    t.equal(await hears.ask(), 'hears1')
    await hears.settled()
    t.equal(await asks.ask(), 'hears1', 'it asks Redis, and gets what was stored since')
    t.equal(await a.ask(), 'hears1', 'the one that purged takes what was stored since as well')
    t.equal(await hears.ask('/thing/2'), 'hears2')
  })
}

t.test('what is purged softly is stale for all, until it is refreshed for all', withServer, async t => {
  const instances = new Instances(await redisServer(t))
  const route = { staleWhileRevalidate: '10m' } as const
  const [a, hears, asks] = await Promise.all([
    instances.start(t, 'a', { route }), instances.start(t, 'hears', { store: LONG, route }), instances.start(t, 'asks', { store: NONE, route })
  ])
  t.equal(await a.ask(), 'a1')
  await a.settled()
  for (const instance of [hears, asks]) t.equal(await instance.ask(), 'a1')
  a.app.coalesce.invalidate({ tags: ['all'], soft: true })
  await a.settled()
  await until(() => hears.store.figures().link?.purges.received === 1 && asks.store.figures().link?.purges.received === 1)
  t.equal(await asks.ask(), 'a1', 'it is served stale')
  await until(() => asks.runs() === 1)
  await until(() => asks.store.figures().stored === 1)
  for (const instance of [asks, hears, a]) t.equal(await instance.ask(), 'asks1')
  t.equal(hears.runs() + a.runs(), 1)
})
