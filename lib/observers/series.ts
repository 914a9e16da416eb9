/**
 * Series: the tallies of each method and route, whoever counts them.
 *
 * Invariant: counters do not go back when a registration ends. Routes that nobody asked for, unless they were chosen, have no series.
 */
import { Tally } from './tally.js'

/** Which tallies there are. New ones are added at the end. */
export interface TallySource {
  readonly tallies: readonly Tally[]
}

/** All tallies of one method and route. */
class Series {
  readonly live = new Set<Tally>()
  /** What those that have ended had counted. */
  ended: Tally | undefined

  get isTold (): boolean {
    if (this.ended?.isTold === true) return true
    for (const tally of this.live) if (tally.isTold) return true
    return false
  }

  total (): Tally {
    const [only, ...others] = this.live
    if (only !== undefined && others.length === 0 && this.ended === undefined) return only
    const { method, route, buckets } = (only ?? this.ended) as Tally
    const total = new Tally(method, route, { buckets })
    for (const tally of this.live) total.add(tally)
    if (this.ended !== undefined) total.add(this.ended)
    return total
  }
}

export class AllSeries {
  readonly #series = new Map<string, Series>()
  /** How many of the tallies of each source are in their series. */
  readonly #known = new Map<TallySource, number>()

  add (source: TallySource): void {
    this.#known.set(source, 0)
  }

  /** One tally for each method and route that there is something to tell of. */
  * [Symbol.iterator] (): Iterator<Tally> {
    for (const source of this.#known.keys()) this.#update(source)
    for (const series of this.#series.values()) if (series.isTold) yield series.total()
  }

  remove (source: TallySource): void {
    this.#update(source)
    this.#known.delete(source)
    for (const tally of source.tallies) {
      const series = this.#of(tally)
      series.live.delete(tally)
      // A chosen one has its series for good: they do not vanish while their route is made anew.
      if (tally.isTold) (series.ended ??= new Tally(tally.method, tally.route, { buckets: tally.buckets, chosen: true })).add(tally)
    }
  }

  /** What has ended is not told of any more. */
  forgetEnded (): void {
    for (const [key, series] of this.#series) {
      series.ended = undefined
      if (series.live.size === 0) this.#series.delete(key)
    }
  }

  #update (source: TallySource): void {
    const { tallies } = source
    for (let index = this.#known.get(source) as number; index < tallies.length; index++) {
      const tally = tallies[index] as Tally
      this.#of(tally).live.add(tally)
    }
    this.#known.set(source, tallies.length)
  }

  #of ({ method, route }: Tally): Series {
    const key = JSON.stringify([method, route])
    let series = this.#series.get(key)
    if (series === undefined) this.#series.set(key, series = new Series())
    return series
  }
}
