// @ts-check
/**
 * The load, in a process of its own. Its parent sends one round after another over IPC; it ends when its parent does. The
 * connections of a server stay open between rounds, so that a round measures requests only.
 */
import { Client } from 'undici'

/**
 * @typedef {object} Round
 * @property {string} origin
 * @property {string} path the route's beginning, with a slash at the end
 * @property {'unique' | 'hot' | 'zipf'} keys
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
const ZIPF_KEYS = 1000

/** @type {Map<string, Client[]>} */
const connections = new Map()
let serial = 0

/**
 * @param {string} origin
 * @param {number} count
 * @returns {Client[]}
 */
function connect (origin, count) {
  let clients = connections.get(origin)
  if (clients === undefined) connections.set(origin, clients = [])
  while (clients.length < count) clients.push(new Client(origin, { pipelining: 1, headersTimeout: 10_000, bodyTimeout: 10_000 }))
  return clients.slice(0, count)
}

/**
 * Ranks with frequencies as 1/rank, drawn from a fixed sequence: both servers of a pair are asked the same.
 *
 * @param {number} keys
 * @returns {() => number}
 */
function zipf (keys) {
  const cumulated = new Float64Array(keys)
  let sum = 0
  for (let rank = 1; rank <= keys; rank++) cumulated[rank - 1] = sum += 1 / rank
  let seed = 1
  return () => {
    seed = Math.imul(seed, 1_664_525) + 1_013_904_223 >>> 0
    const wanted = seed / 2 ** 32 * sum
    let low = 0
    let high = keys - 1
    while (low < high) {
      const middle = low + high >>> 1
      if (/** @type {number} */ (cumulated[middle]) < wanted) low = middle + 1
      else high = middle
    }
    return low
  }
}

/**
 * @param {Round} round
 * @returns {() => string}
 */
function paths ({ path, keys }) {
  switch (keys) {
    case 'unique':
      return () => `${path}${++serial}`
    case 'hot':
      return () => `${path}hot`
    case 'zipf': {
      const draw = zipf(ZIPF_KEYS)
      return () => `${path}${draw()}`
    }
  }
}

/**
 * @param {Round} round
 * @returns {Promise<Outcome>}
 */
async function run (round) {
  const nextPath = paths(round)
  /** @type {number[]} */
  const latencies = []
  const start = performance.now()
  const end = start + round.milliseconds
  const limit = Math.min(round.requests ?? MAX_REQUESTS, MAX_REQUESTS)
  let started = 0

  /** @param {Client} client */
  const drive = client => /** @type {Promise<void>} */(new Promise((resolve, reject) => {
    let sent = 0
    const next = () => {
      if (performance.now() >= end || started === limit) {
        resolve()
        return
      }
      started++
      sent = performance.now()
      client.dispatch({ method: 'GET', path: nextPath() }, handler)
    }
    /** @type {import('undici').Dispatcher.DispatchHandler} */
    const handler = {
      onRequestStart () {},
      onResponseStart (_controller, status) {
        if (status !== 200) throw new Error(`status ${status}`)
      },
      onResponseData () {},
      onResponseEnd () {
        latencies.push(performance.now() - sent)
        next()
      },
      onResponseError (_controller, error) { reject(error) }
    }
    next()
  }))

  await Promise.all(connect(round.origin, round.clients).map(drive))
  const milliseconds = performance.now() - start
  latencies.sort((a, b) => a - b)
  return { requests: latencies.length, milliseconds, p99: latencies[Math.ceil(latencies.length * 0.99) - 1] ?? NaN }
}

process.on('disconnect', () => process.exit())
process.on('message', message => {
  const { close, ...round } = /** @type {Round & { close?: string[] }} */ (message)
  if (close !== undefined) {
    for (const origin of close) {
      for (const client of connections.get(origin) ?? []) client.destroy()
      connections.delete(origin)
    }
    process.send?.({})
    return
  }
  run(round).then(outcome => process.send?.(outcome), error => process.send?.({ error: String(error) }))
})
process.send?.({})
