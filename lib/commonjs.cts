/**
 * The front door for `require`: the plugin itself, with every named export as a property.
 *
 * Invariant: nothing is loaded twice. It hands on what lib/index.ts exports, and names its types; test/package.test.ts compares them.
 */
import type { RouteGenericInterface } from 'fastify'
import type * as front from './index.js' with { 'resolution-mode': 'import' }

const exported = require('./index.js') as typeof front

const fastifyCoalesce: typeof front.default & typeof front = Object.assign(exported.default, exported)

declare namespace fastifyCoalesce {
  export type AbstractCache = front.AbstractCache
  export type AbstractCacheStoreOptions = front.AbstractCacheStoreOptions
  export type Advice = front.Advice
  export type BatchAnswer<Key = unknown> = front.BatchAnswer<Key>
  export type BatchCall = front.BatchCall
  export type Batched = front.Batched
  export type BatchedFunction<Arguments extends readonly unknown[] = readonly unknown[], Result = unknown> = front.BatchedFunction<Arguments, Result>
  export type BatchedOptions<
    Arguments extends readonly unknown[] = readonly unknown[], Key extends front.BatchKeyPart = front.BatchKeyPart, Result = unknown
  > = front.BatchedOptions<Arguments, Key, Result>
  export type BatchFigures = front.BatchFigures
  export type BatchKeyPart = front.BatchKeyPart
  export type BatchResult<Answer> = front.BatchResult<Answer>
  export type BreakerFigures = front.BreakerFigures
  export type BreakerOptions<By extends readonly unknown[] = readonly unknown[]> = front.BreakerOptions<By>
  export type BreakerState = front.BreakerState
  export type CacheControlOptions = front.CacheControlOptions
  export type CircuitBreaker = front.CircuitBreaker
  export type Clock = front.Clock
  export type Coalesce = front.Coalesce
  export type CoalesceFigures = front.CoalesceFigures
  export type CoalesceOptions = front.CoalesceOptions
  export type CoalesceRouteOptions<RouteGeneric extends RouteGenericInterface = RouteGenericInterface> = front.CoalesceRouteOptions<RouteGeneric>
  export type CoalesceStats = front.CoalesceStats
  export type ComparedResponse = front.ComparedResponse
  export type CookiesOption = front.CookiesOption
  export type Coordination = front.Coordination
  export type CoordinationFigures = front.CoordinationFigures
  export type CoordinationLease = front.CoordinationLease
  export type CoordinationLog = front.CoordinationLog
  export type CoordinationMember = front.CoordinationMember
  export type Coordinator = front.Coordinator
  export type DashboardOptions = front.DashboardOptions
  export type Deduplicate = front.Deduplicate
  export type Deduplicated<Function extends (...args: never[]) => Promise<unknown>> = front.Deduplicated<Function>
  export type DeduplicateOptions<Arguments extends readonly unknown[] = readonly unknown[], Result = unknown> =
    front.DeduplicateOptions<Arguments, Result>
  export type Difference = front.Difference
  export type DifferenceCause = front.DifferenceCause
  export type Duration = front.Duration
  export type Durations = front.Durations
  export type Entry<Value = unknown> = front.Entry<Value>
  export type ExplainedEntry = front.ExplainedEntry
  export type ExplainedName = front.ExplainedName
  export type ExplainedOutside = front.ExplainedOutside
  export type ExplainedPart = front.ExplainedPart
  export type ExplainedStep = front.ExplainedStep
  export type ExplainOptions = front.ExplainOptions
  export type Explanation = front.Explanation
  export type InertPart = front.InertPart
  export type Joined = front.Joined
  export type Joining = front.Joining
  export type KeptEntry = front.KeptEntry
  export type KeptResponseFacts = front.KeptResponseFacts
  export type LiveMessage = front.LiveMessage
  export type LostReason = front.LostReason
  export type MemoryStore = front.MemoryStore
  export type MemoryStoreOptions = front.MemoryStoreOptions
  export type MetricsOptions = front.MetricsOptions
  export type ObserveOptions = front.ObserveOptions
  export type OpenStore = front.OpenStore
  export type Outcome = front.Outcome
  export type PairFigures = front.PairFigures
  export type ParkingFigures = front.ParkingFigures
  export type Purge = front.Purge
  export type QueryOption = front.QueryOption
  export type QueueFigures = front.QueueFigures
  export type QueueOptions = front.QueueOptions
  export type ReasonFigures = front.ReasonFigures
  export type Relay = front.Relay
  export type RemoteRun = front.RemoteRun
  export type RemoteRunListener = front.RemoteRunListener
  export type ReplyCoalesce = front.ReplyCoalesce
  export type Report = front.Report
  export type RequestCoalesce = front.RequestCoalesce
  export type ResultCodec<Result = unknown, Encoded extends string | Uint8Array = string | Uint8Array> = front.ResultCodec<Result, Encoded>
  export type RouteFigures = front.RouteFigures
  export type RouteReport = front.RouteReport
  export type RouteSelector = front.RouteSelector
  export type RunQueue = front.RunQueue
  export type RunResult = front.RunResult
  export type SharedZlib = front.SharedZlib
  export type ShedReason = front.ShedReason
  export type SimulatedTtl = front.SimulatedTtl
  export type Store = front.Store
  export type StoreFigures = front.StoreFigures
  export type StoreUser = front.StoreUser
  export type VariesOn = front.VariesOn
  export type Verdict = front.Verdict
  export type WouldFigures = front.WouldFigures
}

export = fastifyCoalesce
