import t from 'tap'
import { memoryStore, type MemoryStore, type MemoryStoreOptions } from '../../lib/stores/memory.js'
import type { Entry } from '../../types/index.js'
import { TestClock } from '../fixtures/gate.js'
import { conforms, entryOf } from './conformance.js'

const KEEP = 1000

function open (options: MemoryStoreOptions = {}): { store: MemoryStore, clock: TestClock } {
  const clock = new TestClock()
  return { store: memoryStore({ clock, ...options }), clock }
}

const keys = (store: MemoryStore): string[] => store.entries().map(({ key }) => key)

conforms(t, {
  name: 'memory',
  open: (_t, maxEntries) => {
    const { store, clock } = open({ maxEntries })
    return { store, advance: milliseconds => { clock.advance(milliseconds) } }
  }
})

t.test('what was used least recently gives way', async t => {
  const { store } = open({ maxEntries: 3 })
  for (const key of ['a', 'b', 'c']) store.set(entryOf(key), KEEP)
  store.get('a')
  store.set(entryOf('d'), KEEP)
  t.strictSame(keys(store), ['d', 'a', 'c'])
  t.equal(store.size.evictions, 1)
})

t.test('bytes are bounded: those of values, keys and labels, and what keeping them takes', async t => {
  const bytesOf = (entry: Entry): number => {
    const { store } = open()
    store.set(entry, KEEP)
    return store.size.bytes
  }
  const least = bytesOf(entryOf('', null, { bytes: 0 }))
  t.ok(least >= 250, 'an entry is never free')
  t.equal(bytesOf(entryOf('', null, { bytes: 1000 })), least + 1000)
  t.equal(bytesOf(entryOf('', null, { bytes: 0.5 })), least + 1)
  t.ok(bytesOf(entryOf('key'.repeat(100), null, { bytes: 0 })) >= least + 300)
  t.ok(bytesOf(entryOf('', null, { bytes: 0, labels: ['label'.repeat(10), 'label'.repeat(10)] })) >= least + 100)
  t.ok(bytesOf(entryOf('', null, { bytes: 0, labels: Array.from({ length: 100 }, () => '') })) >= least + 800, 'nor is a label')

  const { store } = open({ maxBytes: 10 * (least + 1000) })
  for (let key = 0; key < 25; key++) {
    store.set(entryOf(String.fromCharCode(key), null, { bytes: 998 }), KEEP)
    t.ok(store.size.bytes <= 10 * (least + 1000))
  }
  t.match(store.size, { entries: 10, bytes: 10 * (least + 1000), evictions: 15 })
  store.set(entryOf('large', null, { bytes: 9 * (least + 1000) }), KEEP)
  t.match([keys(store), store.size.evictions], [['large'], 25], 'a large one takes the place of many')
})

t.test('a larger one in the place of a smaller one counts, and makes others give way', async t => {
  const { store } = open({ maxBytes: 4000 })
  for (const key of ['a', 'b', 'c']) store.set(entryOf(key, null, { bytes: 900 }), KEEP)
  store.set(entryOf('b', 'large', { bytes: 3000 }), KEEP)
  t.strictSame(keys(store), ['b'])
  t.ok(store.size.bytes <= 4000)
  t.match(store.size, { entries: 1, evictions: 2 })
})

t.test('what is larger than all there is room for is not kept, and neither is what it was to replace', async t => {
  const { store } = open({ maxBytes: 4000 })
  store.set(entryOf('other'), KEEP)
  store.set(entryOf('key', 'before'), KEEP)
  store.set(entryOf('key', 'now', { bytes: 4000 }), KEEP)
  t.strictSame(keys(store), ['other'])
  t.equal(store.size.evictions, 0)
})

t.test('only what goes before its time is an eviction', async t => {
  const { store, clock } = open({ maxEntries: 2 })
  store.set(entryOf('a'), 1000)
  store.set(entryOf('b'), 5000)
  store.set(entryOf('a', 'replaced'), 1000)
  store.delete('a')
  store.set(entryOf('a'), 1000)
  store.get('b')
  clock.advance(1001)
  store.set(entryOf('c'), 5000)
  t.strictSame([keys(store), store.size.evictions], [['c', 'b'], 0], 'a had had its time')
  store.set(entryOf('d'), 5000)
  t.strictSame([keys(store), store.size.evictions], [['d', 'c'], 1])
  clock.advance(5001)
  store.get('d')
  t.equal(store.size.evictions, 1)
})

t.test('at the very end of its time an entry is there, as its eviction is one', async t => {
  const { store, clock } = open({ maxEntries: 1 })
  store.set(entryOf('a'), 1000)
  clock.advance(1000)
  t.ok(store.get('a'))
  store.set(entryOf('b'), 1000)
  t.equal(store.size.evictions, 1)
})

t.test('time begins anywhere', async t => {
  for (const begin of [0, -5000, 1e12]) {
    const clock = new TestClock()
    const store = memoryStore({ clock: { ...clock, now: () => begin + clock.now() } })
    store.set(entryOf('a'), 1000)
    clock.advance(1001)
    t.equal(store.get('a'), undefined, String(begin))
  }
})

t.test('a new life begins when an entry is set again, and not when it is asked for', async t => {
  const { store, clock } = open()
  store.set(entryOf('a'), 1000)
  clock.advance(600)
  store.set(entryOf('a', 'again'), 1000)
  clock.advance(600)
  t.equal(store.get('a')?.value, 'again')
  clock.advance(600)
  t.equal(store.get('a'), undefined)
})

t.test('no timer is set, however many entries there are', async t => {
  const { store, clock } = open()
  for (let key = 0; key < 100; key++) store.set(entryOf(String(key)), KEEP)
  t.equal(clock.timers, 0)
  const { setTimeout } = globalThis
  t.teardown(() => { globalThis.setTimeout = setTimeout })
  let timers = 0
  globalThis.setTimeout = Object.assign((...given: Parameters<typeof setTimeout>) => {
    timers++
    return setTimeout(...given)
  }, setTimeout)
  const real = memoryStore()
  for (let key = 0; key < 100; key++) real.set(entryOf(String(key)), KEEP)
  t.ok(real.get('1'))
  t.strictSame([real.entries().length, timers], [100, 0])
})

t.test('looking at the list changes nothing of who gives way, nor does it end if entries are got or set meanwhile', async t => {
  const { store } = open({ maxEntries: 3 })
  for (const key of ['a', 'b', 'c']) store.set(entryOf(key), KEEP)
  t.strictSame(keys(store), ['c', 'b', 'a'])
  store.set(entryOf('d'), KEEP)
  t.strictSame(keys(store), ['d', 'c', 'b'])
  let seen = 0
  for (const { key } of store.entries()) {
    store.get(key)
    store.set(entryOf(`new ${key}`), KEEP)
    if (++seen > 3) break
  }
  t.equal(seen, 3)
})

t.test('the value is the one that was set, not a copy', async t => {
  const { store } = open()
  const value = { body: Buffer.from('bytes') }
  store.set(entryOf('a', value), KEEP)
  t.equal(store.get('a')?.value, value)
})

t.test('wrong options are named, with what they want and what they got', async t => {
  const message = (options: unknown): string => {
    try {
      memoryStore(options as MemoryStoreOptions)
      return 'accepted'
    } catch (error) {
      return (error as { code: string }).code === 'FST_COALESCE_INVALID_OPTION' ? (error as Error).message : `another error: ${String(error)}`
    }
  }
  t.equal(message({}), 'accepted')
  t.equal(message({ maxBytes: 1, maxEntries: 1, clock: new TestClock() }), 'accepted')
  t.equal(message({ maxBytes: undefined }), 'accepted')
  t.equal(message(null), 'memoryStore options must be an object, got null')
  t.equal(message({ maxBytes: 0 }), 'memoryStore options.maxBytes must be a whole number from 1, got 0')
  t.equal(message({ maxBytes: '1MB' }), 'memoryStore options.maxBytes must be a whole number from 1, got "1MB"')
  t.equal(message({ maxEntries: 1e9 }), 'memoryStore options.maxEntries must be a whole number from 1 to 16777215, got 1000000000')
  t.equal(message({ maxEntries: 0 }), 'memoryStore options.maxEntries must be a whole number from 1 to 16777215, got 0')
  t.equal(message({ clock: {} }), 'memoryStore options.clock must be an object with now, setTimeout and clearTimeout, and with wall as a function if it has that, got {}')
  t.equal(message({ ttl: 5 }), 'memoryStore options must be made of maxBytes, maxEntries, clock, got "ttl"')
})
