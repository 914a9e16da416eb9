/**
 * Tallies: the counts of a route, from which `stats()` and the metrics are read.
 *
 * Invariant: counting costs additions and one lookup in a map. Reasons are a closed set of names of this package, so that a tally is
 * bounded.
 */
import type { CoalesceFigures, Outcome } from '../../types/index.js'

/** Upper bounds of the wait histogram, in seconds. */
export const WAIT_BUCKETS: readonly number[] = Object.freeze([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30])
/** Upper bounds of the histogram of followers per flight. */
export const FOLLOWER_BUCKETS: readonly number[] = Object.freeze([0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000])

/** How many values lie up to each bound and above the one before it; not cumulated. */
export class Distribution {
  readonly bounds: readonly number[]
  /** One more than there are bounds: the last counts the values above them. */
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
}

export class Tally {
  readonly method: string
  readonly route: string
  /** Requests that arrived. */
  requests = 0
  /** Runs of the handler that started. */
  runs = 0
  /** Requests that waited for another one's run and were answered with it. */
  deduplicated = 0
  readonly outcomes = new Map<Outcome, Map<string, number>>()
  /** Shared streams that ended before their end, by reason. */
  readonly cuts = new Map<string, number>()
  /** Cache lookups that found nothing to serve, by reason. */
  readonly misses = new Map<string, number>()
  /** Background refreshes, by result. */
  readonly refreshes = new Map<string, number>()
  readonly waits = new Distribution(WAIT_BUCKETS)
  readonly followers = new Distribution(FOLLOWER_BUCKETS)

  constructor (method: string, route: string) {
    this.method = method
    this.route = route
  }

  /** @param reason with a cause after a space, where it has one */
  count (outcome: Outcome, reason: string, times = 1): void {
    let reasons = this.outcomes.get(outcome)
    if (reasons === undefined) this.outcomes.set(outcome, reasons = new Map())
    increase(reasons, reason, times)
  }

  /** All counts of outcomes; the cause is '' where a reason has none. */
  * counts (): Iterable<{ readonly outcome: Outcome, readonly reason: string, readonly cause: string, readonly count: number }> {
    for (const [outcome, reasons] of this.outcomes) {
      for (const [text, count] of reasons) {
        const [reason, cause = ''] = text.split(' ') as [string, string?]
        yield { outcome, reason, cause, count }
      }
    }
  }

  cut (reason: string, times = 1): void {
    increase(this.cuts, reason, times)
  }

  miss (reason: string, times = 1): void {
    increase(this.misses, reason, times)
  }

  refresh (result: string, times = 1): void {
    increase(this.refreshes, result, times)
  }

  add (other: Tally): void {
    this.requests += other.requests
    this.runs += other.runs
    this.deduplicated += other.deduplicated
    for (const [outcome, reasons] of other.outcomes) {
      for (const [reason, times] of reasons) this.count(outcome, reason, times)
    }
    for (const [reason, times] of other.cuts) this.cut(reason, times)
    for (const [reason, times] of other.misses) this.miss(reason, times)
    for (const [result, times] of other.refreshes) this.refresh(result, times)
    this.waits.add(other.waits)
    this.followers.add(other.followers)
  }

  figures (): CoalesceFigures {
    return {
      totalRequests: this.requests,
      deduplicatedRequests: this.deduplicated,
      cacheHits: sum(this.outcomes.get('hit')) + sum(this.outcomes.get('stale')),
      actualExecutions: this.runs,
      deduplicationRate: this.requests === 0 ? 0 : this.deduplicated / this.requests
    }
  }
}

export function increase (counts: Map<string, number>, name: string, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by)
}

function sum (counts: ReadonlyMap<string, number> = new Map()): number {
  let total = 0
  for (const times of counts.values()) total += times
  return total
}
