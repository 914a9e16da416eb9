/**
 * The routes and functions of a page: one row for each method and pattern.
 *
 * Invariant: a row of which nothing has changed is not written anew, and of very many that change not all at once. HEAD routes that nobody asked for are left out, as they are of the
 * metrics.
 */
import { Tally } from '../../observers/tally.js'
import { figuresOf } from '../../observers/figures.js'
import { SERIES, type Counts, type PageRoute } from '../../page/state.js'
import type { CoalescedRoute } from '../request/route.js'
import type { Scope } from '../scope.js'
import type { Findings } from './findings.js'

/** So many rows are written as a whole at each look; of others reasons and times are those of a look before. */
const MOST_WRITTEN = 40
/** The most reasons of a row, and the most names that it varies on. */
const MOST = 12

/** What a row is made of. */
interface Counted {
  readonly tally: Tally
  /** Undefined for a function. */
  readonly route: CoalescedRoute | undefined
}

const PLACES: ReadonlyMap<string, number> = new Map(SERIES.map((outcome, place) => [outcome, place]))

const NO_COUNTS: Counts = SERIES.map(() => 0)

function countsOf ({ outcomes }: Tally): Counts {
  const counts = [...NO_COUNTS]
  outcomes.forEach((reasons, outcome) => {
    const place = PLACES.get(outcome) as number
    reasons.forEach(({ count }) => { counts[place]! += count })
  })
  return counts
}

/** What takes longer to tell of a route. */
type Tail = { readonly [Name in 'reasons' | 'variesOn' | 'parking' | 'waits' | 'handlerTime' | 'observed']: PageRoute[Name] | undefined }

class Row {
  readonly #counted: readonly Counted[]
  readonly #scope: Scope
  readonly #findings: Findings
  /** The sum of the figures at the last look. */
  #seen = -1
  #counts: Counts = NO_COUNTS
  /** Each request that had come had its outcome at the last look: without others nothing changes. */
  #isSettled = false
  /** The beginning of its text, which is written at each change, and the rest, with what that was made of. */
  #head = ''
  #state: PageRoute['state'] = 'shares'
  #tail = ''
  #isWritten = false
  #observed: PageRoute['observed']

  constructor (counted: readonly Counted[], scope: Scope, findings: Findings) {
    this.#counted = counted
    this.#scope = scope
    this.#findings = findings
  }

  get isShown (): boolean {
    return this.#counted.some(({ tally }) => tally.isTold || tally.method !== 'HEAD')
  }

  get counts (): Counts {
    this.#look()
    return this.#counts
  }

  /** As JSON. */
  get text (): string {
    this.#look()
    const state = this.#stateNow()
    if (this.#head === '' || this.#state !== state) {
      this.#state = state
      const tally = this.#tally()
      const { method, route, saved } = tally
      this.#head = JSON.stringify({ method, route, state, ...tally.figures(), handlerTimeSaved: saved, counts: this.#counts }).slice(0, -1)
    }
    if (this.#tail === '') this.refresh()
    return `${this.#head},${this.#tail}`
  }

  /** Writes what takes longer anew; false if that was not needed. */
  refresh (): boolean {
    this.#look()
    const observed = this.#findings.observed(this.#scope, this.#first.method, this.#first.route)
    if (this.#isWritten && this.#observed === observed) return false
    this.#isWritten = true
    this.#observed = observed
    const { handlerTime, reasons, waits } = figuresOf(this.#tally())
    const tail: Tail = {
      reasons: reasons.slice(0, MOST),
      variesOn: this.#counted.flatMap(({ route }) => route?.learned.all ?? []).slice(0, MOST),
      parking: this.#counted[0]?.route?.parking,
      waits,
      handlerTime,
      observed
    }
    this.#tail = JSON.stringify(tail).slice(1)
    return true
  }

  get #first (): Tally {
    return (this.#counted[0] as Counted).tally
  }

  #look (): void {
    const seen = this.#sum()
    if (this.#isSettled && seen === this.#seen) return
    this.#seen = seen
    this.#isWritten = false
    const tally = this.#tally()
    const counts = countsOf(tally)
    this.#isSettled = tally.requests === counts.reduce((sum, count) => sum + count, 0)
    this.#counts = counts
    this.#head = ''
  }

  /** None of these ever decreases, so that the sum tells of each change, without looking at outcomes, which takes longer. */
  #sum (): number {
    let sum = 0
    for (const { route, tally } of this.#counted) {
      sum += tally.requests + tally.runs + tally.runTimes.count + tally.saved + (route?.learned.size ?? 0)
    }
    return sum
  }

  #stateNow (): PageRoute['state'] {
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
  readonly #findings: Findings
  #rows: readonly Row[] = []
  /** How many tallies they are made of. */
  #size = 0
  /** The one that had the last turn. */
  #next = 0

  constructor (scope: Scope, findings: Findings) {
    this.#scope = scope
    this.#findings = findings
  }

  /** Those that are shown, as JSON. */
  texts (): string[] {
    const rows = this.#all().filter(row => row.isShown)
    let left = MOST_WRITTEN
    // Each has its turn.
    for (let looked = 0; looked < rows.length && left > 0; looked++) {
      this.#next = (this.#next + 1) % rows.length
      if ((rows[this.#next] as Row).refresh()) left--
    }
    return rows.map(row => row.text)
  }

  /** Adds what all of them have counted. */
  addTo (counts: number[]): void {
    for (const { counts: own } of this.#all()) {
      for (let place = 0; place < counts.length; place++) counts[place]! += own[place] as number
    }
  }

  #all (): readonly Row[] {
    if (this.#scope.tallies.length !== this.#size) this.#collect()
    return this.#rows
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
    this.#rows = [...counted.values()].map(same => new Row(same, this.#scope, this.#findings))
  }
}
