// @ts-check
/**
 * Measures what coalescing costs and saves: `npm run benchmark`, about six minutes, a table at the end.
 *
 * `npm run benchmark -- hit storm`: these cases only; a word that is no case's name stands for all with it in theirs. `--peers`: those that
 * compare it with other programs and packages. `--quick`: a few short rounds, which show that all works, and figures that mean nothing.
 * `--json`, `--markdown`: the result as one JSON document, or as the table of docs/benchmark.md. `--list`: the names of the rows.
 */
import { availableParallelism, cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { cases } from './cases.js'
import { installed } from './peers/installed.js'
import { unpinned } from './process.js'
import { markdown, table } from './report.js'
import { resultOf } from './rows.js'

const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(['peers', 'quick', 'json', 'markdown', 'list'].map(name => [name, { type: /** @type {const} */ ('boolean'), default: false }]))
})

/** @type {(each: import('./cases.js').Case) => import('./rows.js').Row[]} */
const rowsOf = each => each.rows.filter(({ needs }) => needs === undefined || options.peers)
const offered = cases.filter(each => options.peers ? each.rows.some(({ needs }) => needs !== undefined) : rowsOf(each).length > 0)

/** @param {string} word */
function named (word) {
  const exactly = offered.filter(({ name }) => name === word)
  return exactly.length > 0 ? exactly : offered.filter(({ name }) => name.includes(word))
}

for (const word of words) {
  if (named(word).length === 0) {
    console.error(`benchmark: there is no case ${JSON.stringify(word)}, only ${offered.map(({ name }) => name).join(', ')}`)
    process.exit(1)
  }
}
const wanted = words.length === 0 ? offered : offered.filter(each => words.some(word => named(word).includes(each)))

if (options.list) {
  for (const each of wanted) for (const { name } of rowsOf(each)) console.log(name)
  process.exit()
}

/** @param {string} text */
const say = text => { console.error(text) }
const peers = installed(new Set(wanted.flatMap(rowsOf).flatMap(({ needs }) => needs ?? [])))
const start = performance.now()
const head = {
  date: new Date().toISOString(),
  node: process.version,
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: availableParallelism(),
  pinned: unpinned === undefined,
  load: loadavg()[0] ?? 0,
  quick: options.quick,
  ...peers
}
const machine = [
  `${head.date}  node ${head.node}  ${head.cpu}, ${head.cores} cores`,
  unpinned === undefined ? 'servers on core 0, load on core 1' : `processes are not pinned: ${unpinned}`,
  ...Object.entries(peers.versions).map(([name, version]) => `${name} ${version}`),
  ...head.load > 1 ? [`the machine is busy (load average ${head.load.toFixed(1)}): do not trust what follows`] : [],
  ...peers.missing
].join('\n')
say(machine)

/** @type {import('./report.js').Measured[]} */
const measured = []
for (const each of wanted) {
  say(`measuring ${each.name}: ${each.what}`)
  /** @type {string[]} */
  const notes = []
  const pairs = await each.measure({
    quick: options.quick === true,
    has: need => need === undefined || peers.versions[need] !== undefined,
    note: text => { notes.push(text) }
  })
  const rows = rowsOf(each).flatMap(row => {
    const found = pairs.get(row.name)
    return found === undefined ? [] : [resultOf(row, found)]
  })
  measured.push({ name: each.name, what: each.what, rows, notes: [...new Set(notes)] })
}

const seconds = Math.round((performance.now() - start) / 1000)
if (options.json) {
  const rows = measured.flatMap(({ name, rows, notes }) => rows.map(row => ({ case: name, ...row, notes })))
  console.log(JSON.stringify({ ...head, seconds, rows }, null, 2))
} else if (options.markdown) {
  console.log(markdown(measured))
} else {
  console.log(`\ndone in ${seconds} s; medians of rounds, and of the figures of neighbouring rounds\n\n${table(measured)}`)
}
