import t from 'tap'
import { Allowance } from '../../lib/observe/allowance.js'
import { Comparison } from '../../lib/observe/comparison.js'
import { TestClock } from '../fixtures/gate.js'
import { memoryUsed } from '../fixtures/heap.js'

const MIB = 2 ** 20
/** Of each request: what nobody has named before. */
const NAMES = 50

interface Load { readonly maxBytes: number, readonly routes: number, readonly requests: number }

/** What the heap grows by, while all that was learned is still held. */
function growth ({ maxBytes, routes, requests }: Load): { grown: number, held: number, compared: boolean, timers: number } {
  const clock = new TestClock()
  const before = memoryUsed()
  const allowance = new Allowance({ budget: 1, maxBytes, clock, stopwatch: () => 0 })
  const settings = { window: 5000, ignore: [], clean: undefined, cleanThrew: () => {} }
  const all = Array.from({ length: routes }, () => new Comparison(settings, allowance))
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
  const held = allowance.shelf.size
  allowance.close()
  return { grown, held, compared: all.every(comparison => comparison.requests > 0), timers: clock.timers }
}

t.test('a million hostile names, and as many keys and clients as there are requests, stay inside the bounds', { timeout: 120_000 }, async t => {
  growth({ maxBytes: MIB, routes: 1, requests: 100 })
  const loads = [
    { maxBytes: 8 * MIB, routes: 1, requests: 20_000 }, { maxBytes: 8 * MIB, routes: 100, requests: 4000 }, { maxBytes: MIB, routes: 1, requests: 4000 }
  ]
  for (const load of loads) {
    const { grown, held, compared, timers } = growth(load)
    t.ok(grown <= load.maxBytes + 2 * MIB, `${load.routes} routes, ${load.maxBytes / MIB} MiB: ${(grown / MIB).toFixed(2)} MiB more`)
    t.ok(held > 0 && held <= 256, `${held} responses held`)
    t.ok(compared)
    t.equal(timers, 0)
  }
})
