/**
 * For writers of options: what a route may say in `config.coalesce`, and a registration as the default for all its routes.
 */
import type { FastifyReply, FastifyRequest, RouteGenericInterface } from 'fastify'
import type { ObserveOptions } from './observe.js'
import type { BreakerOptions, CircuitBreaker, QueueOptions, RunQueue, ShedReason } from './protection.js'
import type { Duration, KeyPart } from './values.js'

/** Which parameters of the query string are part of the key. Names are those that the app's parser gives, in any encoding. */
export type QueryOption =
  /** All of them, pairs sorted by name (default). */
  | true
  /** The whole query string, byte for byte. */
  | 'raw'
  /** These names only. The handler sees no others. */
  | readonly string[]
  /** All but these names; `*` at the end of a name matches any rest. The handler does not see the ignored ones; hooks do. */
  | { readonly ignore: readonly string[] }

/** What cookies mean to a route. */
export type CookiesOption =
  /** These are part of the key. */
  | readonly string[]
  /**
   * Those of `ignore` are taken out of the request before any hook and the handler sees it; `*` at the end of a name matches any rest,
   * and `'*'` all cookies. Those of `key` are part of the key, and stay whatever `ignore` says.
   */
  | { readonly ignore: readonly string[], readonly key?: readonly string[] }

/**
 * Options of a route (`config.coalesce`). Given at registration they are the defaults for all routes. `RouteGeneric` are the types of the
 * route, for functions that are given its requests; they may also say themselves which requests they take.
 */
export interface CoalesceRouteOptions<RouteGeneric extends RouteGenericInterface = RouteGenericInterface> {
  /**
   * Where a request waits. `'auto'` waits in `onRequest` if that is the same as waiting right before the handler, and
   * otherwise right before the handler, after every `preHandler` hook. `'onRequest'` forces the former: followers then skip
   * `preParsing`, `preValidation`, validation and `preHandler`, and a warning is logged at boot if the route has any of these.
   * @default 'auto'
   */
  hook?: 'auto' | 'onRequest' | 'preHandler'
  /**
   * Which parameters of the query string are part of the key.
   * @default true
   */
  query?: QueryOption
  /**
   * Request headers that are part of the key. An absent header differs from an empty one.
   * @default []
   */
  headers?: readonly string[]
  /**
   * Cookies that are part of the key, and cookies that are ignored. A `Cookie` header with no other cookies than these does not count
   * as credentials.
   * @default []
   */
  cookies?: CookiesOption
  /**
   * Who is asking. With it, requests with credentials coalesce, each with those of the same identity. A request bypasses if it
   * throws, or returns nothing, `''` or anything that is not a key. `1` and `'1'` are two identities.
   */
  identity? (request: FastifyRequest<RouteGeneric>): KeyPart
  /**
   * Replaces path and query in the key (route, method, protocol, host, identity, headers, cookies and body stay in it).
   * A request bypasses if it throws, or returns `null`, `''` or `[]`.
   */
  key? (request: FastifyRequest<RouteGeneric>): KeyPart | readonly KeyPart[] | null
  /**
   * Coalesce QUERY, and POST on routes that opt in, with a digest (SHA-256) of the body in the key. A request whose body is
   * larger than `maxBytes` (in bytes, default 1 MiB) bypasses.
   * @default false
   */
  body?: boolean | { readonly maxBytes?: number }
  /**
   * Request headers that mean credentials. A request with one of them bypasses, unless the key covers it. A list replaces that of the
   * registration, or the default one; `add` and `remove` change it.
   * @default ['authorization', 'proxy-authorization', 'cookie', 'x-api-key']
   */
  credentials?: readonly string[] | { readonly add?: readonly string[], readonly remove?: readonly string[] }
  /**
   * Further status codes whose responses may be shared. Those that RFC 9110 section 15.1 calls heuristically cacheable, 5xx, and
   * responses with explicit freshness need not be listed. 206, 304, 412, 416 and 1xx are never shared.
   * @default []
   */
  statuses?: readonly number[]
  /**
   * How long a follower waits for one run.
   * @default '30s'
   */
  waitTimeout?: Duration
  /**
   * What a follower does after `waitTimeout`. `'run'`: it shares one more run with the other followers that timed out, and runs
   * for itself if that one takes as long again. `'error'`: it answers 503 with `Retry-After`.
   * @default 'run'
   */
  onWaitTimeout?: 'run' | 'error'
  /**
   * How long a leader may take. After that a follower leads, and the late response goes to the first leader's client only.
   * @default '60s'
   */
  flightTimeout?: Duration
  /**
   * What followers do when the handler fails (it throws, or answers 5xx). `'share'`: they get the failure. `'promote'`: one of
   * them runs the handler once more, and the others share what comes of that.
   * @default 'share'
   */
  onError?: 'share' | 'promote'
  /**
   * The largest body that is recorded, in bytes. Followers of a larger one run for themselves. A stream that grows larger takes
   * no more followers, and this much of it is held for slow clients; a client that falls further behind is cut off.
   * @default 8388608
   */
  maxBodyBytes?: number
  /**
   * The most followers of one flight. Further requests bypass.
   * @default 10000
   */
  maxWaitersPerKey?: number
  /**
   * How many followers run at a time when they cannot share a response.
   * @default 64
   */
  releaseConcurrency?: number
  /**
   * How long a key is remembered as unshareable. Its requests bypass meanwhile.
   * @default '2m'
   */
  unshareableTtl?: Duration
  /**
   * Whether request headers that the handler, or a hook before it, reads count as if the response named them in `Vary`, unless
   * the key covers them. `ignore` lists header names whose reading does not matter, and, written `'?sig'`, parameters that
   * `query` leaves out and hooks read (`'?'`: all of them). Reading the client's address, request ids, traces and the like in a hook
   * does not count; docs/headers-hooks-read.md lists them.
   *
   * A body that holds the id of its request, or a nonce of its Content-Security-Policy, is not shared, unless this is `false` or
   * ignores `'request.id'` or `'reply.cspNonce'`.
   * @default true
   */
  learnVary?: boolean | { readonly ignore: readonly string[] }
  /**
   * How long a response is cached and served without a run. `'headers'`: as long as the response itself says (RFC 9111, RFC 5861,
   * RFC 9213), and not at all if it says nothing. A function is asked for each response; `undefined`, `null` and 0 mean not at
   * all. `false`: nothing is cached.
   *
   * Whatever this says, a response with `Set-Cookie`, `private`, `no-store`, `no-cache` or `max-age=0` is never cached. One with
   * a status from 400 is cached only by `negativeTtl`.
   * @default false
   */
  ttl?: Duration | 'headers' | false | TtlFunction<RouteGeneric>['of']
  /**
   * How long after it was fresh a response is served while one request refreshes it in the background. With `ttl: 'headers'` the
   * response's own `stale-while-revalidate` comes first. `must-revalidate` and the like forbid it.
   * @default 0
   */
  staleWhileRevalidate?: Duration
  /**
   * How long after it was fresh a response is served in the place of a status from 500. With `ttl: 'headers'` the response's own
   * `stale-if-error` comes first. `must-revalidate` and the like forbid it.
   * @default 0
   */
  staleIfError?: Duration
  /**
   * By how much the time that a response is fresh is shortened at most, at random, as a fraction from 0 to 1. Spreads the
   * moments at which responses end.
   * @default 0
   */
  ttlJitter?: number
  /**
   * The fraction of the time that a response is fresh, from 0 to 1, after which one request refreshes it in the background.
   * @default false
   */
  eagerRefresh?: number | false
  /**
   * How long responses with a status from 400 are cached, by status: a duration, or `'headers'`.
   * @default {}
   */
  negativeTtl?: Readonly<Record<number, Duration | 'headers'>>
  /**
   * The largest body that is cached, in bytes.
   * @default 8388608
   */
  maxEntryBytes?: number
  /**
   * Tags by which all cached responses of the route can be purged.
   * @default []
   */
  tags?: readonly string[]
  /**
   * Response headers that name more tags, such as `Cache-Tag` or `Surrogate-Key`.
   * @default []
   */
  tagHeaders?: readonly string[]
  /**
   * Whether to obey what requests ask of caches (RFC 9111 section 5.2.1): `no-cache`, `max-age`, `min-fresh`, `max-stale`,
   * `only-if-cached` (504 if nothing is cached), `no-store` (the request bypasses), `stale-if-error`, and `Pragma: no-cache`.
   * @default false
   */
  respectRequestCacheControl?: boolean
  /**
   * Whether responses say in `Cache-Status` (RFC 9211) how they were served. A string is the cache's name in that field.
   * @default false
   */
  cacheStatus?: boolean | string
  /**
   * How many runs may be under way at a time, and which come first. With options the route has a queue of its own; what `runQueue` made is
   * shared by all that are given it. As the default of a registration, options stand for a queue of each route, and have no `name`.
   * A run that finds no slot, or waits for one too long, is refused: its clients get a cached response if there is one (also one that is not
   * fresh any more, within `staleIfError`), else what `fallback` makes, else 503 with `Retry-After`. A follower takes no slot.
   * @default false
   */
  queue?: QueueOptions | RunQueue | false
  /**
   * Refuses runs while what is behind the handler is taken to be down, because the last ones failed; as for `queue`. With options the route
   * has a breaker of its own; what `circuitBreaker` made is shared by all that are given it.
   * @default false
   */
  breaker?: BreakerOptions<[request: FastifyRequest<RouteGeneric>]> | CircuitBreaker | false
  /**
   * How urgent a request is: a level of the queue, or a function that answers one; `undefined` is the middle level. A run is as urgent as
   * the most urgent of all who wait for it. What the function reads of a request is no part of the key, and is not learned: it must make
   * no difference to the response. If it throws, or answers what is no level, the request has the middle level, and a warning is logged.
   * Has an effect with `queue` only. Default: the middle level.
   */
  priority?: string | PriorityFunction<RouteGeneric>['of']
  /**
   * Answers in the place of a run that was refused, for the reason given, where nothing that is cached stands in. It is called as a handler
   * is, once for all who waited for that run: they get the same response, but other processes do not. Its response is not cached, and it
   * is not counted as a run. Nothing stands in for a write (an unsafe method). Has an effect with `queue` or `breaker` only. Default: 503 with `Retry-After`.
   */
  fallback? (request: FastifyRequest<RouteGeneric>, reply: FastifyReply<RouteGeneric>, reason: ShedReason): unknown
  /**
   * Shares nothing, and compares what each client is answered with what it would have been given; with `verify` the route shares as ever,
   * and a part of what it shares is compared. An object begins with what the registration has. `report()` tells what was found.
   * @default false
   */
  observe?: boolean | ObserveOptions
}

/** As a method: so it may say itself which requests it takes. */
interface TtlFunction<RouteGeneric extends RouteGenericInterface> {
  of (response: KeptResponseFacts, request: FastifyRequest<RouteGeneric>): Duration | 'headers' | null | undefined
}

/** As a method, for the same reason. */
interface PriorityFunction<RouteGeneric extends RouteGenericInterface> {
  of (request: FastifyRequest<RouteGeneric>): string | undefined
}

/** A response, as a `ttl` function sees it. */
export interface KeptResponseFacts {
  readonly status: number
  /** The headers that the handler set, names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly body: string | Buffer | null
  /** The size of the body. */
  readonly bytes: number
}
