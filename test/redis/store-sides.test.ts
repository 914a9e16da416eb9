/**
 * "A result is stored for all only if nothing of it was purged since its run began, whoever purged, and whether that was told or not."
 */
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { systemClock } from '../../lib/clock.js'
import { redisStore, type RedisStore, type RedisStoreOptions } from '../../lib/redis/store/store.js'
import type { Entry, OpenStore } from '../../types/index.js'
import { until } from '../fixtures/gate.js'
import { SECRET } from '../fixtures/redis/instances.js'
import { redisServer, withServer, type RedisServer } from '../fixtures/redis/server.js'
import { entryOf } from '../stores/conformance.js'

const KEEP = 60_000
const LOG = { debug () {}, warn () {}, error () {} }

interface Side extends OpenStore {
  readonly store: RedisStore
  /** What it was told, which it does nothing about. */
  readonly told: string[]
  /** A moment: of the beginning of a run. */
  now (): number
}

/** Another process's side of a store, whose user does not heed what it is told. */
async function side (t: Test, { host, port }: RedisServer, options: Partial<RedisStoreOptions> = {}): Promise<Side> {
  const client = new Redis({ host, port, lazyConnect: true })
  const store = redisStore({ client, namespace: 'sides', secret: SECRET, opTimeout: '2s', memory: false, ...options })
  let stamps = systemClock.now()
  const stamp = (): number => (stamps = Math.max(systemClock.now(), stamps + 2 ** -10))
  const told: string[] = []
  const opened = store.open({
    log: LOG, stamp, purged (labels, soft) { told.push(`${labels.join()} ${soft}`) }, missedPurges () { told.push('missed') }
  })
  t.teardown(async () => { await opened.close() })
  await opened.ready()
  return {
    store,
    told,
    now: stamp,
    get: key => opened.get(key),
    set: (entry, keepFor) => opened.set(entry, keepFor),
    delete: key => opened.delete(key),
    purge: (labels, soft) => opened.purge(labels, soft),
    ready: async () => { await opened.ready() },
    close: async () => { await opened.close() }
  }
}

const valueOf = async (side: Side, key = 'key'): Promise<unknown> => (await side.get(key))?.value

/** An entry of a run that began at `since` and has ended now. */
const entry = (side: Side, value: unknown, since = side.now(), members: Partial<Entry> = {}): Entry =>
  entryOf('key', value, { since, storedAt: side.now(), labels: ['tag'], ...members })

t.test('who has not asked before does not know what was purged, and stores nothing', withServer, async t => {
  const server = await redisServer(t)
  const [a, b] = await Promise.all([side(t, server), side(t, server)])
  await b.get('key')
  await b.set(entry(b, 'b'), KEEP)
  await a.set(entry(a, 'a'), KEEP)
  t.equal(await valueOf(b), undefined, 'what it was to replace is dropped')
  const began = a.now()
  await a.get('other')
  await a.set(entry(a, 'a', began), KEEP)
  t.equal(await valueOf(b), undefined)
  await a.set(entry(a, 'a'), KEEP)
  t.equal(await valueOf(b), 'a', 'any key tells what the clock says')
  t.match(a.store.figures(), { fenced: 2, stored: 1 })
})

for (const [what, labels] of [['a label', ['tag']], ['the key', ['key']], ['both', ['other', 'tag', 'key']]] as const) {
  for (const soft of [false, true]) {
    t.test(`a result is not stored if ${what} was purged ${soft ? 'softly ' : ''}while its run went on`, withServer, async t => {
      const server = await redisServer(t)
      const [a, b] = await Promise.all([side(t, server), side(t, server)])
      await a.get('key')
      const began = a.now()
      b.purge(['nothing of it'], soft)
      b.purge(labels, soft)
      await b.get('key')
      await a.set(entry(a, 'old', began), KEEP)
      t.equal(await valueOf(b), undefined)
      await a.get('key')
      await a.set(entry(a, 'old', began), KEEP)
      t.equal(await valueOf(b), undefined, 'what is heard later changes nothing')
      await a.set(entry(a, 'new'), KEEP)
      t.match(await b.get('key'), { value: 'new' })
      b.purge(labels, soft)
      const found = await b.get('key')
      t.match(found, soft ? { value: 'new', outdated: true } : undefined)
      await until(() => a.told.length === 3)
      t.equal(a.told.at(-1), `${labels.join()} ${soft}`)
      t.match(a.store.figures(), { fenced: 2, stored: 1, link: { purges: { received: 3 } } })
    })
  }
}

t.test('a clock of purges that is lost makes all a miss, also what was on its way', withServer, async t => {
  const server = await redisServer(t)
  const a = await side(t, server)
  await a.get('key')
  await a.set(entry(a, 'before'), KEEP)
  const began = a.now()
  const [clock] = await server.command('KEYS', '*purges') as string[]
  await server.command('DEL', String(clock))
  t.equal(await valueOf(a), undefined)
  await a.set(entry(a, 'before', began), KEEP)
  t.equal(await valueOf(a), undefined)
  await a.set(entry(a, 'after'), KEEP)
  t.equal(await valueOf(a), 'after')
  await server.command('DEL', String(clock))
  await a.set(entry(a, 'lost'), KEEP)
  t.equal(await valueOf(a), undefined)
})

t.test('the result of an older run never replaces that of a later one, however long each took', withServer, async t => {
  const server = await redisServer(t)
  const [a, b] = await Promise.all([side(t, server), side(t, server)])
  for (const large of [false, true]) {
    const value = (text: string): unknown => ({ text, fill: large ? Buffer.alloc(200_000) : '' })
    await Promise.all([a.get('key'), b.get('key')])
    const early = a.now()
    await b.set(entry(b, value('late')), 2 * KEEP)
    // It took ten seconds.
    await a.set(entry(a, value('early'), early, { storedAt: early + 10_000 }), KEEP)
    t.match(await valueOf(a), { text: 'late' })
    t.match(a.store.figures(), { outrun: large ? 2 : 1 })
    await a.set(entry(a, value('later')), KEEP)
    t.match(await valueOf(b), { text: 'later' })
    b.purge(['tag'], false)
    await Promise.all([a.get('key'), b.get('key')])
  }
  t.equal((await server.command('KEYS', '*:t:*') as string[]).length, 0, 'nothing is left of what was refused')
})

t.test('what is too large, or cannot travel, is not stored, and what it was to replace is dropped', withServer, async t => {
  const server = await redisServer(t)
  const a = await side(t, server, { maxEntryBytes: 1_000 })
  for (const value of ['x'.repeat(1_000), { made: () => {} }]) {
    await a.get('key')
    await a.set(entry(a, 'small'), KEEP)
    t.equal(await valueOf(a), 'small')
    await a.set(entry(a, value), KEEP)
    t.equal(await valueOf(a), undefined)
  }
  await a.set(entry(a, 'many', a.now(), { labels: Array.from({ length: 3_000 }, (_, index) => `tag:${index}`) }), KEEP)
  t.equal(await valueOf(a), undefined)
  t.match(a.store.figures(), { unstorable: 3, stored: 2 })
})

t.test('users of one store in one process are told of one another\'s purges, once', withServer, async t => {
  const server = await redisServer(t)
  const { store, ...a } = await side(t, server)
  const told: string[] = []
  const b = store.open({ log: LOG, stamp: a.now, purged (labels) { told.push(labels.join()) }, missedPurges () {} })
  t.teardown(async () => { await b.close() })
  a.purge(['tag'], false)
  b.purge(['tag'], false)
  t.strictSame([told, a.told], [['tag'], []])
  await a.get('key')
  a.purge(['tag'], false)
  t.strictSame(told, ['tag', 'tag'], 'it may have been used in between')
  a.purge(['tag'], true)
  t.equal(told.length, 3)
})

t.test('each purge counts, also one that is like the last, of a process that asks for nothing between them', withServer, async t => {
  const server = await redisServer(t)
  const [a, b] = await Promise.all([side(t, server), side(t, server)])
  a.purge(['tag'], false)
  await until(() => b.told.length === 1)
  await b.get('key')
  const began = b.now()
  a.purge(['tag'], false)
  await until(() => b.told.length === 2)
  await b.set(entry(b, 'what was read before the second purge', began), KEEP)
  t.equal(await valueOf(b), undefined)
  t.match(b.store.figures(), { fenced: 1, stored: 0 })
})

t.test('memory in front holds no more than it may, gives nothing that is older than it may be, or was purged, and is per key', withServer, async t => {
  const server = await redisServer(t)
  let ahead = 0
  const clock = { ...systemClock, now: () => systemClock.now() + ahead }
  const a = await side(t, server, { memory: { maxBytes: 10_000, ttl: '5s' }, clock })
  await a.get('none')
  for (let index = 0; index < 20; index++) await a.set(entry(a, 'x'.repeat(1_000), a.now(), { key: `key ${index}` }), KEEP)
  const { entries, bytes, evictions } = a.store.size
  t.ok(bytes <= 10_000 && entries > 2 && entries < 10, `${entries} entries`)
  t.equal(evictions, 20 - entries)
  const at = (): string => a.get('key 19') instanceof Promise ? 'Redis' : 'memory'
  t.equal(at(), 'memory')
  t.equal(a.get('key 19'), a.get('key 19'), 'the same one each time')
  ahead += 5_000
  t.equal(at(), 'Redis')
  await a.get('key 19')
  t.equal(at(), 'memory')
  a.purge(['other'], false)
  t.equal(at(), 'memory')
  a.purge(['tag'], true)
  t.equal(at(), 'Redis')
  t.match(await a.get('key 19'), { outdated: true })
  t.match(a.get('key 19'), { outdated: true })
  const asked = a.get('key 18')
  a.purge(['tag'], false)
  await asked
  t.ok(a.get('key 18') instanceof Promise, 'what was asked for before a purge does not stay')
  await a.get('key')
  await a.set(entry(a, 'short'), 300)
  t.equal(await valueOf(a), 'short')
  ahead += 301
  t.ok(a.get('key') instanceof Promise)
  const b = a.store.open({ log: LOG, stamp: a.now, purged () {}, missedPurges () {} })
  await a.get('key')
  await a.set(entry(a, 'both'), KEEP)
  t.match(b.get('key'), { value: 'both' }, 'all users have it in common')
  await b.close()
})

t.test('without an app it is a store as well, and can be closed', withServer, async t => {
  const { host, port } = await redisServer(t)
  const store = redisStore({ client: new Redis({ host, port, lazyConnect: true }), opTimeout: '2s', memory: false })
  t.teardown(async () => { await store.close() })
  await until(() => store.get('key') !== undefined)
  t.equal(await store.get('key'), undefined)
  const now = Date.now()
  await store.set(entryOf('key', 'value', { since: now + 1_000, storedAt: now + 1_000 }), KEEP)
  t.match(await store.get('key'), { value: 'value' })
  await store.delete('key')
  t.equal(await store.get('key'), undefined)
  await store.close()
  await store.close()
  const again = store.get('key')
  t.ok(again === undefined || again instanceof Promise, 'it begins anew')
})

t.test('once it is closed it is a store that has nothing', withServer, async t => {
  const a = await side(t, await redisServer(t))
  await a.get('key')
  await a.close()
  t.equal(a.get('key'), undefined)
  a.set(entry(a, 'value'), KEEP)
  a.delete('key')
  a.purge(['tag'], false)
  await a.ready()
  t.match(a.store.figures(), { skipped: 3 })
})
