/**
 * For readers of statistics: what `fastify.coalesce.stats()` counts.
 */

import type { CoordinationFigures } from './coordination.js'
import type { Outcome } from './outcome.js'
import type { BatchFigures, BreakerFigures, QueueFigures } from './protection.js'
import type { StoreFigures } from './store.js'

/** The five figures. */
export interface CoalesceFigures {
  /** Requests, or calls, that arrived. */
  readonly totalRequests: number
  /** Those that waited for another one's run and were answered with it. Does not count cache hits. */
  readonly deduplicatedRequests: number
  /** Those that were answered from the cache, fresh or stale. */
  readonly cacheHits: number
  /** Runs of the handler, or of the function. Counts background refreshes, which are no requests. */
  readonly actualExecutions: number
  /** `deduplicatedRequests / totalRequests`; 0 before the first request. */
  readonly deduplicationRate: number
}

/** How many requests, or calls, were served like this. */
export interface ReasonFigures {
  readonly outcome: Outcome
  readonly reason: string
  /** More of the reason, where it has that: which credentials, why the last response was not shared, what runs split by. */
  readonly cause?: string
  readonly count: number
}

/** What tells responses of one key apart. */
export interface VariesOn {
  /** A request header; `'ip'` for the client's address; a parameter of the query, with `?` before it. At most 64 characters. */
  readonly name: string
  /**
   * Where that was seen first: a hook before the handler or the handler read it, `request.coalesce.varyOn` or the response's `Vary` names it, or
   * it was known of an earlier response: one of the cache, or one that could not be shared.
   */
  readonly learnedFrom: 'hook' | 'handler' | 'varyOn' | 'vary' | 'earlier'
}

/** Where the requests of a route wait. */
export interface ParkingFigures {
  readonly at: 'onRequest' | 'preHandler'
  readonly why: string
  /** The hooks and checks that followers do not pass because of that. */
  readonly skips: readonly string[]
}

/** The figures of one route. Durations are in milliseconds; percentiles are estimated from the buckets of the metrics. */
export interface RouteFigures extends CoalesceFigures {
  /** The HTTP method or methods; `'FUNCTION'` for a deduplicated function. */
  readonly method: string
  /** The route's pattern; the name of a deduplicated function. */
  readonly route: string
  /** The most frequent first. */
  readonly reasons: readonly ReasonFigures[]
  /** What responses were seen to depend on besides the key. At most 64 names. */
  readonly variesOn: readonly VariesOn[]
  /** Absent for a function. */
  readonly parking?: ParkingFigures
  /** How long followers waited. Absent before the first. */
  readonly waits?: { readonly count: number, readonly p50: number, readonly p90: number, readonly p99: number }
  /** How long runs took that others could share, until their result was there. Absent before the first. */
  readonly handlerTime?: { readonly count: number, readonly mean: number, readonly p50: number, readonly p99: number }
  /**
   * How long the runs took that were not made: for each follower the run that it was answered with, for each request answered from the
   * cache the mean run so far.
   */
  readonly handlerTimeSaved: number
}

/** The figures of a registration. */
export interface CoalesceStats extends CoalesceFigures {
  /** Of all routes, in milliseconds. */
  readonly handlerTimeSaved: number
  readonly routes: readonly RouteFigures[]
  /** What was counted of the coordinators that processes meet at, one for each connection. Absent if there is none. */
  readonly coordinators?: readonly CoordinationFigures[]
  /** What was counted of the stores that processes share. Absent if there is none. */
  readonly sharedStores?: readonly StoreFigures[]
  /** What was counted of the run queues of routes and functions, one that several share once. Absent if there is none. */
  readonly queues?: readonly QueueFigures[]
  /** What was counted of the circuit breakers of routes and functions, one that several share once. Absent if there is none. */
  readonly breakers?: readonly BreakerFigures[]
  /** What was counted of batched functions. Absent if there is none. */
  readonly batches?: readonly BatchFigures[]
}
