/**
 * "A later change cannot quietly add to what a request costs": what each kind of request does more than it would do without the plugin is
 * counted, with no clock, and compared with test/fixtures/hot-path/limits.ts.
 *
 * Two processes measure: one counts what is called and made, the other one weighs what is allocated. V8 does not optimize there, since
 * what it optimizes away, and when, changes from run to run; so a request allocates more there than it does in production, but each
 * time the same.
 *
 *     HOT_PATH=write npx tap --disable-coverage test/hot-path.test.ts    # writes the limits anew, of this version of Node
 *     HOT_PATH=print npx tap --disable-coverage test/hot-path.test.ts    # shows the figures, and which functions are called and made
 */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { KINDS, UNITS, type Counted, type Report, type Unit } from './fixtures/hot-path/kinds.js'
import { LIMITS, VERSIONS, type Limits } from './fixtures/hot-path/limits.js'

const FILE = 'test/fixtures/hot-path/limits.ts'
const MEASURE = fileURLToPath(new URL('fixtures/hot-path/measure.ts', import.meta.url))
const FLAGS = [
  '--no-opt', '--no-maglev', '--no-flush-bytecode', '--expose-gc', '--single-threaded-gc',
  // Room for all that is allocated between two collections.
  '--min-semi-space-size=16', '--max-semi-space-size=16',
  '--import', new URL('typescript.js', import.meta.url).href
]
/** How far a figure may lie above its limit: what things done once a second, or once in all, come to. */
const SLACK: Partial<Record<Unit, number>> = { garbage: 40, retained: 64 }
const LITTLE = 0.2
/** How far below its limit a figure must lie to lower it: a few bytes come and go from run to run. */
const ROOM: Partial<Record<Unit, number>> = { garbage: 64, retained: 64 }
const ALL = Object.keys(UNITS) as Unit[]

const version = Number(process.versions.node.split('.')[0])
t.setTimeout(300_000)
const column = (VERSIONS as readonly number[]).indexOf(version)

async function measure (what: string): Promise<Report> {
  const { stdout } = await promisify(execFile)(process.execPath, [...FLAGS, MEASURE, what], { env: { PATH: process.env.PATH } })
  return JSON.parse(stdout) as Report
}

const slackOf = (unit: Unit): number => SLACK[unit] ?? LITTLE

/** The limit of this version of Node; undefined if its limits are not known. */
function limitOf (kind: string, unit: Unit): number | undefined {
  const limit = LIMITS[kind]?.[unit] ?? 0
  return typeof limit === 'number' ? limit : limit[column]
}

const isNear = (unit: Unit, figure: number, limit: number): boolean => figure - limit <= slackOf(unit) && limit - figure <= (ROOM[unit] ?? LITTLE)

/** The limits as they were, but with what was measured for this version. */
function limitsFrom (report: Report): Limits {
  return Object.fromEntries(KINDS.map(({ name }) => [name, Object.fromEntries(ALL.flatMap(unit => {
    const figure = report[name]?.[unit] ?? 0
    const before = LIMITS[name]?.[unit] ?? 0
    const columns = VERSIONS.map((each, index) => {
      const limit = typeof before === 'number' ? before : before[index] as number
      if (each !== version || isNear(unit, figure, limit)) return limit
      return Math.abs(figure) <= slackOf(unit) ? 0 : Math.ceil(figure - LITTLE / 2)
    })
    const limit = new Set(columns).size === 1 ? columns[0] as number : columns
    return limit === 0 ? [] : [[unit, limit]]
  }))]))
}

function literal (limits: Limits): string {
  const lines = Object.entries(limits).map(([kind, units]) => {
    const members = Object.entries(units).map(([unit, limit]) => `${unit}: ${typeof limit === 'number' ? limit : `[${limit.join(', ')}]`}`)
    return members.length === 0 ? `  '${kind}': {}` : `  '${kind}': {\n    ${members.join(', ')}\n  }`
  })
  return `export const LIMITS: Limits = {\n${lines.join(',\n')}\n}\n`
}

/** The functions of lib/ that a request of a kind calls and makes, how often. */
function functionsOf (counted: Counted): string {
  return Object.entries(counted).filter(([name]) => !(name in UNITS)).map(([name, count]) => `  ${String(Math.round(count * 100) / 100).padStart(6)}  ${name}`).join('\n')
}

const [counted, weighed] = await Promise.all([measure('count'), measure('garbage')])
const report: Report = Object.fromEntries(KINDS.map(({ name }) => [name, { ...counted[name], ...weighed[name] }]))
const asked = process.env.HOT_PATH
if (asked === 'print') {
  for (const { name } of KINDS) t.comment(`${name}:\n${functionsOf(report[name] as Counted)}`)
  t.comment(literal(limitsFrom(report)))
} else if (asked === 'write') {
  if (column === -1) throw new Error(`limits are of Node ${VERSIONS.join(', ')}`)
  const { readFile } = await import('node:fs/promises')
  const text = await readFile(FILE, 'utf8')
  await writeFile(FILE, text.slice(0, text.indexOf('export const LIMITS')) + literal(limitsFrom(report)))
}
if (column === -1) t.comment(`bytes are not judged: their limits are of Node ${VERSIONS.join(', ')}`)

for (const { name } of asked === 'write' ? [] : KINDS) {
  t.test(`${name} costs no more than its limits`, async t => {
    for (const unit of ALL) {
      const [figure, limit] = [report[name]?.[unit] ?? 0, limitOf(name, unit)]
      if (limit === undefined) continue
      const shown = Math.round(figure * 10) / 10
      const over = figure - limit
      t.ok(over <= slackOf(unit), over <= slackOf(unit)
        ? `${UNITS[unit]}: ${shown}`
        : `${name}: ${shown} ${UNITS[unit]}, ${Math.round(over * 10) / 10} more than its limit of ${limit}. If that is worth it, raise "${unit}" in ${FILE}; HOT_PATH=print shows where it comes from`)
      if (-over > (ROOM[unit] ?? LITTLE)) t.comment(`${name}: only ${shown} ${UNITS[unit]}, ${Math.round(-over * 10) / 10} fewer than its limit of ${limit}. HOT_PATH=write lowers it in ${FILE}`)
    }
  })
}
