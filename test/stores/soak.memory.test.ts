import t from 'tap'
import { memoryStore } from '../../lib/stores/memory.js'
import { TestClock } from '../fixtures/gate.js'
import { memoryUsed, random } from '../fixtures/heap.js'
import { entryOf } from './conformance.js'

t.test('very many random keys stay inside the bounds at every step, and so does the heap', { timeout: 60_000 }, async t => {
  const [KEYS, MAX_BYTES, MAX_ENTRIES] = [400_000, 4 * 2 ** 20, 5000]
  const clock = new TestClock()
  const store = memoryStore({ maxBytes: MAX_BYTES, maxEntries: MAX_ENTRIES, clock })
  const next = random(42)
  const before = memoryUsed()
  let most = { entries: 0, bytes: 0 }
  let wrong = 0
  for (let step = 0; step < KEYS; step++) {
    const key = `["GET","/word/${next()}"]`
    // Mostly small, so that there are times when the entries reach their bound and times when the bytes do.
    const bytes = step % 200_000 < 160_000 ? 0 : next() % 4096
    store.set(entryOf(key, bytes === 0 ? null : Buffer.alloc(bytes), { bytes }), 1 + next() % 10_000)
    if (step % 7 === 0 && store.get(key)?.key !== key) wrong++
    if (step % 11 === 0) store.delete(key)
    if (step % 1000 === 0) clock.advance(1)
    const { size } = store
    most = { entries: Math.max(most.entries, size.entries), bytes: Math.max(most.bytes, size.bytes) }
    if (size.entries < 0 || size.bytes < 0) wrong++
  }
  const grown = memoryUsed() - before

  t.equal(wrong, 0)
  t.ok(most.entries <= MAX_ENTRIES && most.entries > MAX_ENTRIES * 0.99, `${most.entries} entries at most`)
  t.ok(most.bytes <= MAX_BYTES && most.bytes > MAX_BYTES * 0.99, `${most.bytes} bytes at most`)
  t.equal(clock.timers, 0)
  t.ok(grown < MAX_BYTES + 1_000_000, `${grown} bytes more in memory, with ${store.size.bytes} held`)
  for (const { key } of store.entries()) store.delete(key)
  t.match(store.size, { entries: 0, bytes: 0 }, 'every byte that was counted is given back')
})
