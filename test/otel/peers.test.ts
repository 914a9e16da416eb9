/**
 * A run of another process has a span that is not known here: who waits for it has a wait, and no link.
 */
import t from 'tap'
import { held } from '../fixtures/crowd.js'
import { TestClock, until } from '../fixtures/gate.js'
import { MemoryHub } from '../fixtures/memory-coordinator.js'
import type { Pending } from '../fixtures/server.js'
import { ORDERS, spans, trace, traced, type First } from '../fixtures/tracing.js'

const SHOP = { headers: { host: 'shop.test' } }

for (const first of ORDERS) {
  t.test(`who waits for a run of another process has a wait without a link, and says that it is a peer's, with ${first} first`, async t => {
    trace(t)
    const clock = new TestClock()
    const hub = new MemoryHub(clock, { lease: 60_000, limit: 10_000, latency: 0 })
    const start = async (first: First) => {
      const handler = held()
      const server = await traced(t, first, app => { app.get('/', { config: { coalesce: true } }, handler) }, { clock, coordinator: hub.coordinator() }, { genReqId: () => 'the same' })
      return { handler, ...server }
    }
    const [one, two] = [await start(first), await start(first)]
    const stepping = setInterval(() => { clock.advance(1) }, 1)
    t.teardown(() => { clearInterval(stepping) })
    const leads = one.get('/', SHOP)
    await until(() => one.handler.runs === 1)
    const follow: Pending[] = []
    while (follow.length < 2) {
      follow.push(two.get('/', SHOP))
      // Who comes while it is asked which process runs joins the one that asks.
      await until(() => [...spans.open].filter(({ name }) => name === 'coalesce wait').length === follow.length)
    }
    one.handler.gate.open()
    await Promise.all([leads, ...follow])
    clearInterval(stepping)
    await spans.ended()
    const [, ...peers] = spans.requests()
    const said = { role: 'follower', outcome: 'peer', reason: 'shared' }
    t.strictSame(spans.said(peers), [said, said])
    t.equal(two.handler.runs, 0)
    t.strictSame([...peers, ...spans.waits()].flatMap(spans.links), [])
  })
}
