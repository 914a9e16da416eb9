/**
 * How values are distributed over buckets: what histograms and percentiles are read from.
 *
 * Invariant: observing costs additions and a walk over the bounds. Only distributions of the same bounds add up.
 */

const TIMES: readonly number[] = Object.freeze([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30])

/** The upper bounds of a tally's distributions. */
export interface Buckets {
  /** Of waits, in seconds. */
  readonly wait: readonly number[]
  /** Of runs, in seconds. */
  readonly handler: readonly number[]
  /** Of followers of a flight. */
  readonly followers: readonly number[]
}

export const BUCKETS: Buckets = Object.freeze({
  wait: TIMES,
  handler: TIMES,
  followers: Object.freeze([0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000])
})

export class Distribution {
  readonly bounds: readonly number[]
  /** How many values lie up to each bound and above the one before it; not cumulated. One more than there are bounds: the last counts the values above them. */
  readonly counts: number[]
  sum = 0
  count = 0

  constructor (bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Array<number>(bounds.length + 1).fill(0)
  }

  observe (value: number): void {
    let index = 0
    while (index < this.bounds.length && value > (this.bounds[index] as number)) index++
    this.counts[index] = (this.counts[index] as number) + 1
    this.sum += value
    this.count++
  }

  add (other: Distribution): void {
    for (let index = 0; index < this.counts.length; index++) {
      this.counts[index] = (this.counts[index] as number) + (other.counts[index] as number)
    }
    this.sum += other.sum
    this.count += other.count
  }

  /** The mean of all values; 0 if there are none. */
  get mean (): number {
    return this.count === 0 ? 0 : this.sum / this.count
  }

  /**
   * Estimates the value that a part of all values does not exceed, as Prometheus does: within a bucket values are taken to be spread
   * evenly. What lies above the last bound counts as that bound. 0 if there are no values.
   */
  quantile (part: number): number {
    const rank = part * this.count
    let below = 0
    for (let index = 0; index < this.bounds.length; index++) {
      const count = this.counts[index] as number
      const upper = this.bounds[index] as number
      if (count > 0 && below + count >= rank) {
        const lower = index === 0 ? Math.min(0, upper) : this.bounds[index - 1] as number
        return lower + (upper - lower) * (rank - below) / count
      }
      below += count
    }
    return this.count === 0 ? 0 : this.bounds.at(-1) as number
  }
}
