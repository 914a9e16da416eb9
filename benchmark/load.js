// @ts-check
/**
 * The load, in a process of its own. Its parent sends one round after another over IPC; it ends when its parent does. The
 * connections of a server stay open between rounds, so that a round measures requests only.
 *
 * It is to be faster than any server, so it writes and reads HTTP as text. And it never sleeps while a round lasts: to wake the
 * process that waits for a response is work of the kernel's that it does in the server's time, and more often for a server that is
 * slower.
 */
import { connect as connectTo } from 'node:net'

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
const CLOSED = new Error('the server has closed a connection')

/** A connection, with one request at a time. */
class Client {
  #host
  #socket
  #text = ''
  /** @type {() => void} */
  #onAnswer = () => {}
  /** @type {(error: Error) => void} */
  #onError = () => {}

  /** @param {string} origin */
  constructor (origin) {
    const { host, hostname, port } = new URL(origin)
    this.#host = host
    this.#socket = connectTo({ host: hostname, port: Number(port), noDelay: true }).setEncoding('latin1')
    this.#socket.on('data', text => { this.#read(String(text)) })
    this.#socket.on('error', error => { this.#onError(error) })
    this.#socket.on('close', () => { this.#onError(CLOSED) })
  }

  /**
   * @param {string} path
   * @param {() => void} onAnswer
   * @param {(error: Error) => void} onError
   */
  get (path, onAnswer, onError) {
    this.#onAnswer = onAnswer
    this.#onError = onError
    // It may have been closed while no round lasted: nothing more is told of it.
    if (this.#socket.destroyed) onError(CLOSED)
    else this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: ${this.#host}\r\nconnection: keep-alive\r\naccept: application/json\r\nuser-agent: load\r\n\r\n`)
  }

  /** @param {string} text */
  #read (text) {
    const all = this.#text + text
    const head = all.indexOf('\r\n\r\n')
    if (head === -1 || all.length < head + 4 + Number(/\r\ncontent-length: (\d+)/i.exec(all)?.[1])) {
      this.#text = all
      return
    }
    this.#text = ''
    if (all.startsWith('200', 9)) this.#onAnswer()
    else this.#onError(new Error(all.slice(0, head)))
  }

  destroy () {
    this.#onError = () => {}
    this.#socket.destroy()
  }
}

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
  while (clients.length < count) clients.push(new Client(origin))
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
