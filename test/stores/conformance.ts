/**
 * What any store does, whatever it keeps its entries in.
 */
import { randomBytes } from 'node:crypto'
import type { Entry, Store } from '../../types/index.js'
import { distinct } from '../fixtures/crowd.js'
import type { Test } from 'tap'

/** A new store, and its time. */
export interface Opened {
  readonly store: Pick<Store, 'get' | 'set' | 'delete' | 'size' | 'entries'>
  /** Lets time pass for it. */
  readonly advance: (milliseconds: number) => void | Promise<void>
}

export interface Subject {
  readonly name: string
  /** Opens one that holds no more than so many entries. */
  readonly open: (t: Test, maxEntries: number) => Opened | Promise<Opened>
  /** It is there to keep nothing. */
  readonly forgets?: boolean
  /** Others see to it that it does not hold too much. */
  readonly unbounded?: boolean
  /** It gives the times of entries anew, by its user's clock. */
  readonly ownTimes?: boolean
  /** Its time goes on by itself: less than so many milliseconds in a test. */
  readonly goesOn?: number
}

export function entryOf (key: string, value: unknown = null, members: Partial<Entry> = {}): Entry {
  return { version: 1, key, since: 5, storedAt: 10, freshFor: 1000, staleWhileRevalidate: 0, staleIfError: 2000, labels: [], bytes: 100, value, ...members }
}

const KEEP = 60_000
/** Keys that something could take for something else, or for one another. */
const ODD_KEYS = [
  '', ' ', '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype', 'null', 'undefined', '0', '00', 'a', 'A', 'a ', 'a:b', 'a:b:c', 'fastify-coalesce:a',
  'a\0b', 'a\nb', '*', '%2a', '{"id":"a"}', 'é', 'e\u0301', '😀', '\ud83d', '\ude00', '\ufffd', 'k'.repeat(100_000), `${'k'.repeat(99_999)}l`, '["GET","/é😀?a=1&a=2"]'
]

/** Runs the suite on a store. */
export function conforms (t: Test, { name, open, forgets = false, unbounded = false, ownTimes = false, goesOn = 1 }: Subject): void {
  const test = (title: string, check: (t: Test, opened: Opened) => Promise<void>): void => {
    t.test(`${name}: ${title}`, async t => { await check(t, await open(t, 1000)) })
  }
  /** Without its times, if the store gives those anew. */
  const timeless = (entry: Entry | undefined): object | undefined => ownTimes && entry !== undefined ? { ...entry, since: 0, storedAt: 0 } : entry
  const found = async (store: Opened['store'], key: string): Promise<unknown> => (await store.get(key))?.value
  const listed = (store: Opened['store']): string[] => [...store.entries?.() ?? []].map(({ key }) => key).sort()

  test('what was never set, or never was an entry, is not found', async (t, { store }) => {
    t.equal(await store.get('absent'), undefined)
    t.equal(await store.get('__proto__'), undefined)
    await store.delete('absent')
    for (const wrong of [{ version: 2 }, { freshFor: NaN }, { bytes: -1 }, { staleIfError: Infinity }, { labels: 'abc' }, { labels: [1] }, { since: '5' }]) {
      await store.set(entryOf('wrong', 1), KEEP)
      await store.set(entryOf('wrong', 1, wrong as object), KEEP)
      t.equal(await store.get('wrong'), undefined, JSON.stringify(wrong))
    }
  })

  test('what is deleted is gone', async (t, { store }) => {
    await store.set(entryOf('a', 1), KEEP)
    await store.set(entryOf('b', 2), KEEP)
    await store.delete('a')
    t.equal(await store.get('a'), undefined)
    t.equal(await found(store, 'b'), forgets ? undefined : 2)
    await store.delete('b')
    t.equal(await store.get('b'), undefined)
    t.strictSame(listed(store), [])
  })

  test('what has had its time is not found', async (t, { store, advance }) => {
    await store.set(entryOf('short', 1), 1000)
    await store.set(entryOf('long', 2), 3000.5)
    await advance(1000 - goesOn)
    t.equal(await found(store, 'short'), forgets ? undefined : 1)
    await advance(goesOn + 1)
    t.equal(await store.get('short'), undefined)
    t.equal(await found(store, 'long'), forgets ? undefined : 2)
    await advance(2000 + goesOn)
    t.equal(await store.get('long'), undefined)
    t.strictSame(listed(store), [])
  })

  test('what is set for no time is not kept, nor is what was there before', async (t, { store }) => {
    for (const none of [0, -1, -0, NaN, -Infinity]) {
      await store.set(entryOf('a', 'before'), KEEP)
      await store.set(entryOf('a', 'now'), none)
      t.equal(await store.get('a'), undefined, String(none))
    }
  })

  t.test(`${name}: many keys are kept in bounded room`, { skip: unbounded && 'others see to that' }, async t => {
    const { store } = await open(t, 100)
    for (let key = 0; key < 1000; key++) await store.set(entryOf(`${key}`, key), KEEP)
    const kept: unknown[] = []
    for (let key = 0; key < 1000; key++) kept.push(await found(store, `${key}`))
    t.ok(kept.filter(value => value !== undefined).length <= 100)
    t.ok((store.size?.entries ?? 0) <= 100)
    t.ok(listed(store).length <= 100)
    t.equal(kept.at(-1), forgets ? undefined : 999)
  })

  test('sets and gets at the same time answer with an entry of the key, and in the end with the last one', async (t, { store }) => {
    const keys = Array.from({ length: 20 }, (_, index) => `key ${index}`)
    const gets: Array<Promise<[string, Entry | undefined]>> = []
    await Promise.all(Array.from({ length: 20 }, (_, round) => keys.map(async key => {
      gets.push((async () => [key, await store.get(key)])())
      await store.set(entryOf(key, [key, round]), KEEP)
    })).flat())
    for (const [key, entry] of await Promise.all(gets)) {
      if (entry !== undefined && (entry.key !== key || (entry.value as string[])[0] !== key)) t.fail(`${key} was answered with ${entry.key}`)
    }
    t.strictSame(await Promise.all(keys.map(async key => await found(store, key))), keys.map(key => forgets ? undefined : [key, 19]))
  })

  if (forgets) {
    test('nothing is kept', async (t, { store }) => {
      for (const key of ODD_KEYS) await store.set(entryOf(key, key), KEEP)
      for (const key of ODD_KEYS) t.equal(await store.get(key), undefined)
      t.strictSame(listed(store), [])
      t.match(store.size, { entries: 0, bytes: 0, evictions: 0 })
    })
    return
  }

  test('what was set is found again, whole', async (t, { store }) => {
    const entry = entryOf('key', { list: [1, 'two', null, true], nested: { deep: -1.5e-7 } }, {
      labels: ['word:42', ''], since: 1_764_000_000_000.25, storedAt: 1_764_000_000_005.25
    })
    await store.set(entry, KEEP)
    t.strictSame(timeless(await store.get('key')), timeless(entry))
    t.strictSame(timeless(await store.get('key')), timeless(entry), 'as often as it is asked for')
    await store.set(entryOf('key', 'another'), KEEP)
    t.strictSame(timeless(await store.get('key')), timeless(entryOf('key', 'another')), 'the last one counts')
  })

  test('keys are compared whole, whatever they look like', async (t, { store }) => {
    t.equal(distinct(ODD_KEYS).length, ODD_KEYS.length)
    for (const key of ODD_KEYS) {
      await store.set(entryOf(key, key.slice(0, 50)), KEEP)
      t.equal((await store.get(key))?.key, key)
    }
    const wrong: string[] = []
    for (const key of ODD_KEYS) {
      const entry = await store.get(key)
      // Some may have had to give way to others, but none is found under another one's key.
      if (entry !== undefined && (entry.key !== key || entry.value !== key.slice(0, 50))) wrong.push(key.slice(0, 50))
    }
    t.strictSame(wrong, [])
    for (const key of ODD_KEYS) await store.delete(key)
    t.strictSame(await Promise.all(ODD_KEYS.map(async key => await store.get(key))), ODD_KEYS.map(() => undefined))
  })

  test('bodies come back bit for bit', async (t, { store }) => {
    const bodies = [
      Buffer.alloc(0), Buffer.from([0]), Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)), Buffer.from([0xef, 0xbb, 0xbf, 0xff, 0xfe]), randomBytes(1_000_003),
      '', '\0', 'ä€😀', '\ud83d', '\ufeff{}', "'#", '#AAAA', '"\\u0000\u2028'
    ]
    for (const body of bodies) {
      await store.set(entryOf('body', { body }), KEEP)
      const got = (await found(store, 'body') as { body: unknown }).body
      t.ok(Buffer.isBuffer(body) ? Buffer.isBuffer(got) && body.equals(got) : body === got)
    }
  })

  test('nobody can change what is kept: not who set it, not who got it', async (t, { store }) => {
    const labels = ['label']
    const entry = entryOf('key', 'value', { labels })
    await store.set(entry, KEEP)
    Object.assign(entry, { key: 'other', freshFor: 1e9, value: 'poison' })
    labels.push('poison')
    const got = await store.get('key') as Entry
    t.ok(Object.isFrozen(got) && Object.isFrozen(got.labels))
    t.strictSame(timeless(await store.get('key')), timeless(entryOf('key', 'value', { labels: ['label'] })))
  })

  test('it lists what it holds and says how much, if it can', async (t, { store }) => {
    for (const key of ['a', 'b', 'c']) await store.set(entryOf(key), KEEP)
    await store.set(entryOf('a', 'again'), KEEP)
    await store.delete('b')
    if (store.entries !== undefined) t.strictSame(listed(store), ['a', 'c'])
    if (store.size !== undefined) t.match(store.size, { entries: 2, evictions: 0 })
  })
}
