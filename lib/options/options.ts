/**
 * Options in; frozen, complete settings out.
 *
 * Invariant: a wrong option, an unknown one included, throws `FST_COALESCE_INVALID_OPTION` with its name, what it wants and
 * what it got. Nothing is repaired.
 */
import type { FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { Registry } from 'prom-client'
import type { Clock, CoalesceOptions, CoalesceRouteOptions, KeptResponseFacts, Purge, Store } from '../../types/index.js'
import { systemClock } from '../clock.js'
import { atOnce } from '../http/at-once.js'
import { CACHE_NAME, isCacheName } from '../http/cache-status.js'
import { pathLabel, routeLabel, tagLabel } from '../http/labels.js'
import { answersOneOnly } from '../http/policy.js'
import type { Recording } from '../http/recording.js'
import type { KeySettings, Router } from '../http/key.js'
import { coversAllBut, coversOnly, isOfQuery, queryStart } from '../http/query.js'
import {
  boolean, callable, clock, duration, durationOr, fail, headers, integer, isHeaderName, isName, isObject, listOf, names, oneOf, optional,
  part, read, seconds, span, type Reader, type Readers
} from './parsers.js'

export interface RouteSettings extends KeySettings<FastifyRequest> {
  readonly hook: 'auto' | 'onRequest' | 'preHandler'
  readonly credentials: readonly string[]
  readonly statuses: readonly number[]
  readonly waitTimeout: number
  readonly onWaitTimeout: 'run' | 'error'
  readonly flightTimeout: number
  readonly onError: 'share' | 'promote'
  readonly maxBodyBytes: number
  readonly maxWaitersPerKey: number
  readonly releaseConcurrency: number
  readonly unshareableTtl: number
  readonly learnVary: false | { readonly ignore: readonly string[] }
  /** Undefined: nothing is kept. */
  readonly ttl: number | 'headers' | TtlFunction | undefined
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  readonly ttlJitter: number
  /** As a part of the time that a response is fresh; infinite for never. */
  readonly eagerRefresh: number
  readonly negativeTtl: ReadonlyMap<number, number | 'headers'>
  readonly maxEntryBytes: number
  readonly tags: readonly string[]
  readonly tagHeaders: readonly string[]
  readonly respectRequestCacheControl: boolean
  /** The name of the cache in Cache-Status; undefined: there is none. */
  readonly cacheStatus: string | undefined
}

/** The `ttl` of a response, already checked. */
export type TtlFunction = (recording: Recording, request: FastifyRequest) => number | 'headers' | undefined

export interface MetricsSettings {
  readonly path: string | false
  readonly registry: Registry | undefined
  readonly prefix: string
  readonly defaultMetrics: boolean
  readonly routeOptions: RouteShorthandOptions
}

export interface Settings {
  readonly routes: RouteSettings
  readonly global: boolean
  /** Undefined: as the context around this one has it. */
  readonly metrics: MetricsSettings | false | undefined
  readonly maxFlights: number
  readonly maxWaiters: number
  readonly maxRecordedBytes: number
  readonly clock: Clock
  readonly store: Store | undefined
  readonly storeTimeout: number
  readonly purgeOnWrite: boolean
  /** Undefined: as the context around this one has it. */
  readonly cacheControl: CacheControlSettings | false | undefined
}

/** As @fastify/caching takes it: in seconds. */
export interface CacheControlSettings {
  readonly privacy: 'public' | 'private' | 'no-cache'
  readonly expiresIn: number | undefined
  readonly serverExpiresIn: number | undefined
}

export interface FunctionSettings {
  readonly waitTimeout: number
  readonly onWaitTimeout: 'run' | 'error'
  readonly flightTimeout: number
  readonly onError: 'share' | 'promote'
}

const METRIC_PREFIX = /^(?:[a-zA-Z_:][a-zA-Z0-9_:]*)?$/
const isShareableStatus = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 200 && (value as number) <= 599 && !answersOneOnly(value as number)

const query: Reader<KeySettings<FastifyRequest>['query']> = (value, name) => {
  if (value === true) return 'sorted'
  if (value === 'raw') return 'raw'
  if (Array.isArray(value)) return Object.freeze({ covers: coversOnly(names(value, name)) })
  if (!isObject(value)) return fail(name, "true, 'raw', an array of names or { ignore: [names] }", value)
  const { ignore } = read({ ignore: names }, value, {}, name)
  return Object.freeze({ covers: coversAllBut(ignore) })
}

const body: Reader<KeySettings<FastifyRequest>['body']> = (value, name) => {
  if (value === false) return undefined
  if (value === true) return BODY
  if (!isObject(value)) return fail(name, 'true, false or { maxBytes }', value)
  return read({ maxBytes: integer(1) }, value, BODY, name)
}

const isLook = (value: unknown): value is string => isHeaderName(value) || (typeof value === 'string' && isOfQuery(value))

/** `?sig` is a parameter of the query, `?` all of them. */
const looks: Reader<readonly string[]> = (value, name) =>
  Object.freeze(listOf("an array of header names, and of parameters as '?name'", isLook)(value, name)
    .map(each => isOfQuery(each) ? each : each.toLowerCase()))

const learnVary: Reader<RouteSettings['learnVary']> = (value, name) => {
  if (value === false) return false
  if (value === true) return LEARN_ALL
  if (!isObject(value)) return fail(name, 'true, false or { ignore: [header names] }', value)
  return read({ ignore: looks }, value, LEARN_ALL, name)
}

const metrics: Reader<Settings['metrics']> = (value, name) => {
  if (value === undefined || value === false) return value
  if (value === true) return METRICS
  if (!isObject(value)) return fail(name, 'true, false or an object', value)
  return read(metricsReaders, value, METRICS, name)
}

const metricsReaders: Readers<MetricsSettings> = {
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
  routeOptions: (value, name) => isObject(value) ? value as RouteShorthandOptions : fail(name, 'route options', value)
}

const ttl: Reader<RouteSettings['ttl']> = (value, name) => {
  if (value === false) return undefined
  if (value === 'headers') return value
  if (typeof value !== 'function') return durationOr("'headers', a function or false")(value, name)
  const ttlOf = value as (response: KeptResponseFacts, request: FastifyRequest) => unknown
  return function checkedTtl ({ status, headers, body, bytes }, request) {
    const whole = body as string | Buffer | null
    const answer = atOnce(ttlOf({ status, headers: Object.fromEntries(headers.set), body: whole, bytes: bytes as number }, request))
    if (answer === 'headers') return answer
    return answer === undefined || answer === null ? undefined : span(answer, `the answer of ${name}`) || undefined
  }
}

const negativeTtl: Reader<RouteSettings['negativeTtl']> = (value, name) => {
  if (!isObject(value)) return fail(name, "an object of status codes from 400 to 599 without 412 and 416, each with a duration or 'headers'", value)
  const byStatus = new Map<number, number | 'headers'>()
  for (const [status, time] of Object.entries(value)) {
    if (!/^[45]\d\d$/.test(status) || answersOneOnly(Number(status))) fail(name, 'made of status codes from 400 to 599 without 412 and 416', status)
    byStatus.set(Number(status), time === 'headers' ? time : durationOr("'headers'")(time, `${name}.${status}`))
  }
  return Object.freeze(byStatus)
}

export const store: Reader<Store> = (value, name) =>
  isObject(value) && !(value instanceof Map) && ['get', 'set', 'delete'].every(method => typeof value[method] === 'function')
    ? value as unknown as Store
    : fail(name, 'an object with get(key), set(entry, keepFor) and delete(key), so no Map', value)

const cacheControl: Reader<CacheControlSettings | false> = (value, name) => {
  if (value === false) return false
  if (!isObject(value)) return fail(name, 'false or { privacy, expiresIn, serverExpiresIn }', value)
  const settings = read<CacheControlSettings>({
    privacy: oneOf('public', 'private', 'no-cache'), expiresIn: optional(seconds), serverExpiresIn: optional(seconds)
  }, value, {}, name)
  // @fastify/caching would not say it, and not say so.
  if (settings.expiresIn !== undefined && settings.privacy === 'no-cache') fail(`${name}.expiresIn`, "without privacy: 'no-cache'", value.expiresIn)
  if (settings.serverExpiresIn !== undefined && settings.privacy !== 'public') {
    fail(`${name}.serverExpiresIn`, "with privacy: 'public' only", value.serverExpiresIn)
  }
  return settings
}

type UserRouteSettings = Omit<RouteSettings, 'router'>

export const functionReaders: Readers<FunctionSettings> = {
  waitTimeout: duration,
  onWaitTimeout: oneOf('run', 'error'),
  flightTimeout: duration,
  onError: oneOf('share', 'promote')
}

export type KeepingSettings = Pick<RouteSettings, 'staleWhileRevalidate' | 'staleIfError' | 'ttlJitter' | 'eagerRefresh'>

export const keepingReaders: Readers<KeepingSettings> = {
  staleWhileRevalidate: span,
  staleIfError: span,
  ttlJitter: part(0, 1),
  eagerRefresh: (value, name) => value === false ? Infinity : part(0, 1, ', or false')(value, name)
}

const routeReaders: Readers<UserRouteSettings> = {
  ...functionReaders,
  hook: oneOf('auto', 'onRequest', 'preHandler'),
  query,
  headers,
  cookies: names,
  identity: optional(callable<NonNullable<RouteSettings['identity']>>),
  key: optional(callable<NonNullable<RouteSettings['key']>>),
  body,
  credentials: headers,
  statuses: listOf('an array of status codes from 200 to 599 without 206, 304, 412 and 416', isShareableStatus),
  maxBodyBytes: integer(0),
  maxWaitersPerKey: integer(0),
  releaseConcurrency: integer(1),
  unshareableTtl: duration,
  learnVary,
  ttl,
  ...keepingReaders,
  negativeTtl,
  maxEntryBytes: integer(0),
  tags: names,
  tagHeaders: headers,
  respectRequestCacheControl: boolean,
  cacheStatus: (value, name) => {
    if (value === true) return CACHE_NAME
    if (value === false) return undefined
    return typeof value === 'string' && isCacheName(value) ? value : fail(name, 'true, false or a name of printable ASCII', value)
  }
}

const registrationReaders: Readers<Omit<Settings, 'routes'>> = {
  global: boolean,
  metrics,
  maxFlights: integer(0),
  maxWaiters: integer(0),
  maxRecordedBytes: integer(0),
  clock,
  store: optional(store),
  storeTimeout: duration,
  purgeOnWrite: boolean,
  cacheControl: optional(cacheControl)
}

const BODY = Object.freeze({ maxBytes: 1_048_576 })
const LEARN_ALL = Object.freeze({ ignore: Object.freeze([]) })
const METRICS: MetricsSettings = Object.freeze({
  path: '/metrics', registry: undefined, prefix: '', defaultMetrics: false, routeOptions: Object.freeze({})
})

export const FUNCTION_DEFAULTS: FunctionSettings = Object.freeze({
  waitTimeout: 30_000,
  onWaitTimeout: 'run',
  flightTimeout: 60_000,
  onError: 'share'
})

export const KEEPING_DEFAULTS: KeepingSettings = Object.freeze({
  staleWhileRevalidate: 0,
  staleIfError: 0,
  ttlJitter: 0,
  eagerRefresh: Infinity
})

const ROUTE_DEFAULTS: UserRouteSettings = Object.freeze({
  ...FUNCTION_DEFAULTS,
  hook: 'auto',
  query: 'sorted',
  headers: Object.freeze([]),
  cookies: Object.freeze([]),
  identity: undefined,
  key: undefined,
  body: undefined,
  credentials: Object.freeze(['authorization', 'proxy-authorization', 'cookie', 'x-api-key']),
  statuses: Object.freeze([]),
  maxBodyBytes: 8_388_608,
  maxWaitersPerKey: 10_000,
  releaseConcurrency: 64,
  unshareableTtl: 120_000,
  learnVary: LEARN_ALL,
  ttl: undefined,
  ...KEEPING_DEFAULTS,
  negativeTtl: Object.freeze(new Map()),
  maxEntryBytes: 8_388_608,
  tags: Object.freeze([]),
  tagHeaders: Object.freeze([]),
  respectRequestCacheControl: false,
  cacheStatus: undefined
})

const REGISTRATION_DEFAULTS: Omit<Settings, 'routes'> = Object.freeze({
  global: false,
  metrics: undefined,
  maxFlights: 10_000,
  maxWaiters: 50_000,
  maxRecordedBytes: 268_435_456,
  clock: systemClock,
  store: undefined,
  storeTimeout: 250,
  purgeOnWrite: true,
  cacheControl: undefined
})

/** Reads the options of a registration. */
export function readOptions (options: CoalesceOptions, router: Router): Settings {
  if (!isObject(options)) fail('coalesce options', 'an object', options)
  // Fastify itself reads these from the options of a registration.
  const { prefix, logLevel, logSerializers, ...own } = options as Record<string, unknown>
  const { global, metrics, maxFlights, maxWaiters, maxRecordedBytes, clock, store, storeTimeout, purgeOnWrite, cacheControl, ...routes } =
    read({ ...registrationReaders, ...routeReaders }, own, { ...REGISTRATION_DEFAULTS, ...ROUTE_DEFAULTS }, 'coalesce options')
  return Object.freeze({
    global,
    metrics,
    maxFlights,
    maxWaiters,
    maxRecordedBytes,
    clock,
    store,
    storeTimeout,
    purgeOnWrite,
    cacheControl,
    routes: Object.freeze({ ...routes, router })
  })
}

/** Reads `config.coalesce` of a route that is coalesced. */
export function readRouteOptions (options: true | CoalesceRouteOptions, defaults: RouteSettings, route: string): RouteSettings {
  const path = `config.coalesce of ${route}`
  if (options === true) return defaults
  if (!isObject(options)) return fail(path, 'true, false or an object', options)
  const { router, ...rest } = defaults
  return Object.freeze({ ...read<UserRouteSettings>(routeReaders, options, rest, path), router })
}

/** Reads what to purge, of an app whose router is this one. */
export function readPurge (purge: Purge, router: Router): { readonly labels: readonly string[], readonly soft: boolean } {
  const path = 'invalidate'
  if (!isObject(purge)) return fail(path, 'an object', purge)
  const name = optional((value: unknown, own: string) => isName(value) ? value : fail(own, 'a non-empty string', value))
  type Chosen = Record<'key' | 'route' | 'url', string | undefined> & { tags: readonly string[], soft: boolean }
  const { tags, key, route, url, soft } = read<Chosen>(
    { tags: names, key: name, route: name, url: name, soft: boolean }, purge, { tags: Object.freeze([]), soft: false }, path)
  const labels = tags.map(tagLabel)
  if (key !== undefined) labels.push(key)
  if (route !== undefined) labels.push(routeLabel(route))
  if (url !== undefined) labels.push(pathLabel(url.slice(0, queryStart(url, router.semicolonDelimits))))
  return labels.length === 0 ? fail(path, 'made of tags, key, route or url', purge) : { labels, soft }
}
