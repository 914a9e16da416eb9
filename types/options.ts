/**
 * For writers of options: what a registration may say (`app.register(coalesce, options)`).
 */
import type { RouteShorthandOptions } from 'fastify'
import type { Registry } from 'prom-client'
import type { Coordinator } from './coordination.js'
import type { DashboardOptions } from './dashboard.js'
import type { CoalesceRouteOptions } from './route-options.js'
import type { Store } from './store.js'
import type { Clock, Duration } from './values.js'

/** Options of the registration: the defaults of its routes, and what concerns all of them together. */
export interface CoalesceOptions extends CoalesceRouteOptions {
  /**
   * Coalesce every GET route, with its HEAD route, that does not say `config: { coalesce: false }`.
   * @default false
   */
  global?: boolean
  /**
   * Collect Prometheus metrics and serve them. A registration inside the context of another one counts into that one's metrics
   * unless it says otherwise.
   * @default false
   */
  metrics?: boolean | MetricsOptions
  /**
   * A page that shows live what is coalesced, why the rest is not, and what waits. It has to be guarded, or is for clients on this machine only.
   * @default false
   */
  dashboard?: false | DashboardOptions
  /**
   * Names of warnings that are not logged; `false`: none is. docs/why-is-nothing-shared.md lists them.
   * @default []
   */
  warnings?: false | readonly string[]
  /**
   * The most flights in the air. A request that would start a further one bypasses.
   * @default 10000
   */
  maxFlights?: number
  /**
   * The most followers of all flights together. Further requests bypass.
   * @default 50000
   */
  maxWaiters?: number
  /**
   * The most bytes of streams that are held at any time. A stream for which there is no room is treated as larger than
   * `maxBodyBytes`.
   * @default 268435456
   */
  maxRecordedBytes?: number
  /** Time, for tests. Default: the system's, with timers that do not keep the process alive. */
  clock?: Clock
  /** Where responses are cached. Default: a `memoryStore()` for each registration. */
  store?: Store
  /**
   * What decides which of many processes runs a handler, and hands over what that came to. Functions of the registration that have a
   * `name` take part as well. `false`: each process runs for itself. Default: as in the context around this one.
   */
  coordinator?: Coordinator | false
  /**
   * How long a store may take to answer. After that the handler runs.
   * @default '250ms'
   */
  storeTimeout?: Duration
  /**
   * Whether a successful request with an unsafe method purges what is cached for its path, and for the paths that its response's
   * `Location` and `Content-Location` name (RFC 9111 section 4.4).
   * @default true
   */
  purgeOnWrite?: boolean
  /**
   * Has @fastify/caching set `Cache-Control` for other caches (those of clients, and those on the way to them), and gives replies
   * `etag` and `expires`. Has no effect where the app registers @fastify/caching itself. `false`: not in this context.
   */
  cacheControl?: CacheControlOptions | false
}

/** Prometheus metrics. */
export interface MetricsOptions {
  /**
   * The path of the metrics route, below the prefix of the registering context. `false`: no route.
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
  /**
   * The upper bounds of the histograms' buckets: how long followers waited and handlers ran, in seconds, and followers of a run. Each at
   * most 64 numbers, each above the one before it. Percentiles of `stats()` are estimated from the same buckets.
   * @default { wait: [0.001, …, 30], handler: [0.001, …, 30], followers: [0, …, 10_000] }
   */
  buckets?: { readonly wait?: readonly number[], readonly handler?: readonly number[], readonly followers?: readonly number[] }
  /** Options of the metrics route: hooks that guard it, a log level, constraints. `@fastify/swagger` leaves it out but with `schema: { hide: false }`. */
  routeOptions?: RouteShorthandOptions
}

/**
 * The `Cache-Control` of responses that have none, for caches other than this one. Responses that are no success get `no-store`.
 */
export interface CacheControlOptions {
  /** With `'private'` nothing is shared, with `'no-cache'` nothing is cached here. */
  readonly privacy: 'public' | 'private' | 'no-cache'
  /** `max-age`: whole seconds, given as milliseconds or as a string such as `'5m'`. Not with `'no-cache'`. */
  readonly expiresIn?: Duration
  /** `s-maxage`, for shared caches: whole seconds, given likewise. Only with `'public'`. */
  readonly serverExpiresIn?: Duration
}
