import t from 'tap'
import { Allowance } from '../../lib/observe/allowance.js'
import { Comparison } from '../../lib/observe/comparison.js'
import { TestClock } from '../fixtures/gate.js'
import { memoryUsed } from '../fixtures/heap.js'

const MIB = 2 ** 20
/** Of each request: what nobody has named before. */
const NAMES = 20

t.test('a million hostile names, and as many keys and clients as there are requests, stay inside the bounds', { timeout: 120_000 }, async t => {
  for (const [maxBytes, routes, requests] of [[8 * MIB, 1, 50_000], [8 * MIB, 100, 10_000], [MIB, 1, 10_000]] as const) {
    const clock = new TestClock()
    const before = memoryUsed()
    const allowance = new Allowance({ budget: 1, maxBytes, clock, stopwatch: () => 0 })
    const all = Array.from({ length: routes }, () => new Comparison({ window: 5000, ignore: [], clean: undefined, cleanThrew: () => {} }, allowance))
    for (let count = 0; count < requests; count++) {
      clock.advance(1)
      const named = new Map(Array.from({ length: NAMES }, (_, index) => [`?name-${count}-${index}`, `value-${count}`]))
      const sighting = {
        at: clock.now(),
        key: `key-${count >> 1}`,
        parts: () => named,
        outside: () => named,
        client: `client-${count}`,
        status: 200,
        type: 'application/json',
        body: JSON.stringify({ [`place-${count}`]: 'x'.repeat(count % 700), count }),
        own: [`req-${count}`]
      }
      const comparison = all[count % routes] as Comparison
      comparison.see(sighting)
      if (count % 50 === 0) comparison.pair({ ...sighting, client: 'a', body: '1' }, sighting)
    }
    const grown = memoryUsed() - before
    t.ok(grown <= maxBytes + 2 * MIB, `${routes} routes, ${maxBytes / MIB} MiB: ${(grown / MIB).toFixed(2)} MiB more`)
    t.ok(allowance.shelf.size <= 256)
    t.ok(all.every(comparison => comparison.requests > 0))
    allowance.close()
    t.equal(clock.timers, 0)
  }
})
