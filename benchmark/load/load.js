// @ts-check
/**
 * The load, in a process of its own. Its parent sends one round after another over IPC; it ends when its parent does. The
 * connections of a server stay open between rounds, so that a round measures requests only.
 *
 * It never sleeps while a round lasts: to wake the process that waits for a response is work of the kernel's that it does in the
 * server's time, and more often for a server that is slower.
 */
import { connect } from './client.js'
import { park, released, storm } from './crowd.js'
import { paths } from './paths.js'

/**
 * @typedef {object} Round
 * @property {string} origin
 * @property {string} path the route's beginning, with a slash at the end
 * @property {import('./paths.js').Keys} keys
 * @property {number} clients how many connections, each with one request at a time
 * @property {number} milliseconds how long it lasts at most
 * @property {number} [requests] how many requests it has at most
 */

/**
 * @typedef {object} Outcome
 * @property {number} requests
 * @property {number} milliseconds
 * @property {number} p99 in milliseconds
 */

const MAX_REQUESTS = 500_000

/**
 * @param {Round} round
 * @returns {Promise<Outcome>}
 */
async function run (round) {
  const nextPath = paths(round.path, round.keys)
  /** @type {number[]} */
  const latencies = []
  const start = performance.now()
  const end = start + round.milliseconds
  const limit = Math.min(round.requests ?? MAX_REQUESTS, MAX_REQUESTS)
  let started = 0

  /** @param {import('./client.js').Client} client */
  const drive = client => /** @type {Promise<void>} */(new Promise((resolve, reject) => {
    let sent = 0
    const answered = () => {
      latencies.push(performance.now() - sent)
      next()
    }
    const next = () => {
      if (performance.now() >= end || started === limit) {
        resolve()
        return
      }
      started++
      sent = performance.now()
      client.get(nextPath(), answered, reject)
    }
    next()
  }))

  let lasts = true
  const stayAwake = () => { if (lasts) setImmediate(stayAwake) }
  stayAwake()
  await Promise.all(connect(round.origin, round.clients).map(drive)).finally(() => { lasts = false })
  const milliseconds = performance.now() - start
  latencies.sort((a, b) => a - b)
  return { requests: latencies.length, milliseconds, p99: latencies[Math.ceil(latencies.length * 0.99) - 1] ?? NaN }
}

/** @typedef {{ storm: import('./crowd.js').Storm } | { park: import('./crowd.js').Parking } | { released: string }} Crowd */

/**
 * @param {Round | Crowd} message
 * @returns {Promise<object>}
 */
async function answer (message) {
  if ('storm' in message) return await storm(message.storm)
  if ('park' in message) await park(message.park)
  else if ('released' in message) await released(message.released)
  else return await run(message)
  return {}
}

process.on('disconnect', () => process.exit())
process.on('message', message => {
  answer(/** @type {Round | Crowd} */ (message)).then(outcome => process.send?.(outcome), error => process.send?.({ error: String(error) }))
})
process.send?.({})
