/**
 * What tells the responses of a key apart, as far as it is known: the request headers that they depend on besides the key.
 *
 * Invariant: bounded, and only a memory. What is forgotten is learned again, at the price of a run.
 */
import { LRUCache } from 'lru-cache'
import { MEMORY } from './core/memory.js'
import { isOfQuery, REST } from './http/query.js'
import { NO_VARIANT } from './http/recording.js'
import type { Route, Visit } from './visit.js'

/** How many names for each, and for the streams of a route: with more than a response can well depend on, what is known is not worth knowing. */
const MOST_NAMES = 64

const NO_READS: ReadonlySet<string> = Object.freeze(new Set<string>())

export class Variants {
  readonly #dimensions = new LRUCache<string, readonly string[]>(MEMORY)
  readonly #warned = new WeakSet<Route>()
  readonly #warnedOfQuery = new WeakSet<Route>()
  readonly #lateReads = new WeakMap<Route, Set<string>>()

  /** The names that are known for a key, sorted. */
  namesOf (key: string): readonly string[] {
    return this.#dimensions.get(key) ?? NO_VARIANT.names
  }

  /** Remembers, for who comes next, what a response of a visit's key depends on. */
  learn (visit: Visit, varies: readonly string[]): void {
    if (varies.length === 0) return
    const known = this.#dimensions.get(visit.key)
    if (known === undefined || !varies.every(name => known.includes(name))) {
      const ofQuery = varies.find(isOfQuery)
      if (ofQuery !== undefined) this.#warnOfQuery(visit, ofQuery)
      const names = [...new Set([...known ?? [], ...varies])].sort()
      this.#dimensions.set(visit.key, names.length > MOST_NAMES ? [...varies].sort() : names)
    }
  }

  /** A visit's key, and the values of what its responses are known to vary on. */
  keyOf (visit: Pick<Visit, 'key' | 'value'>): string {
    const names = this.#dimensions.size === 0 ? undefined : this.#dimensions.get(visit.key)
    return names === undefined ? visit.key : visit.key + JSON.stringify([names, names.map(name => visit.value(name))])
  }

  /** Warns, once a route, that its handler leaves no telling what its responses depend on. */
  warnOfReads ({ log, route }: Visit): void {
    if (this.#warned.has(route)) return
    this.#warned.add(route)
    log.warn({ coalesce: { event: 'reads-all-headers', route: route.tally.route } },
      'coalesce: the handler, or a hook before it, reads all request headers (a log of them does at a level that is on), ' +
      'so the responses are not shared; learnVary: false trusts their own Vary')
  }

  /** Warns, once a route, that responses are told apart by what its key leaves out of the query. */
  #warnOfQuery ({ log, route }: Visit, name: string): void {
    if (this.#warnedOfQuery.has(route)) return
    this.#warnedOfQuery.add(route)
    log.warn({ coalesce: { event: 'reads-query', route: route.tally.route, reads: name.slice(0, 64) } }, name === REST
      ? "coalesce: a hook reads the URL or all of the query, so what the query option leaves out tells responses apart; learnVary: { ignore: ['?'] } says that it does not"
      : 'coalesce: a hook reads a parameter that the query option leaves out, so it tells responses apart; learnVary: { ignore } with this name says that it does not')
  }

  /** The headers that a route's streams are known to depend on only after their first bytes. */
  lateReads (route: Route): ReadonlySet<string> {
    return this.#lateReads.get(route) ?? NO_READS
  }

  /** A route's stream was seen to depend on these. */
  readLate (route: Route, names: readonly string[]): void {
    const known = this.lateReads(route)
    const all = [...known, ...names]
    // A handler that takes names from its clients reads others every time.
    this.#lateReads.set(route, new Set(all.length > MOST_NAMES ? all.slice(-MOST_NAMES) : all))
  }
}
