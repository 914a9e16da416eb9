/**
 * A report for people: a line for each route, and what is advised.
 *
 * Invariant: plain text. What it is given is harmless already, but for patches.
 */
import { inspect } from 'node:util'
import { harmless } from './harmless.js'
import type { Told, ToldAdvice, ToldCount, ToldFindings, ToldRoute } from './page-state.js'

const MODES: Readonly<Record<string, string>> = { share: 'sharing', observe: 'observing: nothing is shared', off: 'coalescing is switched off' }
const HEAD = ['route', 'requests', 'runs', 'shared', 'cached', 'found']

export function printedReport (page: string, { advice, instance, mode, routes }: Told): string {
  const paragraphs = [
    [`${page}: ${instance}, ${MODES[mode] ?? mode}`],
    routes.length === 0 ? ['No route is coalesced.'] : table([HEAD, ...routes.map(cellsOf)]),
    ...advice.map(linesOf),
    [advice.length === 0 ? 'Nothing is advised.' : `${advice.length} advised. What each means: docs/advice.md`]
  ]
  return `${paragraphs.map(lines => lines.join('\n')).join('\n\n')}\n`
}

function cellsOf (route: ToldRoute): string[] {
  const { hits, method, requests, route: pattern, runs, shared } = route
  const part = (count: number): string => requests === 0 ? '–' : `${(count / requests * 100).toFixed(1)} %`
  return [`${method} ${pattern}`, figure(requests), figure(runs), part(shared), part(hits), foundOf(route)]
}

function figure (value: number): string {
  return value.toLocaleString('en')
}

/** What would have become of requests that would not have been shared. */
const WOULD: Readonly<Record<string, string>> = { bypass: 'would bypass', unshareable: 'would not be shared', shed: 'would be shed' }

function foundOf ({ observed, reasons: [why], requests, state }: ToldRoute): string {
  if (observed === undefined) return state === 'off' ? 'switched off' : why === undefined ? '' : partOf(why, requests)
  const { pairs, skipped, would } = observed
  // Of what the app chose not to compare nothing is missing.
  const skips = skipped.filter(({ count, reason }) => count > 0 && reason !== 'not-sampled').sort((one, other) => other.count - one.count)
  const all = would.reduce((sum, { count }) => sum + count, 0)
  const unshared = would.find(({ outcome }) => Object.hasOwn(WOULD, outcome))
  return [
    ...pairs === 0 && unshared !== undefined ? [] : [verdictOf(observed)],
    ...unshared === undefined ? [] : [`${WOULD[unshared.outcome] as string}: ${partOf(unshared, all)}`],
    ...skips.map(({ count, reason }) => `${figure(count)} skipped: ${reason}`)
  ].join('; ')
}

function partOf ({ count, reason }: ToldCount, all: number): string {
  return `${reason} ${(count / Math.max(all, count, 1) * 100).toFixed(0)} %`
}

function verdictOf ({ pairs: between, verdict }: ToldFindings): string {
  const pairs = figure(between)
  switch (verdict) {
    case 'equal':
      return `no difference in ${pairs} pairs of clients with one key (95 %: < ${(300 / between).toPrecision(2)} %)`
    case 'noise':
      return `nothing but noise differs in ${pairs} pairs of clients with one key`
    case 'too-few':
      return `too few pairs yet: ${pairs}`
    case 'differs':
      return `LEAK: differs between clients (${pairs} pairs)`
    case 'unknown':
      return `differs in ${pairs} pairs, perhaps between clients: too few clients were seen twice`
    case 'echo':
      return 'LEAK: holds what is of its own request'
    default:
      return verdict
  }
}

/** The first column and the last begin at the left, figures end at the right. */
function table (rows: readonly string[][]): string[] {
  const widths = HEAD.map((_, column) => Math.max(...rows.map(cells => cells[column]!.length)))
  return rows.map(cells => cells.map((cell, column) =>
    column === 0 ? cell.padEnd(widths[0]!) : column === HEAD.length - 1 ? cell : cell.padStart(widths[column]!)).join('  ').trimEnd())
}

function linesOf ({ confidence, evidence, id, kind, method, patch, route, silence, text }: ToldAdvice): string[] {
  return [
    `${method} ${route}`,
    `  [${id}] ${kind === 'leak' ? 'LEAK ' : ''}${text}`,
    `  seen: ${evidence} (confidence: ${confidence})`,
    ...patch === undefined ? [] : [`  → ${patchText(patch)}`],
    `  silence: ${silence}`
  ]
}

/** As it is written in `config.coalesce`. */
function patchText (patch: unknown): string {
  const text = harmless(inspect(patch, { breakLength: Infinity, compact: true, depth: 4, maxArrayLength: 100, maxStringLength: 200 }))
  return text.replace(/^\{ (.*) \}$/, '$1')
}
