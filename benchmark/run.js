// @ts-check
/**
 * Measures what coalescing costs and saves: `npm run benchmark`, under two minutes, a table at the end; `npm run benchmark --
 * unique` only the cases with that in their names.
 *
 * Each case is a pair of servers, without the plugin and with it, that take turns under the same load in short rounds on one
 * core, the load on another. A ratio is that of two neighbouring rounds, and the median of those counts, so that a machine
 * that is slow for a while is slow for both.
 */
import { availableParallelism, cpus, loadavg } from 'node:os'
import { cases } from './cases.js'
import { Child, unpinned } from './process.js'
import { turnsFor } from './work.js'

const start = performance.now()
/** What is not measured by then is left out of the table; a busy machine needs longer for everything. */
const BUDGET = 100_000
/** The end, whatever happens. */
const DEADLINE = 115_000
/** As many requests as V8 needs to have compiled what matters, or as much time as there is. */
const WARM_UP = { requests: 30_000, milliseconds: 2500 }

/**
 * One server's round.
 *
 * @typedef {object} Sample
 * @property {number} rate requests a second
 * @property {number} p99 in milliseconds
 * @property {number} runs handler runs a request
 * @property {number} cpu microseconds of the server's CPU time a request
 */

/** @typedef {{ bare: Sample, plugin: Sample }} Pair two neighbouring rounds */

/**
 * @typedef {object} Server
 * @property {Child} child
 * @property {string} origin
 */

/**
 * @param {import('./server.js').Variant} variant
 * @param {number} turns
 * @returns {Promise<Server>}
 */
async function serve (variant, turns) {
  const child = new Child('server.js', 0, variant, String(turns))
  const { port } = await child.answer()
  return { child, origin: `http://127.0.0.1:${port}` }
}

/**
 * @param {Child} load
 * @param {Server} server
 * @param {import('./cases.js').Case} each
 * @param {{ milliseconds: number, requests?: number }} limits
 * @returns {Promise<Sample>}
 */
async function sample (load, { child, origin }, { path, keys, clients }, { milliseconds, requests }) {
  /** @type {import('./server.js').Figures} */
  const before = await child.ask({})
  /** @type {import('./load.js').Outcome} */
  const outcome = await load.ask({ origin, path, keys, clients, milliseconds, requests })
  /** @type {import('./server.js').Figures} */
  const after = await child.ask({})
  return {
    rate: outcome.requests / outcome.milliseconds * 1000,
    p99: outcome.p99,
    runs: (after.runs - before.runs) / outcome.requests,
    cpu: (after.cpu - before.cpu) / outcome.requests
  }
}

/**
 * @param {Child} load
 * @param {import('./cases.js').Case} each
 * @param {number} turns
 * @returns {Promise<Pair[]>}
 */
async function heat (load, each, turns) {
  const bare = await serve('bare', turns)
  const plugin = await serve(each.variant, turns)
  /** @type {Pair[]} */
  const pairs = []
  try {
    await sample(load, bare, each, WARM_UP)
    await sample(load, plugin, each, WARM_UP)
    for (let round = 0; round < each.rounds && !isLate(); round++) {
      if (round % 2 === 0) {
        const first = await sample(load, bare, each, each)
        pairs.push({ bare: first, plugin: await sample(load, plugin, each, each) })
      } else {
        const first = await sample(load, plugin, each, each)
        pairs.push({ bare: await sample(load, bare, each, each), plugin: first })
      }
    }
    await load.ask({ close: [bare.origin, plugin.origin] })
  } finally {
    bare.child.stop()
    plugin.child.stop()
  }
  return pairs
}

/**
 * @param {number[]} values
 * @param {number} at 0 for the least, 1 for the greatest
 * @returns {number}
 */
function quantile (values, at) {
  const sorted = [...values].sort((a, b) => a - b)
  const place = (sorted.length - 1) * at
  const low = /** @type {number} */ (sorted[Math.floor(place)])
  const high = /** @type {number} */ (sorted[Math.ceil(place)])
  return low + (high - low) * (place - Math.floor(place))
}

const HEADINGS = [
  'case', 'clients', 'req/s bare', 'plugin', 'p99 ms bare', 'plugin', 'runs/req bare', 'plugin', 'CPU us/req bare', 'plugin',
  'ratio of CPU', 'ratio of req/s', '(quartiles)', 'target'
]

/**
 * @param {import('./cases.js').Case} each
 * @param {Pair[]} pairs
 * @returns {string[]}
 */
function rowOf ({ name, clients, target }, pairs) {
  if (pairs.length === 0) return [name, String(clients), 'no time left']
  /** @type {(field: keyof Sample, format: (value: number) => string) => string[]} */
  const both = (field, format) => [
    format(quantile(pairs.map(({ bare }) => bare[field]), 0.5)), format(quantile(pairs.map(({ plugin }) => plugin[field]), 0.5))
  ]
  const ratios = pairs.map(({ bare, plugin }) => plugin.rate / bare.rate)
  const ratio = quantile(ratios, 0.5)
  return [
    name,
    String(clients),
    ...both('rate', value => value.toFixed(0)),
    ...both('p99', value => value.toFixed(1)),
    ...both('runs', value => value.toFixed(value < 0.1 ? 4 : 2)),
    ...both('cpu', value => value.toFixed(1)),
    quantile(pairs.map(({ bare, plugin }) => bare.cpu / plugin.cpu), 0.5).toFixed(3),
    ratio.toFixed(3),
    `${quantile(ratios, 0.25).toFixed(3)}-${quantile(ratios, 0.75).toFixed(3)}`,
    target === undefined ? '' : `>= ${target} ${ratio >= target ? 'met' : 'MISSED'}`
  ]
}

/** @param {string[][]} rows */
function print (rows) {
  const widths = HEADINGS.map((_heading, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)))
  for (const row of rows) {
    const cells = row.map((cell, column) => column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))
    console.log(cells.join('  ').trimEnd())
  }
}

const isLate = () => performance.now() - start > BUDGET

setTimeout(() => {
  console.error(`benchmark: not done after ${DEADLINE / 1000} s`)
  process.exit(1)
}, DEADLINE).unref()

console.log(`${new Date().toISOString()}  node ${process.version}  ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores`)
console.log(unpinned === undefined ? 'servers on core 0, load on core 1' : `processes are not pinned: ${unpinned}`)
const [busy = 0] = loadavg()
if (busy > 1) console.log(`the machine is busy (load average ${busy.toFixed(1)}): do not trust what follows`)

const turns = turnsFor(50)
const load = new Child('load.js', 1)
await load.answer()
const rows = [HEADINGS]
const wanted = process.argv[2] ?? ''
for (const each of cases.filter(({ name }) => name.includes(wanted))) {
  console.log(`measuring: ${each.name}, ${each.clients} clients`)
  /** @type {Pair[]} */
  const pairs = []
  for (let count = 0; count < each.heats && !isLate(); count++) pairs.push(...await heat(load, each, turns))
  rows.push(rowOf(each, pairs))
}
load.stop()

console.log(`done in ${((performance.now() - start) / 1000).toFixed(0)} s; medians of rounds, and of the ratios of neighbouring rounds\n`)
print(rows)
