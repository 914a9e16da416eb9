// @ts-check
/** Where a case is measured: how long, with what, and on which cores. Servers are on one, the load is on another. */
import { Child } from './process.js'
import { turnsFor } from './work.js'

/**
 * @typedef {object} Lab
 * @property {boolean} quick few short rounds, that show that all works and no more
 * @property {(need: string | undefined) => boolean} has whether what a row needs is to be measured, and is installed
 * @property {(text: string) => void} note tells something of the case
 */

/**
 * How a server is started.
 *
 * @typedef {object} Entrant
 * @property {string} [module] in this folder
 * @property {string[]} [flags] for Node
 * @property {object} [options] of the server
 * @property {string} [needs]
 */

/** @typedef {import('./servers/announce.js').Figures} Figures */

const SERVERS = 0
const LOAD = 1

/** @type {number | undefined} */
let turns

/** A server in a process of its own. */
export class Server {
  #child

  /**
   * @param {Child} child
   * @param {number} port
   */
  constructor (child, port) {
    this.#child = child
    this.origin = `http://127.0.0.1:${port}`
  }

  /**
   * @param {import('./servers/announce.js').Question} [question]
   * @returns {Promise<Figures>}
   */
  async figures (question = {}) {
    return await this.#child.ask(question)
  }

  stop () {
    this.#child.stop()
  }
}

/**
 * @param {Entrant} entrant
 * @returns {Promise<Server>}
 */
export async function serve ({ module = 'servers/fastify.js', flags = [], options = {} }) {
  // Measured once a run, so that all servers of it do the same work.
  turns ??= turnsFor(50)
  const child = new Child(module, SERVERS, ...flags, JSON.stringify({ ...options, turns }))
  return new Server(child, (await child.answer()).port)
}

/** @returns {Promise<Child>} */
export async function load () {
  const child = new Child('load/load.js', LOAD)
  await child.answer()
  return child
}

/**
 * A process that calls functions, where servers are.
 *
 * @param {string} through
 * @returns {Promise<Child>}
 */
export async function caller (through) {
  const child = new Child('servers/caller.js', SERVERS, through)
  await child.answer()
  return child
}
