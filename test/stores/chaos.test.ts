import t from 'tap'
import { readKeptResponse, type KeptResponse } from '../../lib/http/kept-response.js'
import { NO_VARIANT } from '../../lib/variant.js'
import { abstractCacheStore } from '../../lib/stores/abstract-cache.js'
import { readEntry } from '../../lib/stores/entry.js'
import { memoryStore } from '../../lib/stores/memory.js'
import { gate, TestClock } from '../fixtures/gate.js'
import { chaos, GARBAGE, POISON_NAMES, type Chaos } from './chaos.js'
import { conforms, entryOf } from './conformance.js'

const TURNED = new TestClock()
const RESPONSE: KeptResponse = { status: 200, headers: [['content-type', 'text/plain']], removed: [], body: 'the body', age: 0, date: 1, variant: NO_VARIANT }

/** What a reader that trusts nobody makes of what a store answers. */
async function usable (store: Chaos): Promise<KeptResponse | undefined> {
  return readKeptResponse(readEntry(await store.get('key'), 'key')?.value)
}

conforms(t, { name: 'chaos that is asked for none', open: (_t, maxEntries) => ({ store: chaos(memoryStore({ maxEntries, clock: TURNED })), advance: milliseconds => { TURNED.advance(milliseconds) } }) })

t.test('what is poisoned, of another key or version, or garbage, is of no use to a reader', async t => {
  const cache = new Map<string, unknown>()
  const held = abstractCacheStore({
    get: ({ id }, callback) => { callback(null, { item: cache.get(id) }) },
    set: ({ id }, text, _ttl, callback) => { cache.set(id, text); callback(null) }
  })
  for (const inner of [memoryStore(), held]) {
    const store = chaos(inner)
    await store.set(entryOf('key', RESPONSE), 60_000)
    for (const poison of POISON_NAMES) {
      store.on.get = undefined
      t.strictSame(await usable(store), RESPONSE)
      store.on.get = poison
      t.not(await store.get('key'), undefined, poison)
      t.equal(await usable(store), undefined, poison)
    }
    store.on.get = 'garbage'
    for (const each of GARBAGE) t.equal(await usable(store), undefined, typeof each)
  }
})

t.test('it throws, rejects, hangs and delays as it is told, and does nothing meanwhile', async t => {
  const inner = memoryStore()
  const store = chaos(inner)
  const methods = { get: () => store.get('key'), set: () => store.set(entryOf('key', 1), 60_000), delete: () => store.delete('key') }
  for (const name of ['get', 'set', 'delete'] as const) {
    inner.set(entryOf('key', 0), 60_000)
    const isUntouched = (): boolean => inner.get('key')?.value === 0
    const turns = async (): Promise<unknown> => await Promise.race([methods[name](), new Promise(resolve => setImmediate(resolve, 'open'))])
    store.on[name] = 'throws'
    t.throws(methods[name], { message: `${name} throws` })
    store.on[name] = 'rejects'
    await t.rejects(async () => await methods[name](), { message: `${name} rejects` })
    store.on[name] = 'bad-promise'
    await t.rejects(async () => await methods[name](), { message: `${name} has a bad promise` })
    store.on[name] = 'hangs'
    t.equal(await turns(), 'open')
    store.on[name] = 'delays'
    store.gate = gate()
    t.equal(await turns(), 'open')
    t.ok(isUntouched())
    const late = methods[name]()
    store.gate.open()
    await late
    t.equal(isUntouched(), name === 'get')
    t.equal(store.calls[name], 6)
    store.on[name] = undefined
  }
  for (const name of ['entries', 'size'] as const) {
    store.on[name] = 'throws'
    t.throws(() => name === 'entries' ? store.entries() : store.size, { message: `${name} throws` })
  }
})
