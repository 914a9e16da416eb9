/**
 * The table of routes: sorted and filtered, each row opens.
 *
 * Invariant: a row is made once and changed in place. Nothing changes places under a pointer or a focus, unless it was asked to.
 */
import { type PageRoute, type PageState, SERIES } from '../state.js'
import { actionButton } from './actions.js'
import { sparkline } from './chart.js'
import { attribute, button, byId, cell, el, pairs, rows, say } from './dom.js'
import { all, keyOf, Minute, part, reasonText, whyNotText } from './figures.js'
import { count, duration, percent, plural, rate } from './format.js'
import { OUTCOMES } from './words.js'

/** With fewer there is nothing to look for. */
const MANY = 8

const STATES = { shares: 'on', observes: 'observe', verifies: 'verify', off: 'off' }

const ofCounts = (first: number, second: number) => ({ latest: { counts, totalRequests } }: RouteRow): number | undefined =>
  part((counts[first] ?? 0) + (counts[second] ?? 0), totalRequests)

/** What a column is called, what it is sorted by and what it shows. The style knows them by their places. */
type Column<Value = any> = readonly [name: string, of: (row: RouteRow) => Value | undefined, text: (value: Value) => string]
const RATE = 1
const COLUMNS: readonly Column[] = [
  ['Route', row => row.key, key => key],
  ['#Requests/s', row => row.minute.perSecond, rate],
  ['#Runs per request', ({ latest }) => part(latest.actualExecutions, latest.totalRequests), (value: number | undefined) => value?.toFixed(2) ?? '–'],
  ['#Shared', ofCounts(0, 3), percent],
  ['#Hits', ofCounts(1, 2), percent],
  ['#p99 wait', ({ latest }) => latest.waits?.p99, duration],
  ['Why not', ({ latest }) => whyNotText(latest), why => why ?? '–'],
  ['State', ({ latest: { state, observed } }) => STATES[state] + (observed ? `: ${observed.verdict}` : ''), text => text]
]

interface RouteRow {
  readonly key: string
  readonly node: HTMLElement
  readonly minute: Minute
  latest: PageRoute
  readonly take: (route: PageRoute, at: number) => void
  /** Shows it to who follows a link to it. */
  readonly reveal: () => void
}

function routeRow (first: PageRoute, canAct: boolean): RouteRow {
  const { method, route } = first
  const key = keyOf(first)
  const minute = new Minute()
  const spark = sparkline()
  const texts = ['Requests', 'Runs', 'Waits', 'Parks', 'Depends on', 'Observed'].map(name => [name, el('dd', '', el('bdi'))] as const)
  const reasons = el('ul')
  const showReasons = rows<string>(reasons, text => text, text => ({ node: el('li', '', text), update () {} }))
  const inside = el('td', '', pairs(texts), el('h3', '', 'Why'), reasons)
  inside.colSpan = COLUMNS.length
  if (canAct) {
    const at = { url: route, method }
    inside.append(
      actionButton('Disable', () => [{ action: 'disable', route: at }, `${key} is disabled`]), ' ',
      actionButton('Enable', () => [{ action: 'enable', route: at }, `${key} is enabled`], true)
    )
  }
  const details = el('tr', 'details', inside)
  const open = (isOpen: boolean): void => {
    details.hidden = !isOpen
    opener.ariaExpanded = `${isOpen}`
    if (isOpen) tell(row.latest)
  }
  const opener = button('', () => { open(details.hidden) })
  opener.className = 'open'
  opener.append(el('b', '', method), ' ', el('bdi', '', route))
  const cells = COLUMNS.map(([name], index) => index === 0 ? cell('th', name, opener) : cell('td', name, el('span')))
  cells[RATE]?.prepend(spark.node)
  const row: RouteRow = {
    key,
    minute,
    latest: first,
    node: el('tbody', '', el('tr', '', ...cells), details),
    take (route, at) {
      row.latest = route
      minute.take(at, route.totalRequests)
      COLUMNS.forEach(([, of, text], index) => { if (index > 0) say(cells[index]?.lastChild as Node, text(of(row))) })
      attribute(row.node, 'class', `${route.state} ${route.observed?.verdict}`)
      spark.show(minute.rates)
      if (!details.hidden) tell(route)
    },
    reveal () {
      open(true)
      row.node.scrollIntoView({ block: 'center' })
      opener.focus({ preventScroll: true })
    }
  }
  /** What is in the row that is open. */
  const tell = (latest: PageRoute): void => {
    const { handlerTime, waits, parking, observed, counts } = latest
    const said = [
      SERIES.flatMap((_, index) => counts[index] ? `${count(counts[index])} ${OUTCOMES[index]}` : []).join(', ') || 'none yet',
      `${count(latest.actualExecutions)}${handlerTime ? `, mean ${duration(handlerTime.mean)}, p99 ${duration(handlerTime.p99)}` : ''}; ${duration(latest.handlerTimeSaved)} saved`,
      waits && `p50 ${duration(waits.p50)}, p90 ${duration(waits.p90)}, p99 ${duration(waits.p99)}`,
      parking && `at ${parking.at}: ${parking.why}${parking.skips.length > 0 ? `. Followers skip ${parking.skips.join(', ')}` : ''}`,
      latest.variesOn.map(({ name, learnedFrom }) => `${name} (${learnedFrom})`).join(', '),
      observed && observedText(observed)
    ]
    texts.forEach(([, node], index) => {
      say(node.firstChild as Node, said[index] ?? '')
      const pair = node.parentElement as HTMLElement
      pair.hidden = !said[index]
    })
    showReasons(latest.reasons.map(reason => `${percent(part(reason.count, latest.totalRequests))} ${reason.outcome}: ${reasonText(reason)}`))
  }
  open(false)
  return row
}

function observedText ({ verdict, requests, pairs: { between }, differences, skipped }: NonNullable<PageRoute['observed']>): string {
  return [
    `${verdict}: ${count(between.differs + between.echo)} of ${plural(all(Object.values(between)), 'pair')} of clients differ ` +
      `(${plural(requests, 'request')}, ${count(all(Object.values(skipped)))} skipped)`,
    ...differences.map(({ path, between, within, causes: [cause] }) => `${path} differs in ${percent(between)} of pairs, ${percent(within)} within one client${cause ? `: ${cause.name}` : ''}`)
  ].join('. ')
}

const table = byId('routes-table')
const filter = byId('filter') as HTMLInputElement
const found = new Map<string, RouteRow>()
const showRows = rows<RouteRow>(table, ({ key }) => key, ({ node }) => ({ node, update () {} }))
let sortedBy = RATE
let sign = -1

const headings = COLUMNS.map(([name], index) => cell('th', name, button(name.replace('#', ''), () => {
  sign = sortedBy === index ? -sign : name.startsWith('#') ? -1 : 1
  sortedBy = index
  place()
})))
table.append(el('thead', '', el('tr', '', ...headings)))
filter.oninput = place

function place (): void {
  const of = COLUMNS[sortedBy]?.[1] as Column[1]
  const sorted = [...found.values()]
    .sort((a, b) => compare(of(a), of(b), sign) || b.latest.totalRequests - a.latest.totalRequests || compare(a.key, b.key, 1))
  headings.forEach((heading, index) => { heading.ariaSort = sortedBy !== index ? null : sign < 0 ? 'descending' : 'ascending' })
  const wanted = filter.value.toLowerCase()
  for (const { node, key } of sorted) node.hidden = !key.toLowerCase().includes(wanted)
  showRows(sorted)
}

export function revealRoute (key: string): void {
  filter.value = ''
  place()
  found.get(key)?.reveal()
}

export function showRoutes ({ routes, at, actions }: PageState): void {
  const gone = new Set(found.keys())
  let isOther = false
  for (const route of routes) {
    const key = keyOf(route)
    isOther ||= !gone.delete(key)
    const row = found.get(key) ?? routeRow(route, actions)
    found.set(key, row)
    row.take(route, at)
  }
  for (const key of gone) isOther = found.delete(key)
  byId('no-routes').hidden = routes.length > 0
  table.hidden = routes.length === 0
  byId('filtering').hidden = routes.length < MANY
  if (isOther || !table.matches(':hover, :focus-within')) place()
}

/** What has no value comes last, whichever way. */
function compare (a: number | string | undefined, b: number | string | undefined, sign: number): number {
  if (a === b) return 0
  if (a === undefined || b === undefined) return a === undefined ? 1 : -1
  return a < b ? -sign : sign
}
