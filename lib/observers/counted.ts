/**
 * What is counted of those that have the same labels, by whoever counts.
 *
 * Invariant: no count goes back when one of them ends.
 */
import { FiguresSeen } from './figures-seen.js'
import type { Labels, Sample } from './read-metric.js'

/** @typeParam F what one of them says */
export class Counted<F> {
  readonly #numbersOf: (figures: F) => readonly number[]
  readonly #series = new Map<string, { readonly labels: Labels, readonly seen: FiguresSeen }>()

  constructor (numbersOf: (figures: F) => readonly number[]) {
    this.#numbersOf = numbersOf
  }

  note (who: object, labels: Labels, figures: F): void {
    const key = JSON.stringify(labels)
    let series = this.#series.get(key)
    if (series === undefined) this.#series.set(key, series = { labels, seen: new FiguresSeen() })
    series.seen.sums([[who, this.#numbersOf(figures)]])
  }

  /** The labels of each series, and what was counted of it, of those that have ended as well. */
  * [Symbol.iterator] (): Iterator<readonly [labels: Labels, numbers: readonly number[]]> {
    for (const { labels, seen } of this.#series.values()) yield [labels, seen.sums([]) as readonly number[]]
  }

  forget (): void {
    this.#series.clear()
  }
}

/** One sample for each of some numbers of each series. @param from the place of the first */
export function * samplesOf (counted: Counted<never>, more: readonly Labels[], from = 0): Iterable<readonly Sample[]> {
  for (const [labels, numbers] of counted) {
    yield more.map((each, place) => ({ labels: { ...labels, ...each }, value: numbers[from + place] as number }))
  }
}
