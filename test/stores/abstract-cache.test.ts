import { createRequire } from 'node:module'
import caching from '@fastify/caching'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { abstractCacheStore, type AbstractCache, type AbstractCacheStoreOptions } from '../../lib/stores/abstract-cache.js'
import { entryOf, conforms, type Opened } from './conformance.js'

type Callback = (error: unknown, result?: unknown) => void

/** abstract-cache's own client in memory, which @fastify/caching decorates, with so much room. */
function memoryClient (maxItems = 1000): AbstractCache {
  return requireAbstractCache()({ driver: { options: { maxItems } } })
}

/** Turns the time that abstract-cache goes by. */
function turnable (t: Test): (milliseconds: number) => void {
  const real = Date.now
  let passed = 0
  const begin = real()
  Date.now = () => begin + passed
  t.teardown(() => { Date.now = real })
  return milliseconds => { passed += milliseconds }
}

const opened = (t: Test, cache: AbstractCache): Opened => ({ store: abstractCacheStore(cache), advance: turnable(t) })

conforms(t, { name: 'abstract-cache', open: (t, maxEntries) => opened(t, memoryClient(maxEntries)) })

conforms(t, {
  name: 'abstract-cache with promises',
  open: (t, maxEntries) => opened(t, requireAbstractCache()({ useAwait: true, driver: { options: { maxItems: maxEntries } } }))
})

conforms(t, {
  name: 'abstract-cache without delete',
  open: (t, maxEntries) => {
    const cache = memoryClient(maxEntries)
    return opened(t, { get: (key, callback) => cache.get(key, callback), set: (key, value, ttl, callback) => cache.set(key, value, ttl, callback) })
  }
})

t.test('it takes the cache of @fastify/caching, and keeps in it', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(caching)
  const store = abstractCacheStore(app.cache)
  await store.set(entryOf('key', { body: Buffer.from([0, 255]) }), 60_000)
  t.strictSame(await store.get('key'), entryOf('key', { body: Buffer.from([0, 255]) }))
  t.strictSame(await abstractCacheStore(app.cache).get('key'), entryOf('key', { body: Buffer.from([0, 255]) }), 'another store on the same cache finds it')
  t.equal(await abstractCacheStore(app.cache, { segment: 'other' }).get('key'), undefined, 'but not in another segment')
})

/** A cache that records how it is called, and calls back with `error` and `result`. */
function recording (error: unknown = null, result: unknown = null): { cache: AbstractCache, calls: unknown[][] } {
  const calls: unknown[][] = []
  const record = (name: string) => (...given: unknown[]): void => {
    calls.push([name, ...given.slice(0, -1)])
    ;(given.at(-1) as Callback)(error, result)
  }
  return { calls, cache: { get: record('get'), set: record('set'), delete: record('delete') } }
}

t.test('the cache sees ids of one length, its segment and whole milliseconds', async t => {
  const { cache, calls } = recording()
  const store = abstractCacheStore(cache, { segment: 'mine' })
  await store.set(entryOf('__proto__'), 1000.2)
  await store.get('k'.repeat(10_000))
  await store.delete('')
  for (const [, key] of calls) {
    t.match(key, { id: /^[\w-]{43}$/, segment: 'mine' })
    t.strictSame(Object.keys(key as object), ['id', 'segment'])
  }
  t.match(calls, [['set', {}, String, 1001], ['get', {}], ['delete', {}]])
  t.equal(new Set(calls.map(([, key]) => (key as { id: string }).id)).size, 3)
})

t.test('a value that text cannot hold is not kept, and neither is what it was to replace', async t => {
  const store = abstractCacheStore(memoryClient())
  await store.set(entryOf('key', 1), 60_000)
  await store.set(entryOf('key', new Date()), 60_000)
  t.equal(await store.get('key'), undefined)
})

t.test('what the cache says is an error is one', async t => {
  const broken = new Error('broken')
  const store = abstractCacheStore(recording(broken).cache)
  await t.rejects(async () => await store.get('key'), broken)
  await t.rejects(async () => { await store.set(entryOf('key'), 1000) }, broken)
  await t.rejects(async () => { await store.delete('key') }, broken)
})

t.test('a cache that throws is one that fails, at once or after it has called back', async t => {
  const throws = (): never => { throw new Error('thrown') }
  const store = abstractCacheStore({ get: throws, set: throws, delete: throws })
  await t.rejects(async () => await store.get('key'), { message: 'thrown' })
  await t.rejects(async () => { await store.set(entryOf('key'), 1000) }, { message: 'thrown' })
  await t.rejects(async () => { await store.delete('key') }, { message: 'thrown' })

  const client = memoryClient()
  const late = abstractCacheStore({ ...methods(client), get: (key, callback) => { client.get(key, callback); throws() } })
  await late.set(entryOf('key', 1), 60_000)
  t.equal((await late.get('key'))?.value, 1)
})

t.test('a cache that rejects is one that fails', async t => {
  const store = abstractCacheStore({ ...methods(memoryClient()), get: async () => { throw new Error('rejected') } })
  await t.rejects(async () => await store.get('key'), { message: 'rejected' })
})

t.test('the first of two answers counts', async t => {
  const client = memoryClient()
  const store = abstractCacheStore({
    ...methods(client),
    get: (key, callback) => {
      client.get(key, callback)
      callback(new Error('second'), null)
      callback(null, { item: 'third' })
    }
  })
  await store.set(entryOf('key', 1), 60_000)
  t.equal((await store.get('key'))?.value, 1)
})

t.test('an async method that calls back is answered by its callback', async t => {
  const client = memoryClient()
  const store = abstractCacheStore({ ...methods(client), get: async (key, callback) => { await null; client.get(key, callback) } })
  await store.set(entryOf('key', 1), 60_000)
  t.equal((await store.get('key'))?.value, 1)
})

t.test('whatever else it answers is a miss', async t => {
  const text = await encoded()
  const garbage = [
    undefined, null, 0, 1, 'text', true, [], {}, Symbol('s'), () => {}, { item: undefined }, { item: null }, { item: 5 }, { item: {} }, { item: [text] },
    { item: Buffer.from(text) }, { item: '' }, { item: text.slice(1) }, { item: text.slice(0, -1) }, { item: text + ' ' }, { item: text.replace('key', 'kez') }, { item: new Date() }
  ]
  t.equal((await abstractCacheStore(recording(null, { item: text }).cache).get('key'))?.value, 'value')
  t.equal(await abstractCacheStore(recording(null, { item: text }).cache).get('another'), undefined, "another key's entry")
  for (const result of garbage) {
    for (const nothing of [null, undefined, 0, '', false]) t.equal(await abstractCacheStore(recording(nothing, result).cache).get('key'), undefined)
  }
})

t.test('a cache that never calls back holds nobody but who asked', async t => {
  const store = abstractCacheStore({ get: () => {}, set: () => {}, delete: () => {} })
  const answers = [store.get('key'), store.set(entryOf('key'), 1000), store.delete('key')].map(async answer => { await answer; return 'answered' })
  t.equal(await Promise.race([...answers, new Promise(resolve => setImmediate(resolve, 'open'))]), 'open')
})

t.test('wrong arguments are named, with what they want and what they got', async t => {
  const message = (cache: unknown, options?: unknown): string => {
    try {
      abstractCacheStore(cache as AbstractCache, options as AbstractCacheStoreOptions)
      return 'accepted'
    } catch (error) {
      return (error as { code: string }).code === 'FST_COALESCE_INVALID_OPTION' ? (error as Error).message : `another error: ${String(error)}`
    }
  }
  t.equal(message(memoryClient(), { segment: 'mine' }), 'accepted')
  t.equal(message(undefined), 'abstractCacheStore cache must be an object with get and set, got undefined')
  t.equal(message({ get: () => {} }), 'abstractCacheStore cache must be an object with get and set, got {}')
  t.equal(message({ set: () => {} }), 'abstractCacheStore cache must be an object with get and set, got {}')
  t.equal(message(memoryClient(), null), 'abstractCacheStore options must be an object, got null')
  t.equal(message(memoryClient(), { segment: '' }), 'abstractCacheStore options.segment must be a non-empty string, got ""')
  t.equal(message(memoryClient(), { ttl: 1 }), 'abstractCacheStore options must be made of segment, got "ttl"')
})

function methods (cache: AbstractCache): AbstractCache {
  return {
    get: (key, callback) => cache.get(key, callback),
    set: (key, value, ttl, callback) => cache.set(key, value, ttl, callback),
    delete: (key, callback) => cache.delete?.(key, callback)
  }
}

/** The text of the entry of 'key'. */
async function encoded (): Promise<string> {
  const { cache, calls } = recording()
  await abstractCacheStore(cache).set(entryOf('key', 'value'), 1000)
  return calls[0]?.[2] as string
}

/** It comes with @fastify/caching and has no types. */
function requireAbstractCache (): (options: object) => AbstractCache {
  return createRequire(createRequire(import.meta.url).resolve('@fastify/caching'))('abstract-cache')
}
