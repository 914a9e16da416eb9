/**
 * The contract: what a user writes, reads and may implement. Emitted with the package; the only module augmentation is here.
 */
import type { FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { Registry } from 'prom-client'

/** Milliseconds, or a string such as `'250ms'`, `'30s'`, `'2m'`. */
export type Duration = number | string

/**
 * How one request on a coalesced route was served.
 *
 * - `bypass`: it never boarded; the reason says why
 * - `leader`: it ran the handler; the reason says what became of its response
 * - `follower`: it waited for a leader; the reason says what it got
 * - `alone`: it boarded, got nothing that it may have, and ran for itself
 * - `hit`: it was served a kept response
 * - `stale`: it was served a kept response that is not fresh any more; the reason says why it may be
 * - `peer`: it was served from another process (reserved)
 * - `shed`: its run was refused to protect what is behind it (reserved)
 */
export type Outcome = 'bypass' | 'leader' | 'follower' | 'hit' | 'stale' | 'peer' | 'alone' | 'shed'

/** What a key can be made of. */
type KeyPart = string | number | bigint | boolean

/** Which part of the query string tells requests apart. Names are those that the app's parser gives, however they are encoded. */
export type QueryOption =
  /** All of it, pairs sorted by name (default). */
  | true
  /** All of it, byte for byte. */
  | 'raw'
  /** These names only. The handler sees no others. */
  | readonly string[]
  /** All but these names; `*` at the end of one stands for any rest. The handler does not see the ignored ones; hooks do. */
  | { readonly ignore: readonly string[] }

/** Options of a route (`config.coalesce`), and defaults for all routes when given at registration. */
export interface CoalesceRouteOptions {
  /**
   * Where a request waits. `'auto'` waits in `onRequest` where that is the same as waiting right before the handler, and
   * otherwise right before the handler, after every `preHandler` hook. `'onRequest'` forces the former: followers then skip
   * `preParsing`, `preValidation`, validation and `preHandler`, and a warning is logged at boot when there is any.
   * @default 'auto'
   */
  hook?: 'auto' | 'onRequest' | 'preHandler'
  /**
   * Which part of the query string tells requests apart.
   * @default true
   */
  query?: QueryOption
  /**
   * Request headers that are part of the key. An absent header differs from an empty one.
   * @default []
   */
  headers?: readonly string[]
  /**
   * Cookies that are part of the key. A request whose every cookie is named here carries no credentials in its `Cookie`.
   * @default []
   */
  cookies?: readonly string[]
  /**
   * Who is asking. Makes requests with credentials coalesce, each with those of the same identity. A request for which it
   * throws or returns nothing, '' or anything else bypasses. `1` and `'1'` are two.
   */
  identity?: (request: FastifyRequest) => KeyPart
  /**
   * Replaces path and query in the key (route, method, protocol, host, identity, headers, cookies and body stay in it).
   * A request for which it throws or returns null, '' or [] bypasses.
   */
  key?: (request: FastifyRequest) => KeyPart | readonly KeyPart[] | null
  /**
   * Coalesce QUERY, and POST where the route opts in, with a digest (SHA-256) of the body in the key. A body over
   * `maxBytes` (default 1 MiB) bypasses.
   * @default false
   */
  body?: boolean | { readonly maxBytes?: number }
  /**
   * Request headers that mean credentials: a request with one of them bypasses, unless the key covers it.
   * @default ['authorization', 'proxy-authorization', 'cookie', 'x-api-key']
   */
  credentials?: readonly string[]
  /**
   * Further status codes whose responses may be shared, besides those that RFC 9110 section 15.1 calls heuristically
   * cacheable and those with explicit freshness. 206, 304, 412, 416 and 1xx never are.
   * @default []
   */
  statuses?: readonly number[]
  /**
   * How long a follower is ready to wait for one run.
   * @default '30s'
   */
  waitTimeout?: Duration
  /**
   * What a follower does then: share one more run with the others whose patience ends (and run for itself when that ends
   * again), or answer 503 with Retry-After.
   * @default 'run'
   */
  onWaitTimeout?: 'run' | 'error'
  /**
   * How long a leader may take. Then a follower leads, and the late response goes to its own client only.
   * @default '60s'
   */
  flightTimeout?: Duration
  /**
   * What followers do when the handler fails (it throws, or answers 5xx): share the failure, or let one of them run the
   * handler once more and share what comes of that.
   * @default 'share'
   */
  onError?: 'share' | 'promote'
  /**
   * The largest body that is recorded, in bytes. Followers of a larger one run for themselves. A stream that turns out to be
   * larger takes no more followers, and this much of it is held for slow ones; who falls further behind is cut off.
   * @default 8388608
   */
  maxBodyBytes?: number
  /**
   * The most followers of one flight; further ones bypass.
   * @default 10000
   */
  maxWaitersPerKey?: number
  /**
   * When followers cannot share a response, how many of them run at a time.
   * @default 64
   */
  releaseConcurrency?: number
  /**
   * How long a key is remembered as unshareable; meanwhile its requests bypass.
   * @default '2m'
   */
  unshareableTtl?: Duration
  /**
   * Whether request headers that the handler, or a hook before it, reads, and that the key does not cover, count as if the
   * response had named them in `Vary`; `ignore` names those whose reading does not matter, and as
   * `'?sig'` parameters that `query` leaves out and hooks read (`'?'`: all). Unless it is `false`, or ignores `'request.id'` or
   * `'reply.cspNonce'`, a body that holds the id of its request, or a nonce of its policy, is not shared. Of what hooks read, the client's
   * address, request ids, traces and the like do not count (the README lists them).
   * @default true
   */
  learnVary?: boolean | { readonly ignore: readonly string[] }
  /**
   * How long a response is kept and served without a run. A duration, or `'headers'`: as long as the response itself says (RFC
   * 9111, RFC 5861, RFC 9213), and not at all if it says nothing. A function is asked for each response, and keeps it for as
   * long as it answers; with undefined, null or 0 not at all. False keeps nothing. Nothing makes a response kept that has
   * `Set-Cookie`, `private`, `no-store`, `no-cache` or `max-age=0`, nor one with a status from 400 (see `negativeTtl`).
   * @default false
   */
  ttl?: Duration | 'headers' | false | ((response: KeptResponseFacts, request: FastifyRequest) => Duration | 'headers' | null | undefined)
  /**
   * For how long after that it is served while one request refreshes it in the background. The response's own
   * `stale-while-revalidate` goes first where `ttl` is `'headers'`; `must-revalidate` and its like forbid it.
   * @default 0
   */
  staleWhileRevalidate?: Duration
  /**
   * For how long after that it is served in the place of a status from 500. The response's own `stale-if-error` goes first where
   * `ttl` is `'headers'`; `must-revalidate` and its like forbid it.
   * @default 0
   */
  staleIfError?: Duration
  /**
   * The part of the time that a response is fresh by which that is shortened at most, at random, so that not all end at once:
   * from 0 to 1.
   * @default 0
   */
  ttlJitter?: number
  /**
   * The part of that time after which one request refreshes it in the background although it is fresh: from 0 to 1.
   * @default false
   */
  eagerRefresh?: number | false
  /**
   * For how long responses with a status from 400 are kept, by status: a duration, or `'headers'`.
   * @default {}
   */
  negativeTtl?: Readonly<Record<number, Duration | 'headers'>>
  /**
   * The largest body that is kept, in bytes.
   * @default 8388608
   */
  maxEntryBytes?: number
  /**
   * What all responses of the route can be purged by.
   * @default []
   */
  tags?: readonly string[]
  /**
   * Response headers that name more tags, such as `Cache-Tag` or `Surrogate-Key`.
   * @default []
   */
  tagHeaders?: readonly string[]
  /**
   * Whether what a request asks of caches is heeded (RFC 9111 section 5.2.1): `no-cache`, `max-age`, `min-fresh`, `max-stale`,
   * `only-if-cached` (504 if nothing is kept), `no-store` (the request bypasses), `stale-if-error`, and `Pragma: no-cache`.
   * @default false
   */
  respectRequestCacheControl?: boolean
  /**
   * Whether responses say in `Cache-Status` (RFC 9211) how they were served, and under which name of the cache.
   * @default false
   */
  cacheStatus?: boolean | string
}

/** A response, as a `ttl` function sees it. */
export interface KeptResponseFacts {
  readonly status: number
  /** What the handler set, names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly body: string | Buffer | null
  /** The size of the body. */
  readonly bytes: number
}

/** Prometheus metrics. */
export interface MetricsOptions {
  /**
   * The path of the metrics route below the prefix of the registering context; false for none.
   * @default '/metrics'
   */
  path?: string | false
  /** Where the metrics are registered. Default: a registry of the plugin's own. */
  registry?: Registry
  /**
   * Put before each metric's name.
   * @default ''
   */
  prefix?: string
  /**
   * Also collect prom-client's default metrics of the process.
   * @default false
   */
  defaultMetrics?: boolean
  /** Options of the metrics route: hooks that guard it, a log level, constraints. */
  routeOptions?: RouteShorthandOptions
}

/** Options of the registration: those of all its routes, and those of the registration itself. */
export interface CoalesceOptions extends CoalesceRouteOptions {
  /**
   * Coalesce every GET route, with its HEAD route, that does not say `config: { coalesce: false }`.
   * @default false
   */
  global?: boolean
  /**
   * Collect Prometheus metrics and serve them. A registration inside another one's context counts into that one's metrics
   * unless it says otherwise.
   * @default false
   */
  metrics?: boolean | MetricsOptions
  /**
   * The most flights in the air; a request that would start a further one bypasses.
   * @default 10000
   */
  maxFlights?: number
  /**
   * The most followers of all flights together; further ones bypass.
   * @default 50000
   */
  maxWaiters?: number
  /**
   * The most bytes of streams that are held at any time; one for which there is no room is treated as over `maxBodyBytes`.
   * @default 268435456
   */
  maxRecordedBytes?: number
  /** Time, for tests. Default: the system's, with timers that do not keep the process alive. */
  clock?: Clock
  /** Where responses are kept. Default: `memoryStore()`, one for each registration. */
  store?: Store
  /**
   * How long a store is waited for; then the handler runs.
   * @default '250ms'
   */
  storeTimeout?: Duration
  /**
   * Whether a successful request with an unsafe method purges what is kept for its path, and for those that its response's
   * `Location` and `Content-Location` name (RFC 9111 section 4.4).
   * @default true
   */
  purgeOnWrite?: boolean
  /**
   * Has @fastify/caching set `Cache-Control` for the caches of clients and on the way to them, and gives replies `etag` and
   * `expires`. Does nothing where the app registers @fastify/caching itself. False: not in this context.
   */
  cacheControl?: CacheControlOptions | false
}

/** What caches other than this one are told of responses that do not say it themselves; of what is no success, `no-store`. */
export interface CacheControlOptions {
  /** With `'private'` nothing is shared, with `'no-cache'` nothing is kept. */
  readonly privacy: 'public' | 'private' | 'no-cache'
  /** `max-age`: whole seconds, given as milliseconds or as a string such as `'5m'`. Not with `'no-cache'`. */
  readonly expiresIn?: Duration
  /** `s-maxage`, for shared caches, the same. Only with `'public'`. */
  readonly serverExpiresIn?: Duration
}

/**
 * What is kept of a run, with all that tells who may be given it, and until when. Times are in milliseconds since 1970,
 * durations in milliseconds.
 */
export interface Entry<Value = unknown> {
  /** The format of the entry. One of another version is a miss. */
  readonly version: 1
  /** The whole key that it is kept under. Found under any other key it is a miss. */
  readonly key: string
  /** When its run began. A purge after that makes it a miss. */
  readonly since: number
  /** When its run ended. */
  readonly storedAt: number
  /** How long it is fresh from then on. */
  readonly freshFor: number
  /** How long after that it may be served while it is refreshed. */
  readonly staleWhileRevalidate: number
  /** How long after it was fresh it may be served in the place of an error. */
  readonly staleIfError: number
  /** What it can be purged by. */
  readonly labels: readonly string[]
  /** About how many bytes `value` takes. */
  readonly bytes: number
  readonly value: Value
}

/**
 * Where entries are kept. Each method may answer at once or with a promise. What it throws, rejects with or is slow to answer
 * never fails a request: the handler runs, and the failure is counted.
 */
export interface Store {
  /** The entry that was last set for `key`; undefined if there is none (any more). */
  get: (key: string) => Entry | undefined | PromiseLike<Entry | undefined>
  /** Keeps an entry under its key. After `keepFor` milliseconds nobody asks for it any more. */
  set: (entry: Entry, keepFor: number) => void | PromiseLike<void>
  /** Forgets what is kept for `key`. */
  delete: (key: string) => void | PromiseLike<void>
  /** How much it holds, where it knows; `evictions` counts entries that had to go before their time. */
  readonly size?: { readonly entries: number, readonly bytes: number, readonly evictions: number }
  /** All that it holds, where it can tell. */
  entries?: () => Iterable<Entry>
}

/** Time. Timers must not keep the process alive. */
export interface Clock {
  /** Milliseconds since any fixed moment; never goes back. */
  now: () => number
  /** Milliseconds since 1970, by the machine, which may leap; without it they are counted by `now` from the start. */
  wall?: () => number
  setTimeout: (callback: () => void, delay: number) => unknown
  clearTimeout: (timer: unknown) => void
}

/** The five figures. */
export interface CoalesceFigures {
  /** Requests (or calls) that arrived. */
  readonly totalRequests: number
  /** Those that were answered with another one's run that they waited for. A hit is none of them. */
  readonly deduplicatedRequests: number
  /** Those that were answered with what was kept, fresh or stale. */
  readonly cacheHits: number
  /** Runs of the handler (or function). A refresh in the background is one, and no request. */
  readonly actualExecutions: number
  /** `deduplicatedRequests / totalRequests`, 0 before the first request. */
  readonly deduplicationRate: number
}

/** The figures of one route. */
export interface RouteFigures extends CoalesceFigures {
  /** The HTTP method or methods; 'FUNCTION' for a deduplicated function. */
  readonly method: string
  /** The route's pattern; the name of a deduplicated function. */
  readonly route: string
}

/** The figures of a registration. */
export interface CoalesceStats extends CoalesceFigures {
  readonly routes: readonly RouteFigures[]
}

/** A route, by pattern and, where several methods have it, method. */
export interface RouteSelector {
  readonly url: string
  readonly method?: string
}

/** Options of a deduplicated function. */
export interface DeduplicateOptions<Arguments extends readonly unknown[] = readonly unknown[], Result = unknown> {
  /**
   * Tells which calls are identical. Strings, or arrays of primitive values, compared without regard to type coercion
   * (1 and '1' differ). A call for which it throws or returns null, '' or [] runs by itself.
   */
  key: (...args: Arguments) => KeyPart | ReadonlyArray<KeyPart | null | undefined> | null
  /**
   * Names the function in stats, metrics and logs. Must be given where results are kept in a store that was given, and be no
   * other function's that keeps in it: what is kept is told apart by it.
   * @default the function's own name
   */
  name?: string
  /**
   * How long a caller is ready to wait for another one's run.
   * @default '30s'
   */
  waitTimeout?: Duration
  /**
   * What it does then: share one more run with the others whose patience ends (and run the function for itself when that
   * ends again), or reject with `FST_COALESCE_WAIT_TIMEOUT`.
   * @default 'run'
   */
  onWaitTimeout?: 'run' | 'error'
  /**
   * How long a run may take; then one of the callers that wait runs the function anew.
   * @default '60s'
   */
  flightTimeout?: Duration
  /**
   * Whether a failure is shared with the callers that wait, or one of them runs the function once more.
   * @default 'share'
   */
  onError?: 'share' | 'promote'
  /**
   * Gives each waiting caller, each that is served what is kept, and the store a result of their own. Without it all get the
   * same object.
   * @default undefined
   */
  clone?: (result: Result) => Result
  /**
   * How long a result is kept and given to later callers without a run. A function is asked for each result; with undefined, null
   * or 0 it is not kept. Errors never are. A result that the store cannot hold is not kept.
   * @default nothing is kept
   */
  ttl?: Duration | ((result: Result, ...args: Arguments) => Duration | null | undefined)
  /**
   * For how long after that it is given to callers while the function runs once in the background, in nobody's context.
   * @default 0
   */
  staleWhileRevalidate?: Duration
  /**
   * For how long after that it is given to callers in the place of an error.
   * @default 0
   */
  staleIfError?: Duration
  /**
   * The part of `ttl` by which that is shortened at most, at random: from 0 to 1.
   * @default 0
   */
  ttlJitter?: number
  /**
   * The part of `ttl` after which the function runs once in the background although the result is fresh: from 0 to 1.
   * @default false
   */
  eagerRefresh?: number | false
  /**
   * Where results are kept. Default: the registration's store; for functions without an app a `memoryStore()` that they share.
   * What is called on an object is found in it by this process only.
   */
  store?: Store
  /**
   * How long that is waited for; then the function runs.
   * @default the registration's, '250ms' without an app
   */
  storeTimeout?: Duration
  /**
   * What results can be purged by with `fastify.coalesce.invalidate({ tags })` of the registration that the function belongs to.
   * @default []
   */
  tags?: readonly string[] | ((result: Result, ...args: Arguments) => readonly string[])
}

/** A deduplicated function. */
export type Deduplicated<Function extends (...args: never[]) => Promise<unknown>> = Function & {
  /**
   * Purges what is kept for these arguments' key, and what is in the air for it: no later caller gets either, and it is not kept.
   * Of calls on whatever object, or, as `invalidate.call(object, …)`, on that one only.
   *
   * @throws what the key function throws
   */
  invalidate: (...args: Parameters<Function>) => void
}

/** A function for any number of identical concurrent calls of which one runs. */
export type Deduplicate = <Function extends (...args: never[]) => Promise<unknown>>(
  fn: Function,
  options: DeduplicateOptions<Parameters<Function>, Awaited<ReturnType<Function>>>
) => Deduplicated<Function>

/** What `fastify.coalesce` is. */
export interface Coalesce {
  /** The seed's five figures, for all routes of this registration and for each. */
  stats: () => CoalesceStats
  /** `deduplicate` with this registration's metrics, log and caps. */
  deduplicate: Deduplicate
  /** Stops coalescing at once, for all routes or one: who waits is let go, who comes bypasses. */
  disable: (route?: RouteSelector) => void
  /** Takes `disable` back. */
  enable: (route?: RouteSelector) => void
  /**
   * Purges what is kept, and what is in the air: nobody who asks from now on gets it. `soft`: it is stale, and may be served as
   * such. It holds for the registrations around this one and inside it, too, and for this process only: see the README for stores
   * that several share.
   *
   * @throws FST_COALESCE_INVALID_OPTION if it names nothing, or wrongly
   */
  invalidate: (purge: Purge) => void
  /**
   * What is kept, the most recently used first; without the bodies unless they are asked for.
   *
   * @throws FST_COALESCE_NOT_LISTABLE if the store cannot tell
   */
  entries: (options?: { readonly bodies?: boolean }) => readonly KeptEntry[]
  /** The registry that the metrics are in; undefined without metrics. */
  readonly registry: Registry | undefined
}

/** What to purge: all that has one of the tags, the key, the route's pattern, or the URL's path (whatever its query). */
export interface Purge {
  readonly tags?: readonly string[]
  readonly key?: string
  readonly route?: string
  readonly url?: string
  /** @default false */
  readonly soft?: boolean
}

/** What is kept, for operators and tests. Durations in milliseconds. */
export interface KeptEntry {
  readonly key: string
  readonly route: string
  readonly path: string
  readonly tags: readonly string[]
  readonly status: number
  readonly bytes: number
  /** How old it is. */
  readonly age: number
  /** How long it is fresh yet; negative once it is not. */
  readonly fresh: number
  /** Only if it was asked for. */
  readonly body?: string | Buffer | null
}

/** What `reply.coalesce` is, on coalesced routes. */
export interface ReplyCoalesce {
  /** Declares what the response can be purged by, if it is kept. */
  tag: (...tags: string[]) => void
}

/** What `request.coalesce` is, on coalesced routes. A client's request has none before it boarded. */
export interface RequestCoalesce {
  /**
   * The request is one of the app's own, which refreshes what is kept; all hooks can tell, from the first one on. Nothing that a
   * client sends makes it so.
   */
  readonly refresh: boolean
  /** How the request is being served, as far as it is known; undefined before it boarded. */
  readonly outcome: Outcome | undefined
  /** The id of the request that runs the handler for this one; its own for a leader. */
  readonly leaderId: string | undefined
  /** Aborts when nobody needs this run any more. */
  readonly signal: AbortSignal
  /** Declares that the response depends on these request headers, as if `Vary` named them; `'*'` that nobody else may have it. */
  varyOn: (...headers: string[]) => void
}

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
    /** What is to be known of the response; undefined on routes that are not coalesced. */
    readonly coalesce: ReplyCoalesce | undefined
  }
  interface FastifyRequest {
    /** How this request is coalesced; undefined on routes that are not, and for a client's before it boarded. */
    readonly coalesce: RequestCoalesce | undefined
  }
}
