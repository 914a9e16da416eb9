/**
 * What tells the responses of a key apart, as far as it is known: the request headers that they depend on besides the key.
 *
 * Invariant: bounded in characters, for each key, for each route and for all, and only a memory. What is forgotten is learned
 * again, at the price of a run. Where there is more than can be remembered, nothing is shared for a while.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../types/index.js'
import { MEMORY } from './cache/memory.js'
import { isOfQuery, REST } from '../http/query.js'
import type { Route, Visit } from './participant.js'

/** How many names for each key, and how many characters in all: with more than a response can well depend on, what is known is not worth knowing. */
const MOST_NAMES = 64
const MOST_CHARACTERS = 4_096
/** All keys of a route can have so many times that. */
const TIMES_A_ROUTE = 4
/** A name on which none of so many responses in a row depended is forgotten. */
const IDLE = 10

const NO_NAMES: readonly string[] = Object.freeze([])

/** What is known of a key. */
interface Dimensions {
  /** Sorted. */
  readonly names: readonly string[]
  /** How many responses in a row did not depend on each. */
  readonly idle: number[]
  /** Until when nothing of it is shared, by the clock. */
  readonly spiltUntil: number
}

/** What is known of a route. */
class RouteNames {
  /** All that its keys were given, each held once: names that clients choose are pieces of longer texts, which they would keep. */
  readonly names = new Map<string, string>()
  /** What its streams depend on after their first bytes only, and how many in a row did not. */
  readonly late = new Map<string, number>()
  spiltUntil = 0

  clear (): void {
    this.names.clear()
    this.late.clear()
  }
}

/** Whether a key's names can be remembered. */
export function areFew (names: readonly string[], times = 1): boolean {
  return names.length <= MOST_NAMES * times && charactersOf(names) <= MOST_CHARACTERS * times
}

function charactersOf (names: readonly string[]): number {
  return names.reduce((sum, { length }) => sum + length, 0)
}

export class Variants {
  readonly #clock: Clock
  readonly #dimensions = new LRUCache<string, Dimensions>({
    ...MEMORY,
    sizeCalculation: ({ names }, key) => key.length + charactersOf(names) + 1
  })

  readonly #routes = new WeakMap<Route, RouteNames>()
  readonly #warned = new WeakMap<Route, Set<string>>()
  /** Something was more than is remembered, once. */
  #hasSpilt = false

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** The names that are known for a key, sorted. */
  namesOf (key: string): readonly string[] {
    return this.#dimensions.get(key)?.names ?? NO_NAMES
  }

  /**
   * Remembers, for who comes next, what responses of a visit's key depend on.
   *
   * @param landed that is all that one depends on which did well just now: what none has depended on for long is forgotten
   * @returns false if that is more than is remembered, so that nothing of the key, or of its route, is shared
   */
  learn (visit: Visit, varies: readonly string[], landed = false): boolean {
    if (this.isSpilt(visit)) return false
    const known = this.#dimensions.size === 0 ? undefined : this.#dimensions.get(visit.key)
    const names = known?.names ?? NO_NAMES
    if (names.length === 0 && varies.length === 0) return true
    const forgets = known !== undefined && landed && grewIdle(known, varies)
    const stay = forgets ? names.filter((_, index) => known.idle[index] as number < IDLE) : names
    const added = varies.filter(name => !stay.includes(name))
    if (added.length === 0 && stay === names) return true
    const ofQuery = added.find(isOfQuery)
    if (ofQuery !== undefined) this.#warnOfQuery(visit, ofQuery)
    const own = this.#ofRoute(visit, added)
    if (own === undefined) return false
    const all = [...stay, ...own].sort()
    if (!areFew(all)) {
      this.#dimensions.set(visit.key, { names: NO_NAMES, idle: [], spiltUntil: this.#spill(visit) })
      return false
    }
    const idle = all.map(name => known?.idle[names.indexOf(name)] ?? 0)
    if (all.length === 0) this.#dimensions.delete(visit.key)
    else this.#dimensions.set(visit.key, { names: all, idle, spiltUntil: 0 })
    return true
  }

  /** Whether there is more to remember of a visit's key, or of its route, than is remembered. */
  isSpilt ({ key, route }: Visit): boolean {
    if (!this.#hasSpilt) return false
    const now = this.#clock.now()
    return (this.#dimensions.get(key)?.spiltUntil ?? 0) > now || (this.#routes.get(route)?.spiltUntil ?? 0) > now
  }

  /** A visit's key, and the values of what its responses are known to vary on. */
  keyOf (visit: Pick<Visit, 'key' | 'value'>): string {
    const names = this.#dimensions.size === 0 ? NO_NAMES : this.namesOf(visit.key)
    return names.length === 0 ? visit.key : visit.key + JSON.stringify([names, names.map(name => visit.value(name))])
  }

  /** Warns, once a route, that its handler leaves no telling what its responses depend on. */
  warnOfReads (visit: Visit): void {
    this.#warn(visit, 'reads-all-headers',
      'coalesce: the handler, or a hook before it, reads all request headers (a log of them does at a level that is on), ' +
      'so the responses are not shared; learnVary: false trusts their own Vary')
  }

  /** Warns, once a route, that its responses hold what belongs to one reply. */
  warnOfOwn (visit: Visit, reason: 'csp-nonce' | 'request-id'): void {
    this.#warn(visit, reason, reason === 'csp-nonce'
      ? 'coalesce: the body holds a nonce of its own Content-Security-Policy, or is HTML in a stream, which may, so it is not shared; ' +
        "learnVary: { ignore: ['reply.cspNonce'] } says that this does not matter"
      : 'coalesce: the body holds the id of its request, so it is not shared; ' +
        "learnVary: { ignore: ['request.id'] } shares it, with the id of the request that ran")
  }

  /** Warns, once a route, that responses are told apart by what its key leaves out of the query. */
  #warnOfQuery (visit: Visit, name: string): void {
    this.#warn(visit, 'reads-query', name === REST
      ? "coalesce: a hook reads the URL or all of the query, so what the query option leaves out tells responses apart; learnVary: { ignore: ['?'] } says that it does not"
      : 'coalesce: a hook reads a parameter that the query option leaves out, so it tells responses apart; learnVary: { ignore } with this name says that it does not', { reads: name.slice(0, 64) })
  }

  /** The headers that a route's streams are known to depend on only after their first bytes. */
  lateReads (route: Route): readonly string[] {
    return [...this.#routes.get(route)?.late.keys() ?? NO_NAMES]
  }

  /** A stream of a visit's route was seen to depend on these. */
  readLate (visit: Visit, names: readonly string[]): void {
    const own = this.isSpilt(visit) ? undefined : this.#ofRoute(visit, names)
    const route = this.#routes.get(visit.route)
    for (const name of own ?? NO_NAMES) route?.late.set(name, 0)
    if (route !== undefined && !areFew([...route.late.keys()])) this.#spillRoute(visit, route)
  }

  /** A stream of a route has come to its end, and depended on these. */
  streamed (route: Route, names: readonly string[]): void {
    const late = this.#routes.get(route)?.late
    for (const [name, idle] of late ?? []) {
      if (names.includes(name)) late?.set(name, 0)
      else if (idle + 1 < IDLE) late?.set(name, idle + 1)
      else late?.delete(name)
    }
  }

  /** The names as the route has them; undefined if they are more than it can have. */
  #ofRoute (visit: Visit, names: readonly string[]): readonly string[] | undefined {
    let known = this.#routes.get(visit.route)
    if (known === undefined) this.#routes.set(visit.route, known = new RouteNames())
    const added = names.filter(name => !known.names.has(name))
    if (added.length > 0 && !areFew([...known.names.keys(), ...added], TIMES_A_ROUTE)) {
      this.#spillRoute(visit, known)
      return undefined
    }
    for (const name of added) {
      const copy = JSON.parse(JSON.stringify(name)) as string
      known.names.set(copy, copy)
    }
    return names.map(name => known.names.get(name) as string)
  }

  #spillRoute (visit: Visit, known: RouteNames): void {
    known.clear()
    known.spiltUntil = this.#spill(visit)
  }

  /** Returns until when nothing is shared. */
  #spill (visit: Visit): number {
    this.#hasSpilt = true
    this.#warn(visit, 'varies-too-much',
      'coalesce: the responses depend on more request headers than can be remembered, as where clients say which are read, so they are not shared for a while; learnVary: false trusts their own Vary')
    return this.#clock.now() + visit.route.settings.unshareableTtl
  }

  #warn ({ log, route }: Visit, event: string, message: string, more = {}): void {
    const warned = this.#warned.get(route) ?? new Set()
    if (warned.has(event)) return
    this.#warned.set(route, warned.add(event))
    log.warn({ coalesce: { event, route: route.tally.route, ...more } }, message)
  }
}

/** Counts a response that depends on `varies`. Whether there is a name now on which none has depended for long. */
function grewIdle ({ names, idle }: Dimensions, varies: readonly string[]): boolean {
  let grew = false
  for (let index = 0; index < names.length; index++) {
    idle[index] = varies.includes(names[index] as string) ? 0 : idle[index] as number + 1
    grew ||= idle[index] as number >= IDLE
  }
  return grew
}
