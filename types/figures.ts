/**
 * For readers of statistics: what `fastify.coalesce.stats()` counts.
 */

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

/** The figures of one route. */
export interface RouteFigures extends CoalesceFigures {
  /** The HTTP method or methods; `'FUNCTION'` for a deduplicated function. */
  readonly method: string
  /** The route's pattern; the name of a deduplicated function. */
  readonly route: string
}

/** The figures of a registration. */
export interface CoalesceStats extends CoalesceFigures {
  readonly routes: readonly RouteFigures[]
}
