/**
 * The routes and functions of a page: one row for each method and pattern.
 *
 * Invariant: a row of which nothing has changed is the same object as before. HEAD routes that nobody asked for are left out, as they are of the
 * metrics.
 */
import { Tally } from '../../observers/tally.js'
import { figuresOf } from '../../observers/figures.js'
import { SERIES, type Counts, type PageRoute } from '../../page/state.js'
import type { CoalescedRoute } from '../request/route.js'
import type { Scope } from '../scope.js'

/** The most reasons of a row, and the most names that it varies on. */
const MOST = 12

/** What a row is made of. */
interface Counted {
  readonly tally: Tally
  /** Undefined for a function. */
  readonly route: CoalescedRoute | undefined
}

export function countsOf ({ outcomes }: Tally): Counts {
  return SERIES.map(outcome => {
    let sum = 0
    for (const count of outcomes.get(outcome)?.values() ?? []) sum += count
    return sum
  })
}

class Row {
  readonly #counted: readonly Counted[]
  readonly #scope: Scope
  #seen: readonly number[] = []
  #shown: PageRoute | undefined

  constructor (counted: readonly Counted[], scope: Scope) {
    this.#counted = counted
    this.#scope = scope
  }

  get isShown (): boolean {
    return this.#counted.some(({ tally }) => tally.isTold || tally.method !== 'HEAD')
  }

  shown (): PageRoute {
    const tally = this.#tally()
    const counts = countsOf(tally)
    const { deduplicated, requests, runs, runTimes, saved, waits } = tally
    const state = this.#state()
    const variesOn = this.#counted.flatMap(({ route }) => route?.learned.all ?? [])
    // What is counted only ever grows.
    const seen = [requests, runs, deduplicated, saved, waits.count, runTimes.count, variesOn.length, ...counts]
    if (this.#shown?.state === state && seen.every((number, place) => number === this.#seen[place])) return this.#shown
    this.#seen = seen
    const figures = figuresOf(tally)
    const parking = this.#counted[0]?.route?.parking
    this.#shown = {
      ...figures,
      reasons: figures.reasons.slice(0, MOST),
      variesOn: variesOn.slice(0, MOST),
      ...parking !== undefined && { parking },
      state,
      counts
    }
    return this.#shown
  }

  #state (): PageRoute['state'] {
    const { disabled } = this.#scope.requests.conductor
    if (this.#counted.every(({ route }) => route !== undefined && (disabled || route.disabled))) return 'off'
    const mode = this.#counted.map(({ route }) => route?.observed?.mode).find(each => each !== undefined)
    return mode === undefined ? 'shares' : mode === 'observe' ? 'observes' : 'verifies'
  }

  #tally (): Tally {
    const [first, ...others] = this.#counted.map(({ tally }) => tally) as [Tally, ...Tally[]]
    if (others.length === 0) return first
    const { buckets, method, route } = first
    const total = new Tally(method, route, { buckets })
    for (const tally of [first, ...others]) total.add(tally)
    return total
  }
}

/** Those of one registration. */
export class Rows {
  readonly #scope: Scope
  #rows: readonly Row[] = []
  /** How many tallies they are made of. */
  #size = 0

  constructor (scope: Scope) {
    this.#scope = scope
  }

  shown (): PageRoute[] {
    if (this.#scope.tallies.length !== this.#size) this.#collect()
    return this.#rows.filter(row => row.isShown).map(row => row.shown())
  }

  #collect (): void {
    const { routes, tallies } = this.#scope
    this.#size = tallies.length
    const routeOf = new Map(routes.map(route => [route.tally, route]))
    const counted = new Map<string, Counted[]>()
    for (const tally of tallies) {
      const key = JSON.stringify([tally.method, tally.route])
      const same = counted.get(key) ?? []
      same.push({ tally, route: routeOf.get(tally) })
      counted.set(key, same)
    }
    this.#rows = [...counted.values()].map(same => new Row(same, this.#scope))
  }
}
