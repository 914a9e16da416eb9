/**
 * Options of a registration in; frozen, complete settings out.
 *
 * Invariant: as for options of a route, which a registration may give as defaults.
 */
import type { RouteShorthandOptions } from 'fastify'
import type { Registry } from 'prom-client'
import type { Clock, CoalesceOptions, Coordinator, MetricsOptions, Store } from '../../types/index.js'
import { systemClock } from '../clock.js'
import type { Router } from '../http/key.js'
import { coordinatorOrFalse, store } from './common-options.js'
import { dashboard, type DashboardSettings } from './dashboard-options.js'
import { below, boolean, clock, duration, fail, integer, isName, isObject, listOf, oneOf, optional, read, seconds, type Parser, type Parsers } from './parsers.js'
import { nearest } from './near.js'
import { WARNINGS } from '../warnings.js'
import { observeOfRoutes } from './observe-options.js'
import { checkLevel, protectionOfRoutes } from './protection-options.js'
import { ROUTE_DEFAULTS, routeReaders, type RouteSettings } from './route-options.js'

export interface Settings {
  readonly routes: RouteSettings
  readonly global: boolean
  readonly dashboard: DashboardSettings | false
  /** Undefined: as in the context around this one. */
  readonly metrics: MetricsSettings | false | undefined
  /** The names of those that are silenced. */
  readonly warnings: ReadonlySet<string>
  readonly maxFlights: number
  readonly maxWaiters: number
  readonly maxRecordedBytes: number
  readonly clock: Clock
  readonly store: Store | undefined
  /** Undefined: as in the context around this one. */
  readonly coordinator: Coordinator | false | undefined
  readonly storeTimeout: number
  readonly purgeOnWrite: boolean
  /** Undefined: as in the context around this one. */
  readonly cacheControl: CacheControlSettings | false | undefined
}

export interface MetricsSettings {
  readonly path: string | false
  readonly registry: Registry | undefined
  readonly prefix: string
  readonly defaultMetrics: boolean
  readonly buckets: MetricsOptions['buckets']
  readonly routeOptions: RouteShorthandOptions
}

/** As @fastify/caching takes it: in seconds. */
export interface CacheControlSettings {
  readonly privacy: 'public' | 'private' | 'no-cache'
  readonly expiresIn: number | undefined
  readonly serverExpiresIn: number | undefined
}

const METRIC_PREFIX = /^(?:[a-zA-Z_:][a-zA-Z0-9_:]*)?$/

const metrics: Parser<Settings['metrics']> = (value, name) => {
  if (value === undefined || value === false) return value
  if (value === true) return METRICS
  if (!isObject(value)) return fail(name, 'true, false or an object', value)
  return read(metricsReaders, value, METRICS, name)
}

/** Each is a line of each route in each scrape. */
const MOST_BOUNDS = 64

const bounds: Parser<readonly number[]> = (value, name) => {
  const isBound = (bound: unknown, index: number): boolean =>
    typeof bound === 'number' && bound >= 0 && bound < Infinity && (index === 0 || bound > (value as number[])[index - 1]!)
  return Array.isArray(value) && value.length > 0 && value.length <= MOST_BOUNDS && value.every(isBound)
    ? Object.freeze([...value as number[]])
    : fail(name, `1 to ${MOST_BOUNDS} numbers, each above the one before it`, value)
}

const metricsReaders: Parsers<MetricsSettings> = {
  path: (value, name) => value === false || (typeof value === 'string' && value.startsWith('/'))
    ? value as string | false
    : fail(name, "a path that starts with '/', or false", value),
  registry: optional((value, name) => isObject(value) && typeof value.registerMetric === 'function'
    ? value as unknown as Registry
    : fail(name, 'a prom-client Registry', value)),
  prefix: (value, name) => typeof value === 'string' && METRIC_PREFIX.test(value)
    ? value
    : fail(name, 'the beginning of a metric name ([a-zA-Z_:][a-zA-Z0-9_:]*)', value),
  defaultMetrics: boolean,
  buckets: optional((value, name) => isObject(value)
    ? read<NonNullable<MetricsOptions['buckets']>>({ wait: optional(bounds), handler: optional(bounds), followers: optional(bounds) }, value, {}, name)
    : fail(name, '{ wait, handler, followers }', value)),
  routeOptions: (value, name) => isObject(value) ? value as RouteShorthandOptions : fail(name, 'route options', value)
}

const cacheControl: Parser<CacheControlSettings | false> = (value, name) => {
  if (value === false) return false
  if (!isObject(value)) return fail(name, 'false or { privacy, expiresIn, serverExpiresIn }', value)
  const settings = read<CacheControlSettings>({
    privacy: oneOf('public', 'private', 'no-cache'), expiresIn: optional(seconds), serverExpiresIn: optional(seconds)
  }, value, {}, name)
  // @fastify/caching would ignore it without a word.
  if (settings.expiresIn !== undefined && settings.privacy === 'no-cache') fail(below(name, 'expiresIn'), "without privacy: 'no-cache'", value.expiresIn)
  if (settings.serverExpiresIn !== undefined && settings.privacy !== 'public') {
    fail(below(name, 'serverExpiresIn'), "with privacy: 'public' only", value.serverExpiresIn)
  }
  return settings
}

const warnings: Parser<ReadonlySet<string>> = (value, name) => {
  if (value === false) return ALL_WARNINGS
  const silenced = listOf('false or an array of names of warnings', isName)(value, name)
  const unknown = silenced.find(each => !WARNINGS.includes(each))
  if (unknown !== undefined) {
    const meant = nearest(unknown, WARNINGS)
    fail(name, meant === undefined ? `made of ${WARNINGS.join(', ')}` : `made of names of warnings, such as ${meant}`, unknown)
  }
  return Object.freeze(new Set(silenced))
}

const ALL_WARNINGS: ReadonlySet<string> = Object.freeze(new Set(WARNINGS))

const registrationReaders: Parsers<Omit<Settings, 'routes'>> = {
  global: boolean,
  dashboard,
  metrics,
  warnings,
  maxFlights: integer(0),
  maxWaiters: integer(0),
  maxRecordedBytes: integer(0),
  clock,
  store: optional(store),
  coordinator: optional(coordinatorOrFalse),
  storeTimeout: duration,
  purgeOnWrite: boolean,
  cacheControl: optional(cacheControl)
}

const METRICS: MetricsSettings = Object.freeze({
  path: '/metrics', registry: undefined, prefix: '', defaultMetrics: false, buckets: undefined, routeOptions: Object.freeze({})
})

const REGISTRATION_DEFAULTS: Omit<Settings, 'routes'> = Object.freeze({
  global: false,
  dashboard: false,
  metrics: undefined,
  warnings: Object.freeze(new Set<string>()),
  maxFlights: 10_000,
  maxWaiters: 50_000,
  maxRecordedBytes: 268_435_456,
  clock: systemClock,
  store: undefined,
  coordinator: undefined,
  storeTimeout: 250,
  purgeOnWrite: true,
  cacheControl: undefined
})

const ALL_READERS = { ...registrationReaders, ...routeReaders, ...protectionOfRoutes, observe: observeOfRoutes }

/** Reads the options of a registration. */
export function readOptions (options: CoalesceOptions, router: Router): Settings {
  const path = 'coalesce options'
  if (!isObject(options)) fail(path, 'an object', options)
  // These options of a registration are Fastify's.
  const { prefix, logLevel, logSerializers, ...own } = options as Record<string, unknown>
  const {
    global, dashboard, metrics, warnings, maxFlights, maxWaiters, maxRecordedBytes, clock, store, coordinator, storeTimeout, purgeOnWrite,
    cacheControl, ...routes
  } =
    read(ALL_READERS, own, { ...REGISTRATION_DEFAULTS, ...ROUTE_DEFAULTS }, path)
  checkLevel(routes, path)
  return Object.freeze({
    global,
    dashboard,
    metrics,
    warnings,
    maxFlights,
    maxWaiters,
    maxRecordedBytes,
    clock,
    store,
    coordinator,
    storeTimeout,
    purgeOnWrite,
    cacheControl,
    routes: Object.freeze({ ...routes, router })
  })
}
