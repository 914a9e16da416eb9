/**
 * What reports say, for a page that asks again and again.
 *
 * Invariant: worked out at most once in so many milliseconds, and only while somebody asks.
 */
import type { Advice, Clock, Report, RouteReport } from '../../../types/index.js'
import type { PageRoute } from '../../page/state.js'

/** How old a report may be, in milliseconds. */
const LASTS = 3_000
/** The most differences, and parts that make none, of a route. */
const MOST = 12
/** The most advice. */
const MOST_ADVICE = 100

/** Whose report it is. */
export interface Reporting {
  readonly api: { report (): Report }
}

type Observed = NonNullable<PageRoute['observed']>

export class Findings {
  readonly #clock: Clock
  readonly #reporting: () => readonly Reporting[]
  #at = -Infinity
  #advice: readonly Advice[] = []
  #observed = new Map<Reporting, ReadonlyMap<string, Observed>>()

  constructor (clock: Clock, reporting: () => readonly Reporting[]) {
    this.#clock = clock
    this.#reporting = reporting
  }

  advice (): readonly Advice[] {
    this.#update()
    return this.#advice
  }

  /** The same object until there is a new report. */
  observed (of: Reporting, method: string, route: string): Observed | undefined {
    this.#update()
    return this.#observed.get(of)?.get(`${method} ${route}`)
  }

  #update (): void {
    const now = this.#clock.now()
    if (now - this.#at < LASTS) return
    this.#at = now
    const reports = this.#reporting().map(each => [each, each.api.report()] as const)
    this.#advice = reports.flatMap(([, { advice }]) => advice).slice(0, MOST_ADVICE)
    this.#observed = new Map(reports.map(([each, { routes }]) => [each, new Map(routes.map(found => [`${found.method} ${found.route}`, shown(found)]))]))
  }
}

function shown ({ differences, inert, pairs, requests, skipped, ttls, verdict, would }: RouteReport): Observed {
  return { verdict, pairs, requests, differences: differences.slice(0, MOST), inert: inert.slice(0, MOST), ttls, skipped, would }
}
