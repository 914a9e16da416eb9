/**
 * The contract: what a user writes, reads and may implement, one file for each reader. The only module augmentation is here.
 */
import type { Coalesce, ReplyCoalesce, RequestCoalesce } from './decorators.js'
import type { CoalesceRouteOptions } from './route-options.js'

export type { Coalesce, KeptEntry, Purge, ReplyCoalesce, RequestCoalesce, RouteSelector } from './decorators.js'
export type { CoalesceFigures, CoalesceStats, ParkingFigures, ReasonFigures, RouteFigures, VariesOn } from './figures.js'
export type {
  ExplainedEntry, ExplainedName, ExplainedOutside, ExplainedPart, ExplainedStep, ExplainOptions, Explanation
} from './explanation.js'
export type {
  Coordination, CoordinationFigures, CoordinationLease, CoordinationLog, CoordinationMember, Coordinator, Durations, Joined, Joining,
  LiveMessage, LostReason, Relay, RemoteRun, RemoteRunListener
} from './coordination.js'
export type {
  BatchAnswer, BatchCall, Batched, BatchedFunction, BatchedOptions, BatchKeyPart, BatchResult, Deduplicate, Deduplicated,
  DeduplicateOptions, ResultCodec
} from './functions.js'
export type {
  BatchFigures, BreakerFigures, BreakerOptions, BreakerState, CircuitBreaker, QueueFigures, QueueOptions, RunQueue, RunResult,
  ShedReason
} from './protection.js'
export type { CacheControlOptions, CoalesceOptions, MetricsOptions } from './options.js'
export type { Outcome } from './outcome.js'
export type { ComparedResponse, ObserveOptions } from './observe.js'
export type { DashboardOptions } from './dashboard.js'
export type {
  Advice, Difference, DifferenceCause, InertPart, PairFigures, Report, RouteReport, SimulatedTtl, Verdict, WouldFigures
} from './report.js'
export type { CoalesceRouteOptions, CookiesOption, KeptResponseFacts, QueryOption } from './route-options.js'
export type { Entry, OpenStore, Store, StoreFigures, StoreUser } from './store.js'
export type { Clock, Duration } from './values.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Request coalescing: on with the registration's defaults, off, or on with these options. */
    coalesce?: boolean | CoalesceRouteOptions
  }
  interface FastifyInstance {
    /** Request coalescing: figures, functions, the switch. */
    coalesce: Coalesce
  }
  interface FastifyReply {
    /** Says more about the response. On routes that are not coalesced it does nothing. */
    readonly coalesce: ReplyCoalesce
  }
  interface FastifyRequest {
    /** How this request is coalesced; `undefined` on routes that are not, and until a client's request has boarded. */
    readonly coalesce: RequestCoalesce | undefined
  }
}
