import t from 'tap'
import fc from 'fast-check'
import { readEntry } from '../../lib/stores/entry.js'
import { entryOf } from './conformance.js'

t.test('an entry of the key is read whole, and nothing else of it', async t => {
  const value = { any: Symbol('thing') }
  const given = { ...entryOf('key', value, { labels: ['a', ''], since: 0, bytes: 0.5 }), more: 1 }
  const entry = readEntry(given, 'key')
  const { more, ...rest } = given
  t.strictSame(entry, rest)
  t.equal(entry?.value, value)
  t.ok(Object.isFrozen(entry) && Object.isFrozen(entry?.labels))
  t.not(entry?.labels, given.labels)
})

t.test('of another key or version, or with a member that is not what it must be, it is none', async t => {
  t.equal(readEntry(entryOf('a key'), 'a'), undefined)
  t.equal(readEntry(entryOf('a'), 'A'), undefined)
  for (const name of ['since', 'storedAt', 'freshFor', 'staleWhileRevalidate', 'staleIfError', 'bytes']) {
    for (const wrong of [-1, NaN, Infinity, -Infinity, '1', null, undefined, 1n, true, {}]) t.equal(readEntry({ ...entryOf('key'), [name]: wrong }, 'key'), undefined, name)
  }
  for (const wrong of [0, 2, '1', undefined]) t.equal(readEntry({ ...entryOf('key'), version: wrong }, 'key'), undefined)
  for (const wrong of [undefined, null, 'label', [1], ['a', undefined], { length: 0 }, new Set(), [,]]) { // eslint-disable-line no-sparse-arrays
    t.equal(readEntry({ ...entryOf('key'), labels: wrong }, 'key'), undefined)
  }
  const key = { toString: () => 'key' } as unknown as string
  t.equal(readEntry(entryOf(key), key), undefined)
})

t.test('what is checked is what is returned, even of what changes while it is read', async t => {
  let reads = 0
  const turning = { ...entryOf('key'), get freshFor () { return reads++ === 0 ? 1000 : NaN } }
  t.equal(readEntry(turning, 'key')?.freshFor, 1000)
  let labels = 0
  const list = Object.defineProperty(['a'], '0', { get: () => labels++ === 0 ? 'a' : 5 })
  t.strictSame(readEntry({ ...entryOf('key'), labels: list }, 'key')?.labels, ['a'])
})

t.test('it never throws', async t => {
  const trap = new Proxy({}, { get: () => { throw new Error('trap') } })
  for (const found of [trap, { ...entryOf('key'), labels: trap }, null, undefined, 5, 'text', () => {}]) t.equal(readEntry(found, 'key'), undefined)
  fc.assert(fc.property(fc.anything(), fc.anything(), (found, key) => readEntry(found, key as string) === undefined), { numRuns: 5000 })
})
