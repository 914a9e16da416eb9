/**
 * "However many keys there are, what is kept and what is remembered stay inside their bounds."
 */
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { GuardedStore } from '../../lib/engine/cache/guarded-store.js'
import coalesce, { memoryStore } from '../../lib/index.js'
import { TestClock } from '../fixtures/gate.js'
import { memoryUsed, random } from '../fixtures/heap.js'
import { entryOf } from '../stores/conformance.js'

const MAX_BYTES = 2 * 2 ** 20
const MAX_ENTRIES = 2000

t.test('ten minutes with a million random keys, and purges among them, leave a shelf as it was', { timeout: 120_000 }, async t => {
  const clock = new TestClock()
  const store = memoryStore({ maxBytes: MAX_BYTES, maxEntries: MAX_ENTRIES, clock })
  const failures: unknown[] = []
  const shelf = new GuardedStore(store, 100, clock, { failed: (...what) => { failures.push(what) }, rejected: what => { failures.push(what) }, answered () {} })
  const next = random(7)
  // The places of marks are made with the first purge, once and for all.
  shelf.purge(['first'], false)
  shelf.purge(['first'], true)
  const before = memoryUsed()
  let most = { entries: 0, bytes: 0 }
  let wrong = 0
  for (let step = 0; step < 1_000_000; step++) {
    const key = `["GET","/word/${next()}"]`
    const { since, ...rest } = entryOf(key, null, { bytes: next() % 2048, labels: [`path:/word/${next() % 1000}`] })
    const kept = shelf.keep({ ...rest, since: shelf.stamp(), storedAt: shelf.now() }, 1 + next() % 60_000)
    if (!kept) wrong++
    if (step % 5 === 0 && shelf.lookUp(key) === undefined) wrong++
    if (step % 50 === 0) shelf.purge([`path:/word/${next() % 1000}`, `tag:${next()}`], step % 100 === 0)
    if (step % 60 === 0) shelf.drop(key)
    if (step % 1000 === 0) clock.advance(600)
    const { size } = store
    most = { entries: Math.max(most.entries, size.entries), bytes: Math.max(most.bytes, size.bytes) }
  }
  const grown = memoryUsed() - before

  t.equal(wrong, 0)
  t.strictSame(failures, [])
  t.ok(most.entries <= MAX_ENTRIES, `${most.entries} entries at most`)
  t.ok(most.bytes <= MAX_BYTES, `${most.bytes} bytes at most`)
  t.ok(grown < MAX_BYTES + 1_000_000, `${grown} bytes more in memory`)
})

t.test('nor do requests leave more behind: kept, refreshed, of many variants, failing, unshareable', { timeout: 120_000 }, async t => {
  const clock = new TestClock()
  const store = memoryStore({ maxBytes: MAX_BYTES, maxEntries: MAX_ENTRIES, clock })
  const app = Fastify() as unknown as FastifyInstance
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { clock, store, ttl: '5s', staleWhileRevalidate: '5s', staleIfError: '1m', metrics: { path: false } })
  app.get<{ Params: { id: string } }>('/word/:id', { config: { coalesce: true } }, async (request, reply) => {
    const id = Number(request.params.id)
    reply.coalesce.tag(`word:${id}`)
    switch (id % 5) {
      case 0: return { tenant: request.headers['x-tenant'] }
      case 1:
        reply.header('cache-control', 'private')
        return { id }
      case 2:
        reply.code(503)
        return { id }
      default: return { id }
    }
  })
  const next = random(11)
  const mixed = (step: number): number => step % 3 === 0 ? next() % 20 : next()
  const round = async (requests: number, idOf = mixed): Promise<void> => {
    for (let step = 0; step < requests; step++) {
      // An injected request lets go of what it has in a turn of its own.
      await new Promise(resolve => setImmediate(resolve))
      await app.inject({ url: `/word/${idOf(step)}`, headers: { 'x-tenant': String(next() % 4) } })
      if (step % 20 === 0) clock.advance(next() % 1000)
      if (step % 100 === 0) app.coalesce.invalidate({ tags: [`word:${next() % 20}`] })
    }
  }
  // What is remembered of variants, of what is unshareable and of what failed fills up first: of ten thousand keys each.
  for (const kind of [0, 1, 2]) await round(11_000, step => step * 5 + kind)
  await round(5000)
  const before = memoryUsed()
  await round(10_000)
  const grown = memoryUsed() - before

  t.ok(store.size.entries <= MAX_ENTRIES && store.size.bytes <= MAX_BYTES)
  t.ok(app.coalesce.stats().cacheHits > 500)
  t.ok(grown < 2_500_000, `${grown} bytes more in memory`)
})
