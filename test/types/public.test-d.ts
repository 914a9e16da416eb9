/**
 * Errors, and what must be nowhere in the public types.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Registry } from 'prom-client'
import { expectAssignable, expectError, expectType } from 'tsd'
import type {
  BatchCall, BatchedOptions, Clock, Coalesce, CoalesceFigures, CoalesceOptions, CoalesceRouteOptions, CoalesceStats, DeduplicateOptions,
  Duration, MetricsOptions, Outcome, ParkingFigures, QueryOption, ReasonFigures, RequestCoalesce, RouteFigures, RouteSelector,
  VariesOn
} from '../../dist/lib/index.js'
import * as front from '../../dist/lib/index.js'

const { errors } = front

// The front door has these names and no others.
expectType<'default' | 'fastifyCoalesce' | 'batched' | 'deduplicate' | 'deduplicated' | 'sharedZlib' | 'errors' |
  'memoryStore' | 'nullStore' | 'abstractCacheStore' | 'ANALYTICS_COOKIES' | 'defineCoalesce' | 'runQueue' | 'circuitBreaker'>({} as keyof typeof front)
expectType<
  'InvalidOptionError' | 'AlreadyRegisteredError' | 'UnheardRouteError' | 'UnknownRouteError' | 'WaitTimeoutError' | 'NobodyWaitsError' |
  'FlightTimeoutError' | 'MetricTakenError' | 'FellBehindError' | 'OtherVariantError' | 'WrongLengthError' |
  'NotListableError' | 'NotKeptError' | 'RefreshError' | 'NotExplainableError' | 'RedisUnusableError' |
  'BatchResultError' |
  'QueueFullError' | 'QueueTimeoutError' | 'BreakerOpenError' |
  'UnsafeError' | 'UnguardedPageError' | 'PageRefusedError' | 'UnknownBreakerError'
>({} as keyof typeof errors)

// Errors are errors, made with what their messages need.
const wrong = new errors.InvalidOptionError('query', 'true', 'false')
expectAssignable<Error>(wrong)
expectAssignable<string>(wrong.code)
expectType<number | undefined>(wrong.statusCode)
expectAssignable<Error>(new errors.AlreadyRegisteredError())
expectAssignable<Error>(new errors.UnknownRouteError('GET /'))
expectAssignable<Error>(new errors.WaitTimeoutError(1))
expectAssignable<Error>(new errors.NobodyWaitsError())
expectAssignable<Error>(new errors.FlightTimeoutError(1))
expectAssignable<Error>(new errors.MetricTakenError('http'))
expectError(new errors.InvalidOptionError('query'))
expectError(new errors.WaitTimeoutError('1s'))

type IsAny<T> = 0 extends (1 & T) ? true : false

/** The paths at which a type has an `any`: members, arguments and results, so many levels down. */
type Anys<T, Depth extends readonly unknown[] = [1, 1, 1, 1], Path extends string = ''> =
  IsAny<T> extends true ? (Path extends '' ? '(itself)' : Path)
    : Depth extends readonly [unknown, ...infer Deeper]
      ? T extends Foreign ? never
        : T extends (...args: infer A) => infer R
          ? Anys<R, Deeper, `${Path}()`> | { [I in keyof A]-?: Anys<A[I], Deeper, `${Path}(${I & string})`> }[number]
          : T extends readonly (infer Member)[] ? Anys<Member, Deeper, `${Path}[]`>
            : T extends object ? { [K in keyof T & string]-?: Anys<T[K], Deeper, `${Path}.${K}`> }[keyof T & string] : never
      : never

/** Other packages' types are theirs to keep free of it. */
type Foreign = FastifyRequest | FastifyReply | Registry | AbortSignal

// The search finds one where there is one.
expectType<'.a[]'>({} as Anys<{ a: any[] }>)
expectType<'(itself)'>({} as Anys<any>)
expectType<'.b()' | '.b(0)'>({} as Anys<{ b: (x: any) => any }>)

// No public type has one.
declare const found: {
  Clock: Anys<Clock>
  Coalesce: Anys<Omit<Coalesce, 'batched' | 'deduplicate'>>
  CoalesceFigures: Anys<CoalesceFigures>
  CoalesceOptions: Anys<Omit<CoalesceOptions, 'metrics'>>
  CoalesceRouteOptions: Anys<CoalesceRouteOptions>
  CoalesceStats: Anys<CoalesceStats>
  DeduplicateOptions: Anys<DeduplicateOptions>
  Duration: Anys<Duration>
  MetricsOptions: Anys<Omit<MetricsOptions, 'routeOptions'>>
  Outcome: Anys<Outcome>
  ParkingFigures: Anys<ParkingFigures>
  QueryOption: Anys<QueryOption>
  ReasonFigures: Anys<ReasonFigures>
  RequestCoalesce: Anys<RequestCoalesce>
  RouteFigures: Anys<RouteFigures>
  RouteSelector: Anys<RouteSelector>
  VariesOn: Anys<VariesOn>
  BatchCall: Anys<BatchCall>
  BatchedOptions: Anys<BatchedOptions>
  batched: Anys<typeof front.batched<[string], string, number[]>>
  deduplicate: Anys<typeof front.deduplicate<(word: string) => Promise<number>>>
  deduplicated: Anys<typeof front.deduplicated<[string], number>>
  InvalidOptionError: Anys<ConstructorParameters<typeof errors.InvalidOptionError>>
}
expectType<never>(found[{} as keyof typeof found])
