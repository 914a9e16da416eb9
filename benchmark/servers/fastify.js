// @ts-check
/** A server with Fastify, in a process of its own: `node fastify.js <options as JSON>`. */
import { PerformanceObserver, constants } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { record, spin } from '../work.js'
import { announce, counts, runEnds, settleNextTick } from './announce.js'
import { refresh, withCoalesce } from './coalesced.js'
import { wrapped } from './functions.js'

/**
 * `none`: no plugin. `registered`: the plugin with metrics, and no route of it. `coalesced`: every route. `kept`: every route, and what
 * its runs bring is cached.
 *
 * @typedef {'none' | 'registered' | 'coalesced' | 'kept'} Plugin
 */

/**
 * @typedef {object} Options
 * @property {Plugin} plugin
 * @property {boolean} [hooks] with hooks of helmet, cors and etag
 * @property {'refreshes' | 'page' | 'coordinator'} [besides] background refreshes have run; there is the live page; there is a coordinator
 * @property {import('./functions.js').Name} [inHandler] what the handlers call their functions through
 * @property {boolean} [roomy] the cache has room for two million entries
 * @property {boolean} [collections] collections of garbage that nobody asked for are counted
 * @property {number} [turns] of a loop that take 50 µs
 */

await settleNextTick()
const options = /** @type {Options} */ (JSON.parse(String(process.argv[2])))
const app = Fastify()

if (options.hooks === true) {
  await app.register(import('@fastify/helmet'))
  await app.register(import('@fastify/cors'), { origin: 'https://app.test' })
}
const fill = options.plugin === 'none' ? () => {} : await withCoalesce(app, options)
if (options.hooks === true) await app.register(import('@fastify/etag'))

let gate = newGate()

/** @returns {{ promise: Promise<void>, resolve: () => void }} */
function newGate () {
  let resolve = () => {}
  const promise = /** @type {Promise<void>} */(new Promise(_resolve => { resolve = _resolve }))
  return { promise, resolve }
}

/** @type {(request: import('fastify').FastifyRequest) => string} */
const idOf = request => /** @type {{ id: string }} */ (request.params).id

const query = await wrapped(options.inHandler ?? 'nothing', async id => {
  counts.runs++
  await sleep(20)
  return { id, record }
})

// Each is one function, since each further one that waits would be memory and time that bare Fastify seems to take.
/** @type {Record<string, (request: import('fastify').FastifyRequest) => Promise<unknown>>} */
const routes = {
  async instant (request) {
    counts.runs++
    return { id: idOf(request), record }
  },
  async work50 (request) {
    counts.runs++
    return { id: idOf(request), record, state: spin(Number(options.turns)) }
  },
  async storm (request) {
    counts.runs++
    await sleep(50)
    runEnds()
    return { id: idOf(request), record }
  },
  async held (request) {
    counts.runs++
    await gate.promise
    return { id: idOf(request), record }
  },
  async query (request) {
    return await query(idOf(request))
  }
}

/** @type {Record<Plugin, unknown>} */
const COALESCE = { none: false, registered: false, coalesced: { flightTimeout: '1h', waitTimeout: '1h' }, kept: { ttl: '1h' } }
for (const [name, handler] of Object.entries(routes)) {
  app.get(`/${name}/:id`, { config: { coalesce: /** @type {any} */ (COALESCE[options.plugin]) } }, handler)
}

if (options.collections === true) {
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) {
      const { flags } = /** @type {{ flags: number }} */ (/** @type {any} */ (entry).detail)
      if ((flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) === 0) counts.collections++
    }
  }).observe({ entryTypes: ['gc'] })
}

// A thousand clients connect at once, and those that Node's 511 places do not hold would try again after seconds.
await app.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })
const { port } = /** @type {import('node:net').AddressInfo} */ (app.server.address())
if (options.besides === 'refreshes') await refresh(`http://127.0.0.1:${port}`)
announce(port, (ask, number) => {
  if (ask === 'count') app.server.on('request', () => { counts.requests++ })
  if (ask === 'fill') fill(number)
  if (ask === 'open') {
    gate.resolve()
    gate = newGate()
  }
})
