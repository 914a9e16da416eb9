// @ts-check
/** The plugin in a server of the benchmark, and what is there besides. */
import { setTimeout as sleep } from 'node:timers/promises'
import coalesce, { memoryStore } from 'fastify-coalesce'
import { Client } from '../load/client.js'

/** More than any case has in the air, or cached. */
const ROOM = { flights: 200_000, waiters: 50_000, entries: 2_000_000, bytes: 4 * 1024 ** 3 }

/**
 * A coordinator of a process that has no peers: it leads each key.
 *
 * @returns {import('fastify-coalesce').Coordinator}
 */
function lonely () {
  const lease = { isWaitedFor: false, land () {}, release () {} }
  return {
    open: () => ({
      async ready () {},
      async join () { return { type: 'leads', lease } },
      purge () {},
      async close () {}
    })
  }
}

/**
 * Puts entries in a store, which nobody asks for.
 *
 * @param {import('fastify-coalesce').MemoryStore} store
 * @param {number} entries
 */
function fill (store, entries) {
  const now = performance.now()
  for (let entry = 0; entry < entries; entry++) {
    const key = `GET http://127.0.0.1/filler/${entry}`
    store.set({
      version: 1,
      key,
      since: now,
      storedAt: now,
      freshFor: 3_600_000,
      staleWhileRevalidate: 0,
      staleIfError: 0,
      labels: [`route ${entry % 100}`, key],
      bytes: 100,
      value: { entry }
    }, 3_600_000)
  }
  if (store.size.entries !== entries) throw new Error(`the store holds ${store.size.entries} entries`)
}

let refreshes = 0

/** @param {import('fastify').FastifyInstance} app */
function withRefreshes (app) {
  app.get('/refreshed', { config: { coalesce: { ttl: 1, staleWhileRevalidate: '1h' } } }, async () => ({ runs: ++refreshes }))
}

/**
 * Has background refreshes run. It asks as the load does: for requests of another kind V8 would compile Fastify otherwise.
 *
 * @param {string} origin
 */
export async function refresh (origin) {
  const client = new Client(origin)
  for (let request = 0; request < 20; request++) {
    await new Promise((resolve, reject) => { client.get('/refreshed', () => { resolve(undefined) }, reject) })
    await sleep(3)
  }
  if (refreshes < 3) throw new Error('no refreshes have run')
}

/**
 * @param {import('fastify').FastifyInstance} app
 * @param {import('./fastify.js').Options} options
 * @returns {Promise<(entries: number) => void>} fills its cache
 */
export async function withCoalesce (app, { besides, roomy }) {
  const store = roomy === true ? memoryStore({ maxEntries: ROOM.entries, maxBytes: ROOM.bytes }) : memoryStore()
  await app.register(coalesce, {
    metrics: true,
    maxFlights: ROOM.flights,
    maxWaiters: ROOM.waiters,
    store,
    ...(besides === 'page' ? { dashboard: { public: true } } : {}),
    ...(besides === 'coordinator' ? { coordinator: lonely() } : {})
  })
  if (besides === 'refreshes') withRefreshes(app)
  return entries => { fill(store, entries) }
}
