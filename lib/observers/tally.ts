/**
 * Tallies: the counts of a route, from which `stats()` and the metrics are read.
 *
 * Invariant: counting costs additions, and a lookup in maps where the outcome before was another one. Reasons and causes are closed sets of
 * names of this package, so that a tally is bounded.
 */
import type { CoalesceFigures, Outcome } from '../../types/index.js'
import type { Detail, Reason } from '../reasons.js'
import type { NothingShared } from '../warnings.js'
import { BUCKETS, Distribution, type Buckets } from './distribution.js'

/** How often requests had one outcome, reason and cause. */
export interface Count {
  readonly outcome: Outcome
  readonly reason: string
  readonly cause: string | undefined
  count: number
}

/** Watches what becomes of a route's requests, until it has seen enough. */
export interface Watch {
  settled (log: Warner, outcome: Outcome, reason: Reason, detail: Detail | undefined): void
  /** A leader with followers has landed. */
  landed (): void
  /** A request bypasses; `url` tells it from those that are not identical. Answers what to call once it has been answered, if anything. */
  bypassed (log: Warner, reason: Reason, detail: Detail | undefined, names: () => Iterable<string>, url: string): (() => void) | undefined
}

/** What is known of a route of which nothing was shared although requests overlapped. */
export interface Unshared {
  readonly name: NothingShared
  /** How many came while an identical one was being answered. */
  readonly overlapped: number
  /** Of headers or cookies, as they are shown. */
  readonly names: readonly string[]
}

/** The part of a log that is warned by. */
export interface Warner {
  warn (fields: object, message: string): void
}

/** What a tally is told of its route or function. */
export interface Counted {
  readonly buckets?: Buckets
  /** Its results are cached. */
  readonly caches?: boolean
  /** It was chosen by name, so that it is told of before its first request. */
  readonly chosen?: boolean
}

/** What is told of from the start, at 0: what ratios and alerts are made of. A count that is born at 1 is no increase. */
const STARTS: ReadonlyArray<readonly [Outcome, Reason]> = [
  ['leader', 'shared'], ['leader', 'failed'], ['leader', 'flight-timeout'], ['follower', 'shared'], ['follower', 'wait-timeout']
]
const CACHED_STARTS: ReadonlyArray<readonly [Outcome, Reason]> = [
  ['hit', 'fresh'], ['stale', 'stale-while-revalidate'], ['stale', 'stale-if-error']
]

export class Tally {
  readonly method: string
  readonly route: string
  /** Requests that arrived. */
  requests = 0
  /** Runs of the handler that started. */
  runs = 0
  /** Requests that waited for another one's run and were answered with it. */
  deduplicated = 0
  /** By outcome, then by reason and cause. */
  readonly outcomes = new Map<Outcome, Map<string, Count>>()
  /** Shared streams that ended before their end, by reason. */
  readonly cuts = new Map<string, number>()
  /** Cache lookups that found nothing to serve, by reason. */
  readonly misses = new Map<string, number>()
  /** Runs of other processes that came to nothing while some waited here, by reason. */
  readonly lostPeers = new Map<string, number>()
  /** Background refreshes, by result. */
  readonly refreshes = new Map<string, number>()
  readonly buckets: Buckets
  readonly waits: Distribution
  /** How long leaders ran, in seconds. */
  readonly runTimes: Distribution
  readonly followers: Distribution
  /** How long the runs took that were not made, because another one's result was there, in milliseconds. */
  saved = 0
  readonly #chosen: boolean
  /** What was counted last: most of what comes is like what came before. */
  #last: Count = { outcome: 'leader', reason: '', cause: undefined, count: 0 }

  /** Watches the route until something of it was shared. */
  watch: Watch | undefined
  /** What that has found. */
  unshared: Unshared | undefined
  /** Is told why a request was served as it was, unless it was shared. */
  alarm: ((reason: Reason) => void) | undefined

  constructor (method: string, route: string, { buckets = BUCKETS, caches = false, chosen = false }: Counted = {}) {
    this.method = method
    this.route = route
    this.buckets = buckets
    this.waits = new Distribution(buckets.wait)
    this.runTimes = new Distribution(buckets.handler)
    this.followers = new Distribution(buckets.followers)
    this.#chosen = chosen
    for (const [outcome, reason] of STARTS) this.count(outcome, reason, 0)
    if (!caches) return
    for (const [outcome, reason] of CACHED_STARTS) this.count(outcome, reason, 0)
    for (const reason of ['none', 'expired']) this.miss(reason, 0)
    for (const result of ['refreshed', 'failed']) this.refresh(result, 0)
  }

  /** Whether somebody wants to know of it. */
  get isTold (): boolean {
    return this.#chosen || this.requests > 0
  }

  /** A cached result, or another process's, was served: it saves as much as a run takes on average. */
  saveMean (): void {
    this.saved += this.runTimes.mean * 1000
  }

  /** @param cause more of a reason that has causes */
  count (outcome: Outcome, reason: string, times = 1, cause?: string): void {
    const last = this.#last
    const isSame = last.reason === reason && last.outcome === outcome && last.cause === cause
    const count = isSame ? last : this.#last = this.#countOf(outcome, reason, cause)
    count.count += times
  }

  #countOf (outcome: Outcome, reason: string, cause: string | undefined): Count {
    let counts = this.outcomes.get(outcome)
    if (counts === undefined) this.outcomes.set(outcome, counts = new Map())
    // Neither has a space.
    const name = cause === undefined ? reason : `${reason} ${cause}`
    let count = counts.get(name)
    if (count === undefined) counts.set(name, count = { outcome, reason, cause, count: 0 })
    return count
  }

  /** All counts of outcomes, of one after the other; without a cause where a reason has none. */
  * counts (): Iterable<Readonly<Count>> {
    for (const counts of this.outcomes.values()) yield * counts.values()
  }

  cut (reason: string, times = 1): void {
    increase(this.cuts, reason, times)
  }

  miss (reason: string, times = 1): void {
    increase(this.misses, reason, times)
  }

  losePeer (reason: string, times = 1): void {
    increase(this.lostPeers, reason, times)
  }

  refresh (result: string, times = 1): void {
    increase(this.refreshes, result, times)
  }

  add (other: Tally): void {
    this.requests += other.requests
    this.runs += other.runs
    this.deduplicated += other.deduplicated
    for (const { outcome, reason, count, cause } of other.counts()) this.count(outcome, reason, count, cause)
    for (const [reason, times] of other.cuts) this.cut(reason, times)
    for (const [reason, times] of other.misses) this.miss(reason, times)
    for (const [reason, times] of other.lostPeers) this.losePeer(reason, times)
    for (const [result, times] of other.refreshes) this.refresh(result, times)
    this.waits.add(other.waits)
    this.runTimes.add(other.runTimes)
    this.followers.add(other.followers)
    this.saved += other.saved
  }

  figures (): CoalesceFigures {
    return totalOf([this])
  }
}

/** The figures of some tallies together. */
export function totalOf (tallies: Iterable<Tally>): CoalesceFigures {
  let totalRequests = 0
  let deduplicatedRequests = 0
  let cacheHits = 0
  let actualExecutions = 0
  for (const tally of tallies) {
    totalRequests += tally.requests
    deduplicatedRequests += tally.deduplicated
    cacheHits += sum(tally.outcomes.get('hit')) + sum(tally.outcomes.get('stale'))
    actualExecutions += tally.runs
  }
  const deduplicationRate = totalRequests === 0 ? 0 : deduplicatedRequests / totalRequests
  return { totalRequests, deduplicatedRequests, cacheHits, actualExecutions, deduplicationRate }
}

export function increase (counts: Map<string, number>, name: string, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by)
}

function sum (counts: ReadonlyMap<string, Count> = new Map()): number {
  let total = 0
  for (const { count } of counts.values()) total += count
  return total
}
