import t from 'tap'
import { Cache, NO_CACHE, type Codec } from '../../../lib/engine/cache/cache.js'
import { GuardedStore } from '../../../lib/engine/cache/guarded-store.js'
import { Refreshes } from '../../../lib/engine/cache/refreshes.js'
import { SILENT } from '../../../lib/observers/silent.js'
import { memoryStore } from '../../../lib/stores/memory.js'
import type { Entry } from '../../../types/index.js'
import { TestClock } from '../../fixtures/gate.js'
import { entryOf } from '../../stores/conformance.js'

const KEY = '["a"]'
const CODEC: Codec<unknown> = {
  read: ({ value }: Entry) => value === 'garbage' ? undefined : value === 'variants' ? { type: 'variants', names: ['accept'] } : { type: 'result', recording: value },
  stored () {}
}

t.test('what is given at once is in memory, fresh, not due for a refresh, and a result', t => {
  const clock = new TestClock()
  const guarded = new GuardedStore(memoryStore({ clock }), 250, clock, SILENT)
  const freshFor = (value: unknown, { eager = Infinity, isInMemory = true, later = 0 } = {}): unknown => {
    guarded.keep(entryOf(KEY, value, { since: guarded.stamp(), storedAt: guarded.now(), freshFor: 1000 }), 60_000)
    clock.advance(later)
    return new Cache(guarded, CODEC, new Refreshes(() => guarded.now()), eager, isInMemory).freshFor(KEY)
  }
  t.equal(freshFor('value'), 'value')
  t.equal(freshFor('value', { eager: 0.5, later: 400 }), 'value')
  t.equal(freshFor('value', { eager: 0.5, later: 600 }), undefined, 'it is due')
  t.equal(freshFor('value', { later: 1000 }), undefined, 'it is stale')
  t.equal(freshFor('value', { isInMemory: false }), undefined, 'asking the store costs more')
  t.equal(freshFor('garbage'), undefined)
  t.equal(freshFor('variants'), undefined)
  guarded.drop(KEY)
  t.equal(new Cache(guarded, CODEC, new Refreshes(() => guarded.now()), Infinity, true).freshFor(KEY), undefined, 'there is none')
  t.equal(NO_CACHE.freshFor(KEY), undefined, 'nor where nothing is cached')
  t.end()
})
