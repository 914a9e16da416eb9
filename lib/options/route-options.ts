/**
 * Options of a route in (`config.coalesce`, and the defaults for it at registration); frozen, complete settings out.
 *
 * Invariant: a wrong option, an unknown one included, throws `FST_COALESCE_INVALID_OPTION` with its name, what it wants and
 * what it got. Nothing is repaired.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CoalesceRouteOptions, KeptResponseFacts, ShedReason } from '../../types/index.js'
import { atOnce } from '../http/at-once.js'
import { CACHE_NAME, isCacheName } from '../http/cache-status.js'
import { answersOneOnly } from '../http/policy.js'
import type { Recording } from '../http/recording.js'
import type { CookieSettings } from '../http/cookies.js'
import type { KeySettings } from '../http/key.js'
import { namedBy } from '../http/name-patterns.js'
import { coversAllBut, coversOnly, isOfQuery } from '../http/query.js'
import {
  checkEffect, FUNCTION_DEFAULTS, functionReaders, KEEPING_DEFAULTS, keepingReaders, type FunctionSettings, type KeepingSettings
} from './common-options.js'
import {
  below, boolean, callable, duration, durationOr, fail, headers, integer, isHeaderName, isObject, listOf, names, oneOf, optional, read,
  span, type Parser, type Parsers
} from './parsers.js'
import { observe, type ObserveSettings } from './observe-options.js'
import { checkProtection, PROTECTION_DEFAULTS, protectionReaders, type ProtectionSettings } from './protection-options.js'

type RouteProtection = ProtectionSettings<[request: FastifyRequest], [request: FastifyRequest, reply: FastifyReply, reason: ShedReason]>

export interface RouteSettings extends KeySettings<FastifyRequest>, FunctionSettings, KeepingSettings, RouteProtection {
  readonly hook: 'auto' | 'onRequest' | 'preHandler'
  readonly cookies: CookieSettings
  readonly credentials: readonly string[]
  readonly statuses: readonly number[]
  readonly maxBodyBytes: number
  readonly maxWaitersPerKey: number
  readonly releaseConcurrency: number
  readonly unshareableTtl: number
  readonly learnVary: false | { readonly ignore: readonly string[] }
  /** Undefined: nothing is cached. */
  readonly ttl: number | 'headers' | TtlFunction | undefined
  readonly negativeTtl: ReadonlyMap<number, number | 'headers'>
  readonly maxEntryBytes: number
  readonly tags: readonly string[]
  readonly tagHeaders: readonly string[]
  readonly respectRequestCacheControl: boolean
  /** The name of the cache in Cache-Status; undefined: no such field. */
  readonly cacheStatus: string | undefined
  /** Undefined: what is shared is not compared with anything. */
  readonly observe: ObserveSettings | undefined
}

/** A `ttl` function of the app, whose answers are checked. In milliseconds; undefined: the response is not cached. */
export type TtlFunction = (recording: Recording, request: FastifyRequest) => number | 'headers' | undefined

/** The settings that are options; the router is the app's. */
export type UserRouteSettings = Omit<RouteSettings, 'router'>

const isShareableStatus = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 200 && (value as number) <= 599 && !answersOneOnly(value as number)

const query: Parser<KeySettings<FastifyRequest>['query']> = (value, name) => {
  if (value === true) return 'sorted'
  if (value === 'raw') return 'raw'
  if (Array.isArray(value)) {
    const only = names(value, name)
    return Object.freeze({ covers: coversOnly(only), only })
  }
  if (!isObject(value)) return fail(name, "true, 'raw', an array of names or { ignore: [names] }", value)
  const { ignore } = read({ ignore: names }, value, {}, name)
  return Object.freeze({ covers: coversAllBut(ignore), ignore })
}

const body: Parser<KeySettings<FastifyRequest>['body']> = (value, name) => {
  if (value === false) return undefined
  if (value === true) return BODY
  if (!isObject(value)) return fail(name, 'true, false or { maxBytes }', value)
  return read({ maxBytes: integer(1) }, value, BODY, name)
}

const cookies: Parser<CookieSettings> = (value, name) => {
  if (Array.isArray(value)) return Object.freeze({ ...NO_COOKIES, key: names(value, name) })
  if (!isObject(value)) return fail(name, 'an array of names or { ignore: [names], key: [names] }', value)
  const { ignore, key } = read<Record<'ignore' | 'key', readonly string[]>>({ ignore: names, key: names }, value, { key: NO_COOKIES.key }, name)
  const isIgnored = namedBy(ignore)
  return Object.freeze({ key, ignores: (cookie: string) => isIgnored(cookie) && !key.includes(cookie), ignored: ignore })
}

/** Added to, or taken away from, what the registration has, or the default. */
const credentials: Parser<readonly string[]> = (value, name, inherited) => {
  if (Array.isArray(value)) return headers(value, name)
  if (!isObject(value)) return fail(name, 'an array of header names or { add: [names], remove: [names] }', value)
  const own = inherited as readonly string[]
  const { add, remove } = read<Record<'add' | 'remove', readonly string[]>>({ add: headers, remove: headers }, value, { add: [], remove: [] }, name)
  const unknown = remove.find(each => !own.includes(each))
  if (unknown !== undefined) fail(below(name, 'remove'), `made of ${own.join(', ')}`, unknown)
  return Object.freeze([...new Set([...own.filter(each => !remove.includes(each)), ...add])])
}

const isLook = (value: unknown): value is string => isHeaderName(value) || (typeof value === 'string' && isOfQuery(value))

/** `?sig` is a parameter of the query, `?` all of them. */
const looks: Parser<readonly string[]> = (value, name) =>
  Object.freeze(listOf("an array of header names, and of parameters as '?name'", isLook)(value, name)
    .map(each => isOfQuery(each) ? each : each.toLowerCase()))

const learnVary: Parser<RouteSettings['learnVary']> = (value, name) => {
  if (value === false) return false
  if (value === true) return LEARN_ALL
  if (!isObject(value)) return fail(name, 'true, false or { ignore: [header names] }', value)
  return read({ ignore: looks }, value, LEARN_ALL, name)
}

const ttl: Parser<RouteSettings['ttl']> = (value, name) => {
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

const negativeTtl: Parser<RouteSettings['negativeTtl']> = (value, name) => {
  if (!isObject(value)) return fail(name, "an object of status codes from 400 to 599 without 412 and 416, each with a duration or 'headers'", value)
  const byStatus = new Map<number, number | 'headers'>()
  for (const [status, time] of Object.entries(value)) {
    if (!/^[45]\d\d$/.test(status) || answersOneOnly(Number(status))) fail(name, 'made of status codes from 400 to 599 without 412 and 416', status)
    byStatus.set(Number(status), time === 'headers' ? time : durationOr("'headers'")(time, below(name, status)))
  }
  return Object.freeze(byStatus)
}

export const routeReaders: Parsers<UserRouteSettings> = {
  ...functionReaders,
  ...protectionReaders<[FastifyRequest], [FastifyRequest, FastifyReply, ShedReason]>(),
  hook: oneOf('auto', 'onRequest', 'preHandler'),
  query,
  headers,
  cookies,
  identity: optional(callable<NonNullable<RouteSettings['identity']>>),
  key: optional(callable<NonNullable<RouteSettings['key']>>),
  body,
  credentials,
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
  observe,
  cacheStatus: (value, name) => {
    if (value === true) return CACHE_NAME
    if (value === false) return undefined
    return typeof value === 'string' && isCacheName(value) ? value : fail(name, 'true, false or a name of printable ASCII', value)
  }
}

const NO_COOKIES: CookieSettings = Object.freeze({ key: Object.freeze([]), ignores: undefined, ignored: Object.freeze([]) })
const BODY = Object.freeze({ maxBytes: 1_048_576 })
const LEARN_ALL = Object.freeze({ ignore: Object.freeze([]) })

export const ROUTE_DEFAULTS: UserRouteSettings = Object.freeze({
  ...FUNCTION_DEFAULTS,
  ...PROTECTION_DEFAULTS,
  hook: 'auto',
  query: 'sorted',
  headers: Object.freeze([]),
  cookies: NO_COOKIES,
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
  cacheStatus: undefined,
  observe: undefined
})

/** What has no effect where nothing is cached. */
const NEED_TTL = [...Object.keys(KEEPING_DEFAULTS) as Array<keyof KeepingSettings>, 'maxEntryBytes', 'tags', 'tagHeaders'] as const

/** Reads `config.coalesce` of a route that is coalesced. */
export function readRouteOptions (options: true | CoalesceRouteOptions, defaults: RouteSettings, route: string): RouteSettings {
  const path = `config.coalesce of ${route}`
  if (options === true) return defaults
  if (!isObject(options)) return fail(path, 'true, false or an object', options)
  const { router, ...rest } = defaults
  const settings = read<UserRouteSettings>(routeReaders, options, rest, path)
  if (settings.ttl === undefined && settings.negativeTtl.size === 0) {
    checkEffect(NEED_TTL, options, settings, ROUTE_DEFAULTS, path, 'given with ttl or negativeTtl, because without them nothing is cached')
  }
  checkProtection(options, settings, path)
  return Object.freeze({ ...settings, router })
}
