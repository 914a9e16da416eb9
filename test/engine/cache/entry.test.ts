import t from 'tap'
import { wholeEntry } from '../../../lib/engine/cache/entry.js'
import { entryOf } from '../../stores/conformance.js'

t.test('what is whole is read once: it is the same one from then on', async t => {
  const given = { ...entryOf('key', {}, { labels: ['a'] }) }
  const entry = wholeEntry(given)
  t.not(entry, given)
  t.strictSame(entry, given)
  t.ok(Object.isFrozen(entry) && Object.isFrozen(entry?.labels))
  t.equal(wholeEntry(entry), entry)
  t.not(wholeEntry({ ...entry }), entry)
})

t.test('whatever its key and version', async t => {
  t.match(wholeEntry({ ...entryOf('key'), key: 5, version: 'old' }), { key: 5, version: 'old' })
})

t.test('what is none is none, and what cannot be looked at throws', async t => {
  for (const none of [undefined, null, 5, 'text', {}, { ...entryOf('key'), bytes: -1 }, { ...entryOf('key'), labels: [1] }]) t.equal(wholeEntry(none), undefined)
  t.throws(() => wholeEntry(new Proxy({}, { get: () => { throw new Error('trap') } })), { message: 'trap' })
})
