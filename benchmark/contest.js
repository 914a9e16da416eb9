// @ts-check
/**
 * Servers that take turns under the same load, in short rounds.
 *
 * Invariant: each round goes through all servers, there and back again, so that none is always the first.
 */
import { load, serve } from './lab.js'

/**
 * What is asked of a server.
 *
 * @typedef {object} Asked
 * @property {string} path
 * @property {import('./load/paths.js').Keys} keys
 * @property {number} clients
 */

/**
 * One server's round.
 *
 * @typedef {object} Sample
 * @property {number} rate requests a second
 * @property {number} p99 in milliseconds
 * @property {number} runs handler runs a request
 * @property {number} cpu microseconds of the server's CPU time a request
 */

/**
 * @typedef {import('./lab.js').Entrant & {
 *   prepare?: (server: import('./lab.js').Server, load: import('./process.js').Child, quick: boolean) => Promise<void>,
 *   during?: (server: import('./lab.js').Server) => () => void
 * }} Contestant `during` begins something that goes on beside the load, and returns what ends it
 */

/**
 * @typedef {object} Contest
 * @property {Record<string, Contestant>} contestants
 * @property {Asked} asked
 * @property {number} [heats] how many times with fresh processes: no two processes of one program are equally fast
 * @property {number} [rounds] of each server in a heat
 * @property {number} [milliseconds] of a round
 * @property {number} [warmUp] how many requests: as many as V8 needs to have compiled what matters
 */

/** @typedef {Record<string, Sample>} Round neighbours, by the name of the server */

/** As many requests as V8 needs to have compiled what matters, or as much time as there is. */
const WARM_UP = { requests: 40_000, milliseconds: 3000 }
const QUICK = { heats: 1, rounds: 2, milliseconds: 60, warmUp: 300 }

/**
 * @param {import('./process.js').Child} clients
 * @param {import('./lab.js').Server} server
 * @param {Asked} asked
 * @param {{ milliseconds: number, requests?: number }} limits
 * @returns {Promise<Sample>}
 */
async function sample (clients, server, asked, limits) {
  const before = await server.figures()
  /** @type {import('./load/load.js').Outcome} */
  const outcome = await clients.ask({ origin: server.origin, ...asked, ...limits })
  const after = await server.figures()
  return {
    rate: outcome.requests / outcome.milliseconds * 1000,
    p99: outcome.p99,
    runs: (after.runs - before.runs) / outcome.requests,
    cpu: (after.cpu - before.cpu) / outcome.requests
  }
}

/**
 * @param {Array<[string, Contestant]>} contestants
 * @param {Asked} asked
 * @param {Required<Pick<Contest, 'rounds' | 'milliseconds' | 'warmUp'>> & { quick: boolean }} limits
 * @returns {Promise<Round[]>}
 */
async function heat (contestants, asked, { quick, rounds, milliseconds, warmUp }) {
  const clients = await load()
  /** @type {Array<[string, import('./lab.js').Server]>} */
  const servers = []
  /** @type {Array<() => void>} */
  const endings = [() => clients.stop()]
  try {
    for (const [name, contestant] of contestants) {
      const server = await serve(contestant)
      endings.push(() => server.stop())
      servers.push([name, server])
      await contestant.prepare?.(server, clients, quick)
      // Before the server is warm, since what V8 has not seen yet has it compile anew.
      const end = contestant.during?.(server)
      if (end !== undefined) endings.push(end)
      await sample(clients, server, asked, { ...WARM_UP, requests: warmUp })
    }
    /** @type {Round[]} */
    const all = []
    for (let round = 0; round < rounds; round++) {
      /** @type {Round} */
      const samples = {}
      for (const [name, server] of round % 2 === 0 ? servers : servers.toReversed()) {
        samples[name] = await sample(clients, server, asked, { milliseconds })
      }
      all.push(samples)
    }
    return all
  } finally {
    for (const end of endings.toReversed()) end()
  }
}

/**
 * @param {Contest} contest
 * @param {import('./lab.js').Lab} lab
 * @returns {Promise<Round[]>}
 */
export async function hold ({ contestants, asked, heats = 2, rounds = 8, milliseconds = 150, warmUp = WARM_UP.requests }, { quick, has }) {
  const limits = quick ? QUICK : { heats, rounds, milliseconds, warmUp }
  /** @type {Round[]} */
  const all = []
  const present = Object.entries(contestants).filter(([, { needs }]) => has(needs))
  for (let count = 0; count < limits.heats; count++) all.push(...await heat(present, asked, { ...limits, quick }))
  return all
}

/**
 * A case that is a contest, and the rows of which compare two of its servers.
 *
 * @typedef {import('./rows.js').Row & { by?: keyof Sample }} Comparison `ours` and `base` are names of contestants
 */

/** @type {Record<keyof Sample, string>} */
const UNITS = { rate: 'requests/s', p99: 'ms', runs: 'runs a request', cpu: 'us of CPU a request' }

/**
 * @param {Omit<import('./cases.js').Case, 'rows' | 'measure'> & Contest & { rows: Array<Omit<Comparison, 'unit' | 'needs'>> }} definition
 * @returns {import('./cases.js').Case}
 */
export function contestOf ({ name, what, rows, ...contest }) {
  /** @type {Comparison[]} */
  const comparisons = rows.map(row => ({
    ...row,
    unit: UNITS[row.by ?? 'rate'],
    needs: contest.contestants[row.base]?.needs ?? contest.contestants[row.ours]?.needs
  }))
  return {
    name,
    what,
    rows: comparisons,
    async measure (lab) {
      const rounds = await hold(contest, lab)
      return new Map(comparisons.filter(({ needs }) => lab.has(needs)).map(({ name, ours, base, by = 'rate' }) =>
        [name, rounds.map(round => ({ ours: /** @type {Sample} */ (round[ours])[by], base: /** @type {Sample} */ (round[base])[by] }))]))
    }
  }
}
