// @ts-check
/** What a request takes of the heap, above what bare Fastify takes for one. */
import { load, serve } from '../lab.js'
import { atMost } from '../rows.js'

/** Room for all that some thousand requests leave: a collection would hide it. */
const ROOMY = ['--min-semi-space-size=256', '--max-semi-space-size=256']

/** @typedef {import('../lab.js').Lab} Lab */
/** @typedef {import('../lab.js').Server} Server */
/** @typedef {import('../process.js').Child} Child */

/**
 * @param {object} definition
 * @param {string} definition.name
 * @param {string} definition.what
 * @param {import('../rows.js').Row} definition.row
 * @param {string[]} definition.flags
 * @param {object} [definition.options] of both servers
 * @param {number} definition.rounds
 * @param {(lab: Lab, server: Server, clients: Child) => Promise<void>} definition.warmUp
 * @param {(lab: Lab, server: Server, clients: Child) => Promise<number>} definition.probe gives bytes a request
 * @returns {import('../cases.js').Case}
 */
function memoryCase ({ name, what, row, flags, options, rounds, warmUp, probe }) {
  /**
   * @param {Lab} lab
   * @param {'coalesced' | 'none'} plugin
   */
  const measureOne = async (lab, plugin) => {
    const server = await serve({ flags, options: { plugin, ...options } })
    const clients = await load()
    try {
      await warmUp(lab, server, clients)
      /** @type {number[]} */
      const values = []
      for (let round = 0; round < (lab.quick ? 1 : rounds); round++) values.push(await probe(lab, server, clients))
      return values
    } finally {
      server.stop()
      clients.stop()
    }
  }
  return {
    name,
    what,
    rows: [row],
    async measure (lab) {
      const ours = await measureOne(lab, 'coalesced')
      const base = await measureOne(lab, 'none')
      return new Map([[row.name, ours.map((value, place) => ({ ours: value, base: /** @type {number} */ (base[place]) }))]])
    }
  }
}

/** @type {(lab: Lab, server: Server, clients: Child) => Promise<number>} */
async function parked ({ quick }, server, clients) {
  const { origin } = server
  const count = quick ? 500 : 5000
  const idle = await server.figures({ collect: true })
  await clients.ask({ park: { origin, path: '/held/', keys: 'hot', clients: count, each: 1 } })
  while ((await server.figures()).requests < idle.requests + count);
  const { heap } = await server.figures({ collect: true })
  await server.figures({ ask: 'open' })
  await clients.ask({ released: origin })
  return (heap - idle.heap) / count
}

export const follower = memoryCase({
  name: 'follower',
  what: '5,000 requests wait for one run; in bare Fastify each waits in its handler',
  row: { name: 'memory of a parked follower, above bare Fastify', unit: 'bytes', ours: 'coalesced', base: 'bare Fastify', figure: 'difference', target: atMost(300) },
  flags: ['--expose-gc'],
  rounds: 3,
  async warmUp (lab, server, clients) {
    await server.figures({ ask: 'count' })
    await parked(lab, server, clients)
  },
  probe: parked
})

export const leader = memoryCase({
  name: 'leader',
  what: 'what a request leaves for the collector; unique keys, metrics on, a handler that does nothing',
  row: { name: 'garbage of a leader, above bare Fastify', unit: 'bytes', ours: 'coalesced', base: 'bare Fastify', figure: 'difference', target: atMost(1200) },
  flags: ['--expose-gc', ...ROOMY],
  options: { collections: true },
  rounds: 4,
  async warmUp ({ quick }, { origin }, clients) {
    await clients.ask({ origin, path: '/instant/', keys: 'unique', clients: 16, milliseconds: 4000, requests: quick ? 500 : 40_000 })
  },
  async probe ({ quick }, server, clients) {
    const before = await server.figures({ collect: true })
    const outcome = await clients.ask({
      origin: server.origin, path: '/instant/', keys: 'unique', clients: 16, milliseconds: 10_000, requests: quick ? 500 : 4000
    })
    const after = await server.figures()
    if (after.collections !== before.collections) throw new Error('garbage was collected while it was counted')
    return (after.heap - before.heap) / outcome.requests
  }
})
