/**
 * What the live page is told: the contract between the server and the page in the browser.
 *
 * Invariant: plain JSON, bounded, with route patterns and names from closed sets; ids, keys and values only where `reveal` allows them.
 * Times are milliseconds.
 */
import type { Advice, BreakerFigures, CoordinationFigures, QueueFigures, RouteFigures, RouteReport, StoreFigures } from '../../types/index.js'

/**
 * The page is at its path, with and without a slash at the end, and the rest below that: `page.js`, `page.css`, `state` (`?since=<at>` leaves out
 * the samples up to then), and by POST with JSON `explain` and `actions`. The page asks by relative URLs only, and its script by such that are
 * relative to the script's own, as in `new URL('state', import.meta.url)`: nobody knows what a proxy makes of the path.
 *
 * What is posted has this header, with any value, which no form and no other site can send. An answer that is no success is
 * `{ statusCode, code, error, message }`.
 */
export const PAGE_HEADER = 'x-coalesce-page'

/** The order of the counts in a sample. */
export const SERIES = Object.freeze(['follower', 'hit', 'stale', 'peer', 'leader', 'bypass', 'alone', 'shed'] as const)

/** Counts of requests by outcome, in the order of `SERIES`, so far. */
export type Counts = readonly number[]

export interface PageRoute extends Omit<RouteFigures, 'reasons' | 'variesOn'> {
  readonly state: 'shares' | 'observes' | 'verifies' | 'off'
  readonly counts: Counts
  /** The most frequent first; at most 12. */
  readonly reasons: RouteFigures['reasons']
  readonly variesOn: RouteFigures['variesOn']
  /** What observe mode found, where it is on. */
  readonly observed?: Pick<RouteReport, 'verdict' | 'pairs' | 'requests' | 'differences' | 'inert' | 'ttls' | 'skipped' | 'would'>
}

/** All outcomes so far, and those who wait. */
export interface PageSample {
  readonly at: number
  readonly counts: Counts
  readonly runs: number
  readonly waiters: number
}

export interface PageFlight {
  readonly method: string
  readonly route: string
  /** How long it has been in the air. */
  readonly age: number
  readonly waiters: number
  /** Whether its run is under way, waits for a slot, or is another process's. */
  readonly phase: 'prepares' | 'runs' | 'queued' | 'elsewhere' | 'streams'
  readonly leaderId?: string
  readonly key?: string
}

export interface PageKept {
  /** Absent if the store cannot tell. */
  readonly entries?: number
  readonly bytes?: number
  readonly maxBytes?: number
  /** The most recently used first; at most 20. */
  readonly list: ReadonlyArray<{
    readonly route: string
    readonly status: number
    readonly bytes: number
    readonly age: number
    readonly fresh: number
    /** Empty unless keys are revealed: they are made of what an app likes. */
    readonly tags: readonly string[]
    readonly key?: string
  }>
}

/** The answer to the page's poll, once a second while it can be seen. */
export interface PageState {
  readonly version: 1
  /** Which process answers: host name and process id. */
  readonly instance: string
  /** When the process began and when this was made, since 1970. */
  readonly startedAt: number
  readonly at: number
  /** `'off'`: coalescing is disabled for all routes. */
  readonly mode: 'share' | 'observe' | 'off'
  readonly actions: boolean
  readonly reveal: readonly string[]
  readonly totals: {
    readonly counts: Counts
    readonly runs: number
    /** Handler time that was saved so far. */
    readonly saved: number
    /** How long followers wait; absent before the first. */
    readonly p99?: number
    /** Flights in the air, those that wait on them, and bytes of streams that are held. */
    readonly flights: number
    readonly waiters: number
    readonly bytes: number
  }
  /** The caps of `maxFlights`, `maxWaiters` and `maxRecordedBytes`. */
  readonly limits: { readonly flights: number, readonly waiters: number, readonly bytes: number }
  /** Every so many milliseconds one sample of all outcomes so far and of those who wait; the oldest first, five minutes at most. */
  readonly history: { readonly every: number, readonly samples: readonly PageSample[] }
  /** Of more than 40 that are busy, reasons and times may be those of some looks before. */
  readonly routes: readonly PageRoute[]
  /** Those with the most waiters first; at most 20. */
  readonly flights: readonly PageFlight[]
  readonly kept: PageKept
  readonly queues: readonly QueueFigures[]
  readonly breakers: readonly BreakerFigures[]
  readonly coordinators: readonly CoordinationFigures[]
  readonly stores: readonly StoreFigures[]
  /** At most 100, the most urgent of each registration first; a few seconds old. */
  readonly advice: readonly Advice[]
}

/** What `POST …/explain` takes, as JSON; the answer is an `Explanation`. */
export interface PageQuestion {
  readonly method?: string
  /** A path, with or without a query. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** What `POST …/actions` takes, as JSON; the answer is `{ done: true }`. */
export type PageAction =
  | { readonly action: 'disable' | 'enable', readonly route?: { readonly url: string, readonly method: string } }
  | { readonly action: 'purge', readonly purge: { readonly tags?: readonly string[], readonly route?: string, readonly url?: string, readonly soft?: boolean } }
  | { readonly action: 'open' | 'close', readonly breaker: string }
