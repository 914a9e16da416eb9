/**
 * The metrics of observe mode: what would have become of requests, how pairs of responses compared, what was not compared, and what that cost.
 *
 * Invariant: labels are route patterns, methods and closed sets of names. They are there only where something is observed.
 */
import { Counted, samplesOf } from './counted.js'
import type { Definition, Labels } from './read-metric.js'
import type { Tally } from './tally.js'

/** What is counted of one route. */
export interface ObservedCounts {
  readonly tally: Tally
  /** What would have become of requests, as `'follower shared'`. */
  readonly outcomes: ReadonlyMap<string, number>
  /** How pairs compared. */
  readonly verdicts: ReadonlyMap<string, number>
  readonly comparison: { readonly skipped: Readonly<Record<string, number>> }
}

/** What is counted of one registration. */
export interface ObservedTogether {
  readonly routes: Iterable<ObservedCounts>
  readonly allowance: { readonly seconds: number }
}

const itself = (number: number): readonly number[] => [number]

export class ObserveMetrics {
  readonly #observing: () => Iterable<ObservedTogether>
  readonly #requests = new Counted<number>(itself)
  readonly #pairs = new Counted<number>(itself)
  readonly #skipped = new Counted<number>(itself)
  readonly #seconds = new Counted<number>(itself)

  constructor (observing: () => Iterable<ObservedTogether>) {
    this.#observing = observing
  }

  /** @param before what comes before each name */
  definitions (before: string): readonly Definition[] {
    const counter = (name: string, help: string, counted: Counted<number>): Definition => ({
      name: before + name,
      help,
      type: 'counter',
      aggregator: 'sum',
      read: () => {
        this.note()
        return samplesOf(counted, [{}])
      }
    })
    return [
      counter('observed_requests_total', 'Requests of observed routes, by what would have become of them', this.#requests),
      counter('observed_pairs_total', 'Responses of observed or verified routes that were compared with those that would have been given, by how', this.#pairs),
      counter('observer_skipped_total', 'Responses of observed or verified routes that were not compared, by reason', this.#skipped),
      counter('observer_seconds_total', 'How long comparing took', this.#seconds)
    ]
  }

  /** Somebody is about to end. */
  note (): void {
    for (const { allowance, routes } of this.#observing()) {
      this.#seconds.note(allowance, {}, allowance.seconds)
      for (const route of routes) this.#noteRoute(route)
    }
  }

  /** What has ended is not told of any more. */
  forget (): void {
    for (const counted of [this.#requests, this.#pairs, this.#skipped, this.#seconds]) counted.forget()
  }

  #noteRoute ({ comparison, outcomes, tally, verdicts }: ObservedCounts): void {
    if (!tally.isTold) return
    const { method, route } = tally
    const of = (more: Labels): Labels => ({ method, route, ...more })
    for (const [text, count] of outcomes) {
      const [outcome, reason] = text.split(' ') as [string, string]
      this.#requests.note(comparison, of({ outcome, reason }), count)
    }
    // HEAD rides along with GET, and is not compared.
    if (method === 'HEAD') return
    for (const [verdict, count] of verdicts) this.#pairs.note(comparison, of({ verdict }), count)
    for (const [reason, count] of Object.entries(comparison.skipped)) this.#skipped.note(comparison, { reason }, count)
  }
}
