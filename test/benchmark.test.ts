/**
 * That the benchmark runs, and says what it has measured in a form that programs can read. What it measures is of no interest here.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

// Seconds on a machine that has nothing else to do.
t.setTimeout(300_000)

const program = fileURLToPath(new URL('../benchmark/run.js', import.meta.url))
const execute = promisify(execFile)
// What tap tells its own children is not meant for servers that are measured.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:NODE_OPTIONS|NODE_V8_COVERAGE|_?TAP)/.test(name)))

async function benchmark (...args: string[]): Promise<string> {
  return (await execute(process.execPath, [program, ...args], { env })).stdout
}

const lines = (text: string): string[] => text.trim().split('\n')

interface Row {
  readonly case: string
  readonly name: string
  readonly unit: string
  readonly medians: { readonly ours: number, readonly base: number }
  readonly quartiles: { readonly ours: number[], readonly base: number[], readonly figure: number[] }
  readonly ratio: number
  readonly difference: number
  readonly target: string | null
  readonly result: string | null
}

t.test('the benchmark measures each row that it lists, and tells of it in JSON', async t => {
  const cases = ['unique', 'functions']
  const [listed, text] = await Promise.all([benchmark('--list', ...cases), benchmark('--quick', '--json', ...cases)])
  const { rows, ...head } = JSON.parse(text) as { rows: Row[], [name: string]: unknown }
  t.match(head, { date: /^\d{4}-\d\d-\d\dT/, node: process.version, cpu: String, cores: Number, quick: true, missing: [] })
  t.strictSame(rows.map(({ name }) => name), lines(listed))
  t.strictSame([...new Set(rows.map(row => row.case))], cases)
  for (const { name, unit, medians, quartiles, ratio, difference, target, result } of rows) {
    const figures = [medians.ours, medians.base, ...quartiles.ours, ...quartiles.base, ...quartiles.figure, ratio, difference]
    t.equal(figures.length, 10)
    t.ok(figures.every(Number.isFinite), `${name}, in ${unit}: ${figures.join(' ')}`)
    t.match(target ?? '', /^(?:[<>]= \d|$)/)
    t.equal(result === null, target === null, 'a row has a verdict if it has a target')
  }
})

t.test('the benchmark lists the rows that need something installed on demand only, and each row once', async t => {
  const [own, peers] = (await Promise.all([benchmark('--list'), benchmark('--list', '--peers')])).map(lines) as [string[], string[]]
  for (const names of [own, peers]) t.equal(new Set(names).size, names.length)
  t.strictSame(own.filter(name => /nginx|Varnish|async-cache-dedupe|bentocache|ocache/.test(name)), [])
  for (const name of ['nginx', 'Varnish', 'async-cache-dedupe', 'bentocache', 'ocache']) t.ok(peers.some(row => row.includes(name)), name)
})

t.test('the benchmark says which cases there are if it is asked for another one', async t => {
  await t.rejects(benchmark('hits'), { code: 1, stderr: /^benchmark: there is no case "hits", only hit, hooks, unique, / })
})
