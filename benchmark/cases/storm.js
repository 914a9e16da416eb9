// @ts-check
/**
 * Very many clients ask for one key at once, and the handler takes 50 ms. Against a server that parks them and writes one prepared response to all. Who
 * comes when a run has ended begins another one, in all of them.
 */
import { load, serve } from '../lab.js'
import { atMost } from '../rows.js'

/**
 * Times are in milliseconds.
 *
 * @typedef {object} Sample
 * @property {number} last from the first request to the last client's answer
 * @property {number} written from the end of the run to that
 * @property {number} runs of the handler
 */

/** @type {Record<string, import('../lab.js').Entrant>} */
const ENTRANTS = {
  coalesced: { options: { plugin: 'coalesced' } },
  'raw node:http': { module: 'servers/raw.js' },
  Varnish: { module: 'peers/proxy.js', options: { proxy: 'varnishd' }, needs: 'varnishd' },
  nginx: { module: 'peers/proxy.js', options: { proxy: 'nginx' }, needs: 'nginx' }
}

/** Storms of up to a thousand, so that V8 has compiled what matters. Other programs need none. */
const WARM_UPS = 20
/** What a process has open besides its clients. */
const OTHER_FILES = 100

/** @returns {number} */
function mostClients () {
  const limit = /** @type {any} */ (process.report.getReport()).userLimits?.open_files?.soft
  return typeof limit === 'number' ? limit - OTHER_FILES : Infinity
}

/**
 * @param {import('../process.js').Child} clients
 * @param {import('../lab.js').Server} server
 * @param {number} count
 * @param {string} path
 * @returns {Promise<Sample>}
 */
async function sample (clients, server, count, path) {
  const before = await server.figures()
  /** @type {import('../load/crowd.js').StormOutcome} */
  const { start, last } = await clients.ask({ storm: { origin: server.origin, path, clients: count } })
  const { ended, runs } = await server.figures()
  return { last: last - start, written: last - ended, runs: runs - before.runs }
}

/**
 * @param {import('../lab.js').Lab} lab
 * @param {number} count
 * @param {{ rounds: number, warmUps: number }} limits
 * @returns {Promise<Array<Record<string, Sample>>>}
 */
async function heat ({ has }, count, { rounds, warmUps }) {
  /** @type {Array<() => void>} */
  const endings = []
  try {
    /** @type {Array<[string, import('../lab.js').Server, import('../process.js').Child]>} */
    const all = []
    for (const [name, entrant] of Object.entries(ENTRANTS).filter(([, { needs }]) => has(needs))) {
      const server = await serve(entrant)
      endings.push(() => server.stop())
      // Each server has a load of its own: the connections to all are more than one process may have open.
      const clients = await load()
      endings.push(() => clients.stop())
      for (let round = 0; round < (entrant.needs === undefined ? warmUps : 1); round++) {
        await sample(clients, server, Math.min(count, 1000), `/storm/warm-up-${round}`)
      }
      // Connects all.
      await sample(clients, server, count, '/storm/warm-up')
      all.push([name, server, clients])
    }
    /** @type {Array<Record<string, Sample>>} */
    const samples = []
    for (let round = 0; round < rounds; round++) {
      /** @type {Record<string, Sample>} */
      const neighbours = {}
      for (const [name, server, clients] of round % 2 === 0 ? all : all.toReversed()) {
        neighbours[name] = await sample(clients, server, count, `/storm/${round}`)
      }
      samples.push(neighbours)
    }
    return samples
  } finally {
    for (const end of endings) end()
  }
}

/**
 * @param {number} clients
 * @param {{ heats: number, rounds: number, peers: boolean }} limits
 * @returns {import('../cases.js').Case}
 */
function storm (clients, { heats, rounds, peers }) {
  const words = clients.toLocaleString('en')
  /** @type {Array<import('../rows.js').Row & { by: keyof Sample }>} */
  const rows = [
    { name: `storm of ${words}: last client, against raw node:http`, unit: 'ms', ours: 'coalesced', base: 'raw node:http', target: atMost(1.1), by: 'last' },
    { name: `storm of ${words}: from the run's end to the last byte, against raw node:http`, unit: 'ms', ours: 'coalesced', base: 'raw node:http', target: atMost(1.25), by: 'written' },
    { name: `storm of ${words}: runs, against raw node:http`, unit: 'runs', ours: 'coalesced', base: 'raw node:http', by: 'runs' }
  ]
  if (peers) {
    for (const [base, needs] of [['Varnish', 'varnishd'], ['nginx', 'nginx']]) {
      rows.push({ name: `storm of ${words}: last client, against ${base}`, unit: 'ms', ours: 'coalesced', base: String(base), needs, by: 'last' })
    }
  }
  return {
    name: `storm-${clients}`,
    what: `${words} clients ask for one key at once, a handler of 50 ms`,
    rows,
    async measure (lab) {
      const count = lab.quick ? Math.min(clients, 1000) : Math.min(clients, mostClients())
      if (count < clients) lab.note(`with ${count} clients${lab.quick ? '' : `: the limit of open files (ulimit -n) is ${count + OTHER_FILES}`}`)
      /** @type {Array<Record<string, Sample>>} */
      const samples = []
      const limits = lab.quick ? { heats: 1, rounds: 2, warmUps: 1 } : { heats, rounds, warmUps: WARM_UPS }
      for (let number = 0; number < limits.heats; number++) samples.push(...await heat(lab, count, limits))
      return new Map(rows.filter(({ needs }) => lab.has(needs)).map(({ name, ours, base, by }) =>
        [name, samples.map(each => ({ ours: /** @type {Sample} */ (each[ours])[by], base: /** @type {Sample} */ (each[base])[by] }))]))
    }
  }
}

export const storms = [
  storm(500, { heats: 2, rounds: 12, peers: true }),
  storm(2000, { heats: 2, rounds: 10, peers: true }),
  storm(10_000, { heats: 2, rounds: 3, peers: false })
]
