/**
 * For users of protection: how many runs may be under way, which of them come first, and when none may begin because what is behind
 * them is down.
 */
import type { Clock, Duration } from './values.js'

/** Options of a run queue. */
export interface QueueOptions {
  /** The most runs under way at a time. */
  maxRuns: number
  /**
   * The most runs that wait for a slot. One more evicts the youngest of the least urgent, if it is more urgent itself; else it is refused.
   * @default 1000
   */
  maxQueued?: number
  /**
   * How long a run waits for a slot. After that it is refused.
   * @default '5s'
   */
  queueTimeout?: Duration
  /**
   * The names of the levels of urgency, the most urgent first: 1 to 8, each of at most 64 characters. Who has no `priority` has the middle one.
   * @default ['high', 'normal', 'low']
   */
  levels?: readonly string[]
  /**
   * How much longer a run of one level waits than one of the next more urgent level, so that nobody waits for ever. `false`: the more
   * urgent level always comes first.
   * @default '1s'
   */
  aging?: Duration | false
  /**
   * Its name in metrics, logs and `stats()`, at most 128 characters; a registration gives none, because each of its routes has its own.
   * Default: the route's or function's; `queue-1` and so on for one that `runQueue` makes.
   */
  name?: string
  /** Time, for tests. Default: that of the registration; the system's for one that `runQueue` makes. */
  clock?: Clock
}

/** A run queue, which routes and functions can share. */
export interface RunQueue {
  readonly name: string
  /** The levels' names, the most urgent first. */
  readonly levels: readonly string[]
  /** How many runs are under way. */
  readonly running: number
  /** How many runs wait for a slot. */
  readonly waiting: number
  /** The most runs under way. Can be set; runs that are under way go on. */
  limit: number
  /** What was counted so far. */
  figures (): QueueFigures
}

/** What a run queue has counted. Durations are in milliseconds. */
export interface QueueFigures {
  readonly name: string
  readonly running: number
  readonly waiting: number
  readonly limit: number
  /** By level, the most urgent first. */
  readonly levels: ReadonlyArray<{
    readonly level: string
    readonly waiting: number
    /** Runs that got a slot. */
    readonly runs: number
    /** How long those had waited. */
    readonly waited: { readonly count: number, readonly sum: number, readonly buckets: ReadonlyArray<readonly [le: number, count: number]> }
    /** Runs that were refused. */
    readonly shed: { readonly full: number, readonly timeout: number, readonly evicted: number }
  }>
  /** How often a run became more urgent while it waited, because somebody more urgent came to wait for it. */
  readonly raised: number
  /** The mean of the last runs' durations; 0 before the first. */
  readonly meanRun: number
}

/**
 * Why a run is refused. `'queue-full'`: too many wait for a slot. `'queue-timeout'`: it has waited for a slot for `queueTimeout`. `'evicted'`:
 * somebody more urgent has its place in the full queue. `'breaker-open'`: what is behind it is taken to be down. `'breaker-probing'`: another
 * run tries whether it still is.
 */
export type ShedReason = 'queue-full' | 'queue-timeout' | 'evicted' | 'breaker-open' | 'breaker-probing'

/** How a run ended, for `isFailure`. */
export interface RunResult {
  /** The status that a handler answered with. */
  readonly status?: number | undefined
  /** What the handler or function threw. */
  readonly error?: unknown
  /** How long it ran, in milliseconds. Of a response that is a stream: until that began. */
  readonly duration: number
}

/** Options of a circuit breaker. `By` is what `by` is called with: the request, or the arguments of a function. */
export interface BreakerOptions<By extends readonly unknown[] = readonly unknown[]> {
  /**
   * The part of failures, of the runs of the last `window`, at which it opens: above 0, and at most 1.
   * @default 0.5
   */
  threshold?: number
  /**
   * With fewer runs in `window` it does not open by `threshold`.
   * @default 10
   */
  minimumRuns?: number
  /**
   * How far back runs count.
   * @default '10s'
   */
  window?: Duration
  /**
   * It opens after so many failures one after the other as well. `false`: it does not.
   * @default false
   */
  consecutive?: number | false
  /**
   * How long it stays open. After each failed probe twice as long, up to `maxOpenFor`.
   * @default '5s'
   */
  openFor?: Duration
  /**
   * How long it stays open at most; not less than `openFor`.
   * @default '60s'
   */
  maxOpenFor?: Duration
  /**
   * How many runs one after the other must do well, while it is half open, for it to close.
   * @default 1
   */
  probes?: number
  /**
   * A run that takes longer has failed; a response that is a stream, if it takes longer to begin. `false`: however long.
   * @default false
   */
  slow?: Duration | false
  /** Tells apart what each has a breaker of its own, such as upstreams: at most 1,000 at a time. */
  by? (...by: By): string | number | bigint
  /**
   * Whether a run has failed; `undefined`: it tells nothing. Default: it threw, had a status from 500, or never came to an end. An error with a
   * `statusCode` from 400 to 499 is none.
   */
  isFailure?: (run: RunResult) => boolean | undefined
  /** As for a queue. Default: the route's or function's; `breaker-1` and so on for one that `circuitBreaker` makes. */
  name?: string
  /** Time, for tests. Default: that of the registration; the system's for one that `circuitBreaker` makes. */
  clock?: Clock
}

/** `half-open`: one run at a time may try whether it can be closed. */
export type BreakerState = 'closed' | 'open' | 'half-open'

/** A circuit breaker, which routes and functions can share. */
export interface CircuitBreaker {
  readonly name: string
  /** With `by`: the worst of all. */
  readonly state: BreakerState
  /** Opens it, until `close` is called. */
  open (): void
  /** Closes it, and forgets what it has counted. */
  close (): void
  /** What was counted so far. */
  figures (): BreakerFigures
}

/** What a circuit breaker has counted. */
export interface BreakerFigures {
  readonly name: string
  readonly state: BreakerState
  /** In how many milliseconds the next run may try; 0 if one may now. With `by`: the longest. */
  readonly retryAfter: number
  /** How many of `by` are in each state. Without `by` there is one. */
  readonly states: Readonly<Record<BreakerState, number>>
  readonly transitions: Readonly<Record<BreakerState, number>>
  readonly runs: { readonly good: number, readonly failed: number, readonly neutral: number }
  readonly shed: { readonly open: number, readonly probing: number }
}

/** What was counted of a batched function. Durations are in milliseconds. */
export interface BatchFigures {
  readonly name: string
  /** Calls of the function, each with the keys of a batch. */
  readonly batches: number
  readonly keys: BatchFigures['durations']
  readonly durations: {
    readonly count: number, readonly sum: number, readonly buckets: ReadonlyArray<readonly [le: number, count: number]>
  }
  /** `batch`: the whole call failed. `key`: a key had an error of its own. `result`: what the function answered was no result of a batch. */
  readonly failures: { readonly batch: number, readonly key: number, readonly result: number }
}
