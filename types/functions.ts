/**
 * For users of deduplicated functions: their options, and what they become.
 */
import type { Coordinator } from './coordination.js'
import type { BreakerOptions, CircuitBreaker, QueueOptions, RunQueue, ShedReason } from './protection.js'
import type { Store } from './store.js'
import type { Duration, KeyPart } from './values.js'

/** How results travel between processes: as texts, or as bytes. */
export interface ResultCodec<Result = unknown, Encoded extends string | Uint8Array = string | Uint8Array> {
  /** A text or bytes for a result. If it throws, the result is not given to other processes. */
  encode (result: Result): Encoded
  /** The result, given what `encode` returned in another process (bytes come as a Buffer). If it throws, the function runs. */
  decode (encoded: NoInfer<Encoded>): Result
}

/** Options of a deduplicated function. */
export interface DeduplicateOptions<
  Arguments extends readonly unknown[] = readonly unknown[], Result = unknown, Encoded extends string | Uint8Array = string | Uint8Array
> {
  /**
   * The key of a call: calls with the same key are identical. A primitive value, or an array of them, compared without type
   * coercion (`1` and `'1'` differ). A call runs for itself if this throws, or returns `null`, `''` or `[]`.
   */
  key: (...args: Arguments) => KeyPart | ReadonlyArray<KeyPart | null | undefined> | null
  /**
   * Names the function in stats, metrics and logs, and in the keys of its cached results. Required if results are cached in a
   * store that was given, here or at registration, or if a `coordinator` is given here; no other function that uses the same may have
   * the same name.
   * @default the function's own name
   */
  name?: string
  /**
   * How long a caller waits for another one's run.
   * @default '30s'
   */
  waitTimeout?: Duration
  /**
   * What a caller does after `waitTimeout`. `'run'`: it shares one more run with the other callers that timed out, and runs the
   * function for itself if that one takes as long again. `'error'`: it rejects with `FST_COALESCE_WAIT_TIMEOUT`.
   * @default 'run'
   */
  onWaitTimeout?: 'run' | 'error'
  /**
   * How long a run may take. After that one of the waiting callers runs the function again.
   * @default '60s'
   */
  flightTimeout?: Duration
  /**
   * What waiting callers do when the function rejects. `'share'`: they get the failure. `'promote'`: one of them runs the function
   * once more.
   * @default 'share'
   */
  onError?: 'share' | 'promote'
  /**
   * Copies a result: for each waiting caller, for each caller that is served from the cache, and for the store. Without it all
   * get the same object.
   * @default undefined
   */
  clone?: (result: Result) => Result
  /**
   * How long a result is cached and given to later callers without a run. A function is asked for each result; `undefined`,
   * `null` and 0 mean not at all. Errors, and results that the store cannot hold, are never cached.
   * @default nothing is cached
   */
  ttl?: Duration | ((result: Result, ...args: Arguments) => Duration | null | undefined)
  /**
   * How long after it was fresh a result is given to callers while the function runs once in the background, outside the
   * asynchronous context of any caller.
   * @default 0
   */
  staleWhileRevalidate?: Duration
  /**
   * How long after it was fresh a result is given to callers in the place of an error.
   * @default 0
   */
  staleIfError?: Duration
  /**
   * By how much `ttl` is shortened at most, at random, as a fraction from 0 to 1.
   * @default 0
   */
  ttlJitter?: number
  /**
   * The fraction of `ttl`, from 0 to 1, after which the function runs once in the background although the result is fresh.
   * @default false
   */
  eagerRefresh?: number | false
  /**
   * Where results are cached. Default: the registration's store; for functions without an app, a `memoryStore()` that they share.
   * Results of calls on an object (`this`) are found in it by this process only.
   */
  store?: Store
  /**
   * How long that store may take to answer. After that the function runs.
   * @default the registration's, '250ms' without an app
   */
  storeTimeout?: Duration
  /**
   * Tags by which results can be purged, with `fastify.coalesce.invalidate({ tags })` of the function's registration.
   * @default []
   */
  tags?: readonly string[] | ((result: Result, ...args: Arguments) => readonly string[])
  /**
   * What decides which of many processes runs the function, and hands over what that came to. `false`: each process runs it for itself.
   * Calls on an object (`this`) always run in their own process.
   * @default the registration's, for functions that have a `name`
   */
  coordinator?: Coordinator | false
  /**
   * How results travel between processes. Without it they travel as JSON, with Buffers as they are, and a result that this would
   * change (a Date, a Map, an instance of a class) is not given to other processes.
   * @default JSON
   */
  codec?: ResultCodec<Result, Encoded>
  /**
   * How many runs may be under way at a time, and which come first. With options the function has a queue of its own; what `runQueue` made
   * is shared by all that are given it. A run that finds no slot, or waits for one too long, is refused: its callers get a cached
   * result if there is one (also one that is not fresh any more, within `staleIfError`), else what `fallback` makes, else an error with
   * the status 503. A caller that waits for another one's run takes no slot.
   * @default false
   */
  queue?: QueueOptions | RunQueue | false
  /**
   * Refuses runs while what is behind the function is taken to be down, because the last ones failed; as for `queue`. With options the
   * function has a breaker of its own; what `circuitBreaker` made is shared by all that are given it.
   * @default false
   */
  breaker?: BreakerOptions<Arguments> | CircuitBreaker | false
  /**
   * How urgent a call is: a level of the queue, or a function that answers one; `undefined` is the middle level. A run is as urgent as the
   * most urgent of all who wait for it. If it throws, or answers what is no level, the call has the middle level, and a warning is logged.
   * Has an effect with `queue` only.
   * @default the middle level
   */
  priority?: string | ((...args: Arguments) => string | undefined)
  /**
   * Makes a result in the place of a run that was refused, for the reason given, where nothing that is cached stands in. It is called once for all
   * who waited for that run, but other processes do not get its result. That is not cached, and not counted as a run. Has an effect with
   * `queue` or `breaker` only.
   * @default callers get the error
   */
  fallback?: (reason: ShedReason, ...args: Arguments) => Result | Promise<Result>
}

/** A deduplicated function. */
export type Deduplicated<Function extends (...args: never[]) => Promise<unknown>> = Function & {
  /**
   * Purges what is cached for the key of these arguments. Runs of that key that are in the air are neither cached nor given to
   * later callers. `invalidate.call(object, …)` purges for calls on that object only; otherwise calls on any object are purged.
   *
   * @throws what the key function throws
   */
  invalidate: (...args: Parameters<Function>) => void
}

/** Makes a function of which one call runs, for any number of identical concurrent calls. */
export type Deduplicate = <Function extends (...args: never[]) => Promise<unknown>, Encoded extends string | Uint8Array = string>(
  fn: Function,
  options: DeduplicateOptions<Parameters<Function>, Awaited<ReturnType<Function>>, Encoded>
) => Deduplicated<Function>

/** Options of a batched function. */
export interface BatchedOptions<
  Arguments extends readonly unknown[] = readonly unknown[], Key extends BatchKeyPart = BatchKeyPart, Result = unknown,
  Encoded extends string | Uint8Array = string | Uint8Array
> extends Omit<DeduplicateOptions<Arguments, Result, Encoded>, 'key'> {
  /**
   * The key of a call: what the function is given for it. Calls with the same key are one key. A primitive value, or an array of
   * them. A call is in a batch of its own if this answers nothing, and rejects if it throws.
   */
  key: (...args: Arguments) => Key
  /**
   * What a call belongs to, such as a tenant: calls of different groups are never identical, and never in one batch. A call is in a batch of its own
   * if this answers nothing, and rejects if it throws.
   * @default all calls are of one group
   */
  group?: (...args: Arguments) => KeyPart
  /**
   * The most keys of a batch, from 1 to 10,000.
   * @default 100
   */
  maxBatchSize?: number
  /**
   * How long a batch waits for further keys: for the rest of the turn of Node's event loop, or for so long after its first key. It
   * goes on filling while it waits for a slot of a queue.
   * @default 'turn'
   */
  window?: 'turn' | Duration
}

/** What a batched function can be given for a call. */
export type BatchKeyPart = KeyPart | ReadonlyArray<KeyPart | null | undefined>

/** What a batched function is told besides its keys. */
export interface BatchCall {
  /** Aborts once nobody waits for any of the keys. */
  readonly signal: AbortSignal
  /** The group of all of the keys, as `group` answered it. */
  readonly group: KeyPart | undefined
}

/** What a batched function answers: a result or an error for each key, in their order; or those that there are, by key. */
export type BatchAnswer<Key = unknown> = readonly unknown[] | ReadonlyMap<Key, unknown>

/** What a call comes to, given what its batch does. What a Map does not have is undefined. */
export type BatchResult<Answer> = Answer extends ReadonlyMap<unknown, infer Value>
  ? Exclude<Value, Error> | undefined
  : Answer extends ReadonlyArray<infer Element> ? Exclude<Element, Error> : never

/** A batched function. */
export interface BatchedFunction<Arguments extends readonly unknown[] = readonly unknown[], Result = unknown> {
  (...args: Arguments): Promise<Result>
  /**
   * Purges what is cached for the key, and group, of these arguments. Runs of that key that are in the air are neither cached nor given to
   * later callers.
   *
   * @throws what the key or group function throws
   */
  invalidate: (...args: Arguments) => void
}

/** Makes a function of which calls that run at the same time become one, with all of their keys. */
export type Batched = <
  Arguments extends readonly unknown[], Key extends BatchKeyPart, Answer extends BatchAnswer<Key>,
  Encoded extends string | Uint8Array = string
>(
  fn: (keys: readonly Key[], call: BatchCall) => Promise<Answer>,
  options: BatchedOptions<Arguments, Key, BatchResult<Answer>, Encoded>
) => BatchedFunction<Arguments, BatchResult<Answer>>
