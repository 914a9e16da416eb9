/**
 * What is wrong, in plain words, the worst first.
 *
 * Invariant: pure; at most one sentence for each thing. What was counted long ago is no problem: counters are looked at by how they have grown.
 */
import type { PageRoute, PageState } from '../state.js'
import { counted, inVain, isWhat, keyOf, reasonText, saved, whyNot } from './figures.js'
import { count, named, percent, plural, seconds } from './format.js'

/** Fewer requests of a route tell nothing. */
const ENOUGH = 20
/** A run that takes so long while others wait for it. */
const LONG = 10_000
const MOST = 40
/** What a route may have of late, and should not. */
const OF_LATE = ['max-flights', 'max-waiters', 'wait-timeout', 'flight-timeout']
/** What most requests of a route should not come to, and what is said of it then. */
const WRONG = { shed: 'refuses', failed: 'fails', 'stale-if-error': 'fails behind its cache' }
/** Urgency; less than `MAY_LEAK` is a problem. */
const LEAK = 0
const OFF = 1
const DOWN = 2
const MAY_LEAK = 3
const LOOK = 4
const LATER = 5

export interface Problem {
  readonly level: 'bad' | 'warn'
  /** The same for the same problem, whatever its figures. */
  readonly id: string
  readonly text: string
  /** The section that shows it, and the route in it. */
  readonly section?: string
  readonly route?: string
}

export const refused = ({ levels }: PageState['queues'][number]): number =>
  levels.reduce((sum, { shed }) => sum + shed.full + shed.timeout + shed.evicted, 0)

/** What should not grow, by name. */
export function counters ({ stores, coordinators, queues, routes }: PageState): Map<string, number> {
  const found = new Map<string, number>()
  stores.forEach(({ errors, skipped }, index) => found.set(`store ${index}`, errors + skipped))
  coordinators.forEach(({ timeouts, joins }, index) => found.set(`coordinator ${index}`, timeouts + joins.skipped))
  for (const queue of queues) found.set(`queue ${queue.name}`, refused(queue))
  for (const route of routes) {
    const key = keyOf(route)
    found.set(`requests ${key}`, route.totalRequests)
    for (const name of [...OF_LATE, ...Object.keys(WRONG)]) found.set(`${name} ${key}`, counted(route, isWhat(name)))
  }
  return found
}

/** `grown` says by how much a counter has grown in the last minute. */
export function problems (state: PageState, grown: (name: string) => number): Problem[] {
  const found: Array<Problem & { urgency: number }> = []
  const add = (urgency: number, id: string, text: string, section: string, route?: string): void => {
    found.push({ urgency, level: urgency < MAY_LEAK ? 'bad' : 'warn', id, text, section, route })
  }
  const ofLate = (name: string, what: string): string => `${plural(grown(name), what)} in the last minute`
  const { totals, limits, mode } = state

  const soFar = counters(state)
  /** Advice has an id such as `leak/unknown`. */
  const advised = new Set(state.advice.map(advice => `${advice.id} ${keyOf(advice)}`))
  const ofRoute = (route: PageRoute): void => {
    const key = keyOf(route)
    const tell = (urgency: number, id: string, text: string): void => { add(urgency, `${id} ${key}`, `${named(key)}${text}`, 'routes', key) }
    const { observed, reasons, totalRequests } = route
    const isFound = (verdict: string): boolean => observed?.verdict === verdict || advised.has(`leak/${verdict} ${key}`)
    const leaks = (urgency: number, how: string): void => {
      const places = observed?.differences.slice(0, 2).map(({ path }) => named(path, 40)).join(', ')
      tell(urgency, how, ` ${how}: ${places || 'the response'} differs between clients`)
    }
    // Of the last minute, if that tells something.
    const lately = (name: string): number => (grown(`requests ${key}`) < ENOUGH ? soFar.get(`${name} ${key}`) as number : grown(`${name} ${key}`))
    const requests = lately('requests')
    const wrong = Object.entries(WRONG).find(([name]) => requests >= ENOUGH && lately(name) > requests / 2)
    const late = OF_LATE.find(name => grown(`${name} ${key}`) > grown(`requests ${key}`) / 100)
    const why = whyNot(route)
    const vain = inVain(route)
    if (isFound('differs')) leaks(LEAK, route.state === 'observes' ? 'would leak' : 'leaks')
    else if (isFound('echo')) tell(LEAK, 'leak', ' sends back what is of one request: it must not be shared')
    else if (isFound('unknown')) leaks(MAY_LEAK, 'may leak')
    if (route.state === 'off') {
      // With everything switched off one sentence says so.
      if (mode !== 'off') tell(LOOK, 'off', ' is switched off')
    } else if (wrong) {
      const [name, does] = wrong
      const part = percent(lately(name) / requests)
      tell(DOWN, name, ` ${does}${name === 'shed' ? ` ${part}: ${reasons.find(isWhat(name))?.reason}` : `: ${part} of ${plural(requests, 'request')}`}`)
    } else if (why && totalRequests >= ENOUGH && vain >= totalRequests / 2 && route.state !== 'observes') {
      const most = counted(route, reason => reasonText(reason) === reasonText(why))
      tell(LOOK, 'nothing', ` shares ${saved(route.counts) > 0 ? 'little' : 'nothing'}: ${reasonText(why)}, ${percent(most / totalRequests)} of ${plural(totalRequests, 'request')}`)
    } else if (late) tell(LATER, late, `: ${late}, ${ofLate(`${late} ${key}`, 'time')}`)
  }
  if (state.routes.length === 0) add(LOOK, 'none', 'No route is coalesced yet', 'routes')
  if (mode === 'off') add(OFF, 'off', 'Coalescing is switched off: each request runs its own handler', 'routes')
  for (const { name, state: is, retryAfter, states } of state.breakers) {
    if (is === 'closed') continue
    const circuits = states.open + states.closed + states['half-open']
    // JSON has no Infinity.
    const next = is !== 'open' ? 'one run tries at a time' : !Number.isFinite(retryAfter) ? 'until it is closed by hand' : retryAfter > 0 ? `tries again in ${seconds(retryAfter)}` : 'the next run tries'
    add(is === 'open' ? DOWN : LOOK, `breaker ${name} ${is}`, `Breaker ${named(name)} is ${is}${circuits > 1 ? ` for ${count(states.open)} of ${count(circuits)}` : ''}, ${next}`, 'protection')
  }
  for (const { name, running, waiting, limit } of state.queues) {
    if (grown(`queue ${name}`) > 0) add(DOWN, `queue ${name}`, `Queue ${named(name)} refused ${ofLate(`queue ${name}`, 'run')}`, 'protection')
    else if (waiting > 0) add(LOOK, `queue ${name}`, `${plural(waiting, 'run waits', 'runs wait')} in queue ${named(name)}: ${count(running)} of ${count(limit)} run`, 'protection')
  }
  const ofServer = (what: string, index: number, isOpen: boolean | undefined, then: string): void => {
    const name = `${what} ${index}`
    if (isOpen) add(DOWN, name, `The ${what} cannot be asked: ${then}`, 'processes')
    else if (grown(name) > 0) add(LOOK, name, `The ${what} did not answer ${ofLate(name, 'time')}`, 'processes')
  }
  state.coordinators.forEach(({ isOpen }, index) => { ofServer('coordinator', index, isOpen, 'each process runs for itself') })
  state.stores.forEach(({ link }, index) => { ofServer('store', index, link?.isOpen, 'nothing is read or written') })
  for (const [what, now, limit] of [
    ['runs in the air (maxFlights)', totals.flights, limits.flights],
    ['waiting requests (maxWaiters)', totals.waiters, limits.waiters],
    ['bytes of streams (maxRecordedBytes)', totals.bytes, limits.bytes]
  ] as const) {
    if (now >= limit * 0.8 && limit > 0) add(now < limit ? LOOK : DOWN, what, `${count(now)} of at most ${count(limit)} ${what}`, 'flights')
  }
  const long = state.flights.find(({ age, waiters, phase }) => age >= LONG && waiters > 0 && phase !== 'streams')
  if (long) add(LOOK, `long ${keyOf(long)}`, `${plural(long.waiters, 'request waits', 'requests wait')} for a run of ${named(keyOf(long))} that takes ${seconds(long.age)}`, 'flights')
  for (const route of state.routes.toSorted((a, b) => b.totalRequests - a.totalRequests)) ofRoute(route)

  return found.sort((a, b) => a.urgency - b.urgency).slice(0, MOST)
}
