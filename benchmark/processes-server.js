// @ts-check
/**
 * One of several servers that coalesce together, in a process of its own: `node processes-server.js <variant> <port of Redis>`. It answers each
 * message with its figures, tells of runs of `/tell/:id`, and ends with its parent.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'
import { redisCoordinator } from 'fastify-coalesce/redis'
import { record } from './work.js'

/**
 * `alone`: each process coalesces for itself. `together`: all of them do together.
 *
 * @typedef {'alone' | 'together'} Variant
 */

const [variant, port] = process.argv.slice(2)
const url = `redis://127.0.0.1:${port}`
const app = Fastify()
let runs = 0

await app.register(coalesce, variant === 'together' ? { coordinator: redisCoordinator({ url, namespace: 'benchmark', secret: 'of the benchmark' }) } : {})

/** @type {Record<string, (id: string) => Promise<unknown>>} */
const routes = {
  async instant (id) { return { id, record } },
  async slow (id) {
    await sleep(100)
    return { id, record }
  },
  async tell (id) {
    process.send?.({ ran: id, at: performance.timeOrigin + performance.now() })
    await sleep(20_000)
  }
}

for (const [name, answer] of Object.entries(routes)) {
  app.get(`/${name}/:id`, { config: { coalesce: true } }, async request => {
    runs++
    return await answer(/** @type {{ id: string }} */ (request.params).id)
  })
}

process.on('disconnect', () => process.exit())
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  const { joins, timeouts } = app.coalesce.stats().coordinators?.[0] ?? {}
  process.send?.({ runs, cpu: user + system, joins, timeouts })
})

await app.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })
process.send?.({ port: /** @type {import('node:net').AddressInfo} */ (app.server.address()).port, pid: process.pid })
