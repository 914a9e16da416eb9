// @ts-check
/** The load's crowds: very many clients that ask at the same time. */
import { connect } from './client.js'
import { paths } from './paths.js'

/**
 * All ask for one key at once, and are waited for.
 *
 * @typedef {object} Storm
 * @property {string} origin
 * @property {string} path
 * @property {number} clients
 */

/**
 * Moments are in milliseconds by the clock that all processes of a machine have in common.
 *
 * @typedef {object} StormOutcome
 * @property {number} start when the first client asked
 * @property {number} last when the last client had its answer
 */

/**
 * All ask, and are not waited for: `release` is when they have been answered.
 *
 * @typedef {object} Parking
 * @property {string} origin
 * @property {string} path the route's beginning, with a slash at the end
 * @property {import('./paths.js').Keys} keys
 * @property {number} clients
 * @property {number} each how many requests each has at once
 */

/** As many connections as are made at the same time: a server's backlog takes more. */
const AT_ONCE = 500

const now = () => Number(process.hrtime.bigint()) / 1e6

/**
 * @param {string} origin
 * @param {number} count
 * @param {string} [purpose]
 */
async function connected (origin, count, purpose) {
  /** @type {import('./client.js').Client[]} */
  let clients = []
  while (clients.length < count) {
    clients = connect(origin, Math.min(count, clients.length + AT_ONCE), purpose)
    await Promise.all(clients.map(client => client.connected()))
  }
  return clients
}

/**
 * @param {Storm} storm
 * @returns {Promise<StormOutcome>}
 */
export async function storm ({ origin, path, clients: count }) {
  const clients = await connected(origin, count)
  return await new Promise((resolve, reject) => {
    let left = count
    let lasts = true
    const answered = () => {
      if (--left > 0) return
      lasts = false
      resolve({ start, last: now() })
    }
    /** @param {Error} error */
    const failed = error => {
      lasts = false
      reject(error)
    }
    // As in a round, it does not sleep.
    const stayAwake = () => { if (lasts) setImmediate(stayAwake) }
    stayAwake()
    const start = now()
    for (const client of clients) client.get(path, answered, failed)
  })
}

/** @type {Map<string, Promise<void>>} */
const parked = new Map()

/** @param {Parking} parking */
export async function park ({ origin, path, keys, clients: count, each }) {
  const clients = await connected(origin, count, 'parked')
  const next = paths(path, keys)
  if (each > 1) {
    for (const client of clients) client.ask(Array.from({ length: each }, next))
    return
  }
  const all = Promise.all(clients.map(client => /** @type {Promise<void>} */(new Promise((resolve, reject) => {
    client.get(next(), resolve, reject)
  })))).then(() => {})
  all.catch(() => {})
  parked.set(origin, all)
}

/** @param {string} origin */
export async function released (origin) {
  await parked.get(origin)
  parked.delete(origin)
}
