/**
 * What hooks read before a request boards: a hook may make of a header what the handler then answers with. So may what others put
 * around its handler, a parser of bodies, and a validation whose error the handler is told.
 *
 * Invariant: on a route where hooks of others run before boarding, all that they read is noted from the first of them on, but
 * what they read for other purposes than the response. It counts for who leads and for nobody else: where a leader and a
 * follower agree in all that the leader's hooks and handler read, the follower's would have gone the same way. A request that
 * does not lead has its own headers back as soon as that is known. What a hook takes away from a request that it has read, or
 * puts another one in place of, is in the key, and a credential counts as there.
 */
import { channel } from 'node:diagnostics_channel'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { besidesAddresses, FORWARDED } from '../../http/forwarded.js'
import { isPlumbing } from '../../http/infrastructure-headers.js'
import { REST, type Covers } from '../../http/query.js'
import { Reads, type WatchedRequest } from '../../http/reads.js'
import { dropHook, instanceHooks, prependHook, routeConfigOf, unbound, type InstanceHooks } from '../internals.js'
import type { RouteSettings } from '../../options/route-options.js'
import { QueryWatch } from './query-watch.js'

/** The part of a route that matters here. */
export interface HookedRoute {
  readonly settings: Pick<RouteSettings, 'learnVary' | 'credentials' | 'query' | 'router'>
  /** Whether hooks of others run before its requests board. */
  watchesHooks: boolean
  /** Whether what validation finds in a query reaches the handler although what it looked at does not. */
  tellsValidation: boolean
}

type Asked = WatchedRequest & { readonly url?: string | undefined }

type HiddenSettings = Pick<RouteSettings, 'credentials' | 'key' | 'learnVary'>

/** The names of hooks that run before the handler, in this order. */
const BEFORE = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

/** Where a route's config names its route, for hooks of an instance. */
const kRoute = Symbol('fastify-coalesce.route')
const kReads = Symbol('fastify-coalesce.hook-reads')
/** Whose subscribers Fastify tells of a request right before its handler. */
const handlerStart = channel('tracing:fastify.request.handler:start')

/** What is known of a request's hooks. */
interface Watch {
  /** The URL as the first hook found it. */
  url: string | undefined
  /** What was there before, and the hooks may have made something of, as it was then. */
  readonly seen: ReadonlyMap<string, unknown> | undefined
  /** Of a query that the key covers a part of. */
  query: QueryWatch | undefined
  stop (): void
}

interface Watching {
  [kReads]?: Watch
}

/** On a route that does not learn what is read: the credentials of a request count as read by its hooks. */
class Unwatched implements Watch {
  url: string | undefined
  readonly seen = new Map<string, unknown>()
  query: QueryWatch | undefined

  constructor ({ headers, url }: Asked, credentials: readonly string[]) {
    this.url = url
    for (const name of credentials) if (headers[name] !== undefined) this.seen.set(name, headers[name])
  }

  stop (): void {}
}

/** The reads of a request's hooks, and of its handler if it leads. */
class HookReads extends Reads implements Watch {
  url: string | undefined
  seen: Map<string, unknown> | undefined
  query: QueryWatch | undefined
  readonly #credentials: readonly string[]
  #leads = false

  constructor (raw: Asked, credentials: readonly string[]) {
    super(raw)
    this.url = raw.url
    this.#credentials = credentials
  }

  override note (name: string): void {
    if (this.#leads) {
      super.note(name)
    } else if (!this.aside && !isPlumbing(name)) {
      if (this.seen?.has(name) !== true) (this.seen ??= new Map()).set(name, this.headers?.[name])
      // Who is asking is for the key to tell, with credentials.
      if (!this.#credentials.includes(name) && !this.#isElsewhere(name)) super.note(name === 'forwarded' ? FORWARDED : name)
    }
  }

  /** Whether a hook finds no `Host` because HTTP/2 has it as `:authority`, where it looks next. */
  #isElsewhere (name: string): boolean {
    return name === 'host' && this.headers?.host === undefined && this.headers?.[':authority'] !== undefined
  }

  override change (name: string | symbol): void {
    // What hooks change can be told when it boards.
    if (this.#leads) super.change(name)
  }

  override replaced (): void {
    if (this.#leads) super.replaced()
  }

  /** Notes a look at what the key leaves out of a query. */
  noteQuery (name: string): void {
    super.note(name)
  }

  override stop (): void {
    super.stop()
    this.query?.stop()
  }

  /** It leads, and its handler reads from now on. */
  lead (): this {
    this.#leads = true
    this.start()
    return this
  }
}

/** The hook that puts the watch on. Where it has nothing to do it takes itself out of the route. */
function watchHooks (request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const config = routeConfigOf(request) as { [kRoute]?: HookedRoute }
  const { [kRoute]: route } = config
  hideRoute(config)
  if (route?.watchesHooks !== true) {
    dropHook(request, 'onRequest', watchHooks)
  } else {
    watch(request, route)
  }
  done()
}
unbound(watchHooks)

function watch (request: FastifyRequest, route: HookedRoute): Watch {
  const { settings: { learnVary, credentials, query } } = route
  const watch = (request as unknown as Watching)[kReads] ??= new (learnVary === false ? Unwatched : HookReads)(request.raw, credentials)
  if (typeof query === 'object') watch.query ??= watchQuery(request, watch, query.covers, route)
  return watch
}

function watchQuery (request: FastifyRequest, watch: Watch, covers: Covers, { settings, tellsValidation }: HookedRoute): QueryWatch {
  const looked = watch instanceof HookReads ? (name: string) => { watch.noteQuery(name) } : undefined
  return new QueryWatch(request, looked, { covers, parsesItself: settings.router.parsesItself, tellsValidation })
}

/** Puts the watch on for tracers, where no hook comes before a handler. */
export function watchTracers (request: FastifyRequest, route: HookedRoute): void {
  if (handlerStart.hasSubscribers) watch(request, route)
}

/** Tracers have been told of a request: what they read before there was a watch, because they came too late for it, may be anything. */
export function countTracers (request: FastifyRequest, route: HookedRoute): void {
  if (!handlerStart.hasSubscribers || (request as unknown as Watching)[kReads] !== undefined) return
  const reads = watch(request, route)
  if (reads instanceof HookReads) reads.noteAll()
}

/** Prepares an app for it. */
export function prepareHookReads (fastify: FastifyInstance): void {
  // Then no more can be done than to come before the hooks that are added from now on.
  if (instanceHooks(fastify) === undefined) fastify.addHook('onRequest', watchHooks)
}

/** Whether a request is one of a route that is coalesced. */
export function isOfCoalescedRoute (request: FastifyRequest): boolean {
  return kRoute in routeConfigOf(request)
}

/** Has the hooks of a route watched. Returns the config to give it. */
export function watchHooksOf (fastify: FastifyInstance, config: object | undefined, route: HookedRoute): object {
  prependHook(fastify, 'onRequest', watchHooks)
  return { ...config, [kRoute]: route }
}

/** Hides what a config names its route by, once Fastify has copied it, which copies only what can be come across. */
export function hideRoute (config: object | undefined): void {
  if (config === undefined || !Object.prototype.propertyIsEnumerable.call(config, kRoute)) return
  Reflect.defineProperty(config, kRoute, { enumerable: false })
}

/** What is ours on a route. */
export interface Ours {
  readonly park: unknown
  readonly handler: unknown
  /** Bodies are part of its keys. */
  readonly hasBody: boolean
  /** Its handler sees a part of a query. */
  readonly narrows: boolean
}

/** Whether others than ours come before a request of a route boards, so that there is something to watch. */
export function hasOthersBefore (
  parksAt: 'onRequest' | 'preHandler', instance: InstanceHooks | undefined, options: RouteOptions, { park, handler, hasBody, narrows }: Ours
): boolean {
  if (instance === undefined) return true
  if (parksAt === 'preHandler' && (hasBody || options.handler !== handler || isTold(options, narrows))) return true
  return BEFORE.slice(0, parksAt === 'onRequest' ? 1 : BEFORE.length)
    .some(name => [instance[name], options[name] ?? []].flat(2).some(hook => hook !== watchHooks && hook !== park))
}

/** Whether a handler is told by `validationError` what a schema found in what it does not see, or what is not in the key. */
function isTold ({ attachValidation, schema }: RouteOptions, narrows: boolean): boolean {
  const { headers, query, querystring } = (schema ?? {}) as Record<string, unknown>
  return attachValidation === true && (headers !== undefined || (narrows && (querystring ?? query) !== undefined))
}

/** Takes the watch off a request. Who leads puts it on again. */
export function endHookReads (request: FastifyRequest): void {
  (request as unknown as Watching)[kReads]?.stop()
}

/** The URL that a hook has put another one in place of, and of which Fastify has params and query; undefined if none has. */
export function replacedUrl (request: FastifyRequest): string | undefined {
  const reads = (request as unknown as Watching)[kReads]
  return reads === undefined || reads.url === request.url ? undefined : reads.url
}

/** The target as it came, before the router rewrote it, or a hook changed it. */
export function originalUrlOf (request: FastifyRequest): string {
  return (request.raw as { originalUrl?: string }).originalUrl ?? replacedUrl(request) ?? request.url
}

/** What is watched of a request's query. */
export function queryWatchOf (request: FastifyRequest): QueryWatch | undefined {
  return (request as unknown as Watching)[kReads]?.query
}

/** Whatever there is of the query that the key does not cover, it may have been read. */
export function noteRest (request: FastifyRequest): void {
  const watch = (request as unknown as Watching)[kReads]
  if (watch instanceof HookReads) watch.noteQuery(REST)
}

/** What a key must have besides what is left of a request, as text. */
export interface Hidden {
  readonly credential: boolean
  readonly text: string | undefined
}

const NO_HEADERS: ReadonlyArray<readonly [name: string, value: unknown]> = Object.freeze([])
const NOTHING: Hidden = Object.freeze({ credential: false, text: undefined })

/** The headers, but for credentials, that hooks took away or put others in place of once they had read them, as the client sent them. */
export function replacedHeaders (
  request: FastifyRequest, { credentials, learnVary }: Omit<HiddenSettings, 'key'>
): typeof NO_HEADERS {
  const seen = (request as unknown as Watching)[kReads]?.seen
  if (seen === undefined || learnVary === false) return NO_HEADERS
  return [...seen].filter(([name, value]) =>
    request.headers[name] !== value && !credentials.includes(name) && !learnVary.ignore.includes(name))
}

/** What hooks took away from a request, or put another one in place of, once they had read it. */
export function hiddenIn (request: FastifyRequest, settings: HiddenSettings): Hidden {
  const reads = (request as unknown as Watching)[kReads]
  if (reads === undefined) return NOTHING
  const credential = settings.credentials.some(name => {
    const value = reads.seen?.get(name)
    return value !== undefined && request.headers[name] !== value
  })
  const url = settings.key === undefined ? replacedUrl(request) : undefined
  // Of what one says of addresses a hook has made nothing.
  const others = replacedHeaders(request, settings)
    .map(([name, value]) => name === 'forwarded' ? [FORWARDED, besidesAddresses(value as string | undefined ?? null)] : [name, value])
    .filter(([name, value]) => name !== FORWARDED || value !== null)
  if (!credential && url === undefined && others.length === 0) return NOTHING
  return { credential, text: url === undefined && others.length === 0 ? undefined : JSON.stringify([url ?? null, others]) }
}

/** Gives a request another URL, which is none of a hook's. Returns what takes that back. */
export function changeUrl (request: FastifyRequest, change: (url: string) => string): () => void {
  const { raw, url } = request
  const reads = (request as unknown as Watching)[kReads]
  const found = reads?.url
  if (reads !== undefined && found !== undefined) reads.url = change(found)
  raw.url = change(url)
  return () => {
    if (reads !== undefined) reads.url = found
    raw.url = url
  }
}

/** What is noted of a request's hooks; undefined if they are not watched. */
export function hookReadsOf (request: FastifyRequest): Reads | undefined {
  const watch = (request as unknown as Watching)[kReads]
  return watch instanceof HookReads ? watch : undefined
}

/** What a leader's hooks have read, to go on with; undefined if they were not watched. */
export function leadOn (request: FastifyRequest): Reads | undefined {
  const reads = (request as unknown as Watching)[kReads]
  return reads instanceof HookReads ? reads.lead() : undefined
}
