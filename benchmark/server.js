// @ts-check
/**
 * One server of a pair, in a process of its own: `node server.js <variant> <turns>`. Its parent asks for its figures over IPC,
 * and it ends when its parent does.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'
import { record, spin } from './work.js'

/**
 * `bare`: no plugin. `registered`: the plugin with metrics, and no route of it. `coalesced`: every route.
 * `kept`: every route, and what its runs bring is kept.
 *
 * @typedef {'bare' | 'registered' | 'coalesced' | 'kept'} Variant
 */

/**
 * @typedef {object} Figures
 * @property {number} runs handler runs since the start
 * @property {number} cpu microseconds of CPU time since the start
 */

function noop () {}

/**
 * V8 compiles `process.nextTick` in one of two ways, as chance has it: a call takes 50 ns, or 280, of which a request has several. Called
 * often enough before anything else it is always the former.
 */
async function settleNextTick () {
  for (let turn = 0; turn < 1000; turn++) {
    for (let call = 0; call < 100; call++) process.nextTick(noop)
    await new Promise(resolve => { setImmediate(resolve) })
  }
}

await settleNextTick()
const [variant, turns] = process.argv.slice(2)
const config = { coalesce: variant === 'kept' ? { ttl: '1h' } : variant === 'coalesced' }
const app = Fastify()
let runs = 0

if (variant !== 'bare') await app.register(coalesce, { metrics: true })

/** @type {Record<string, (id: string) => Promise<unknown>>} */
const routes = {
  async instant (id) {
    return { id, record }
  },
  async query5 (id) {
    await sleep(5)
    return { id, record }
  },
  async query10 (id) {
    await sleep(10)
    return { id, record }
  },
  async work50 (id) {
    return { id, record, state: spin(Number(turns)) }
  }
}

for (const [name, answer] of Object.entries(routes)) {
  app.get(`/${name}/:id`, { config }, async request => {
    runs++
    const { id } = /** @type {{ id: string }} */ (request.params)
    return await answer(id)
  })
}

process.on('disconnect', () => process.exit())
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send?.({ runs, cpu: user + system })
})

// A thousand clients connect at once, and those that Node's 511 places do not hold would try again after seconds.
await app.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })
process.send?.({ port: /** @type {import('node:net').AddressInfo} */ (app.server.address()).port })
