// @ts-check
/** Whether a request costs more while very much else is in the air, or cached. */
import { contestOf } from '../contest.js'
import { atMost } from '../rows.js'

const CONNECTIONS = 200
/** Room for the heap, so that the collector does not work more because it has to. */
const flags = ['--max-old-space-size=8192']

/**
 * Has so many requests wait in their handlers, each for a key of its own; several on a connection, since more connections than that may not
 * be open.
 *
 * @param {number} count
 * @returns {import('../contest.js').Contestant['prepare']}
 */
function inTheAir (count) {
  return async (server, clients, quick) => {
    const connections = Math.min(CONNECTIONS, count)
    const each = (quick ? Math.min(count, 1000) : count) / connections
    const { requests } = await server.figures({ ask: 'count' })
    await clients.ask({ park: { origin: server.origin, path: '/held/', keys: 'unique', clients: connections, each } })
    while ((await server.figures()).requests < requests + connections * each);
  }
}

export const flights = contestOf({
  name: 'flights',
  what: 'unique keys, a handler that does nothing, while other runs are in the air',
  contestants: {
    '100,000 others': { options: { plugin: 'coalesced' }, flags, prepare: inTheAir(100_000) },
    '10 others': { options: { plugin: 'coalesced' }, flags, prepare: inTheAir(10) },
    'bare, 10 others': { options: { plugin: 'none' }, flags, prepare: inTheAir(10) },
    'bare, 100,000 others': { options: { plugin: 'none' }, flags, prepare: inTheAir(100_000) }
  },
  asked: { path: '/instant/', keys: 'unique', clients: 64 },
  heats: 1,
  rounds: 12,
  rows: [
    { name: '100,000 other runs in the air, against 10', ours: '100,000 others', base: '10 others', by: 'cpu', target: atMost(1.1) },
    // What the collector and the kernel take for as many requests that wait.
    { name: '100,000 other requests in bare Fastify, against 10', ours: 'bare, 100,000 others', base: 'bare, 10 others', by: 'cpu' }
  ]
})

/**
 * @param {number} entries
 * @returns {import('../contest.js').Contestant['prepare']}
 */
function cached (entries) {
  return async (server, _clients, quick) => { await server.figures({ ask: 'fill', number: quick ? Math.min(entries, 1000) : entries }) }
}

/** @type {Record<string, import('../contest.js').Contestant>} */
const contestants = {
  '1,000,000 cached': { options: { plugin: 'kept', roomy: true }, flags, prepare: cached(1_000_000) },
  '10 cached': { options: { plugin: 'kept', roomy: true }, flags, prepare: cached(10) }
}

export const entries = contestOf({
  name: 'entries',
  what: 'a hit, while other responses are cached',
  contestants,
  asked: { path: '/instant/', keys: 'hot', clients: 64 },
  heats: 1,
  rounds: 12,
  rows: [{ name: 'a hit among 1,000,000 entries, against 10', ours: '1,000,000 cached', base: '10 cached', by: 'cpu', target: atMost(1.1) }]
})

export const misses = contestOf({
  name: 'misses',
  what: 'unique keys, whose responses are cached, while others are',
  contestants,
  asked: { path: '/instant/', keys: 'unique', clients: 64 },
  heats: 1,
  rounds: 12,
  rows: [{ name: 'a miss among 1,000,000 entries, against 10', ours: '1,000,000 cached', base: '10 cached', by: 'cpu', target: atMost(1.1) }]
})
