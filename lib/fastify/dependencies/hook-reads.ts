/**
 * What hooks read before a request boards. A hook may turn a header into something that the handler uses. So may a wrapper around the
 * handler, a parser of bodies, and a validation whose error the handler sees.
 *
 * Invariant: on a route where hooks of the app or of other plugins run before boarding, all their reads are noted, except reads of
 * infrastructure headers, which do not shape responses. Only a leader's reads count: a follower that agrees with the leader in all of
 * them would have got the same response. A request that does not lead gets its original headers back as soon as that is known.
 */
import { channel } from 'node:diagnostics_channel'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { FORWARDED } from '../../http/forwarded.js'
import { isInfrastructure } from '../../http/infrastructure-headers.js'
import { REST, type Covers } from '../../http/query.js'
import { Reads, type WatchedRequest } from '../../http/reads.js'
import { dropHook, instanceHooks, prependHook, routeConfigOf, unbound, type InstanceHooks } from '../internals.js'
import type { RouteSettings } from '../../options/route-options.js'
import { QueryWatch } from './query-watch.js'

/** The part of a route that matters here. */
export interface HookedRoute {
  readonly settings: Pick<RouteSettings, 'learnVary' | 'credentials' | 'cookies' | 'query' | 'router'>
  /** Whether hooks of others run before its requests board. */
  watchesHooks: boolean
  /** Whether what validation finds in a query reaches the handler although what it looked at does not. */
  tellsValidation: boolean
  /** Whether the cookies that it ignores are taken out of its requests. */
  takesCookies: boolean
}

type HookedRequest = WatchedRequest & { readonly url?: string | undefined }

/** The names of hooks that run before the handler, in this order. */
const BEFORE = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

/** A route's config names its route here, for the hooks of an instance. */
const kRoute = Symbol('fastify-coalesce.route')
const kReads = Symbol('fastify-coalesce.hook-reads')
/** Fastify publishes each request here right before its handler. */
const handlerStart = channel('tracing:fastify.request.handler:start')

/** What is known of a request's hooks. */
export interface HookWatch {
  /** The URL as the first hook found it. */
  url: string | undefined
  /** Original values of the headers that hooks have read. */
  readonly originals: ReadonlyMap<string, unknown> | undefined
  /** Watches the query, if the key covers only a part of it. */
  query: QueryWatch | undefined
  stop (): void
}

interface Watching {
  [kReads]?: HookWatch
}

/** The hooks of a route that does not learn what is read: only the credentials of the request count as read. */
class UnlearnedHooks implements HookWatch {
  url: string | undefined
  readonly originals = new Map<string, unknown>()
  query: QueryWatch | undefined

  constructor ({ headers, url }: HookedRequest, credentials: readonly string[]) {
    this.url = url
    for (const name of credentials) if (headers[name] !== undefined) this.originals.set(name, headers[name])
  }

  stop (): void {}
}

/** The reads of a request's hooks, and of its handler if it leads. */
class HookReads extends Reads implements HookWatch {
  url: string | undefined
  originals: Map<string, unknown> | undefined
  query: QueryWatch | undefined
  readonly #credentials: readonly string[]
  #leads = false

  constructor (raw: HookedRequest, credentials: readonly string[]) {
    super(raw)
    this.url = raw.url
    this.#credentials = credentials
  }

  override note (name: string): void {
    if (this.#leads) {
      super.note(name)
    } else if (!this.aside && !isInfrastructure(name)) {
      if (this.originals?.has(name) !== true) (this.originals ??= new Map()).set(name, this.headers?.[name])
      // Credentials and identity are in the key.
      if (!this.#credentials.includes(name) && !this.#isElsewhere(name)) super.note(name === 'forwarded' ? FORWARDED : name)
    }
  }

  /** Whether a hook finds no `Host` because HTTP/2 has it as `:authority`, where it looks next. */
  #isElsewhere (name: string): boolean {
    return name === 'host' && this.headers?.host === undefined && this.headers?.[':authority'] !== undefined
  }

  override change (name: string | symbol): void {
    // Changes by hooks are compared when the request boards.
    if (this.#leads) super.change(name)
  }

  override replaced (): void {
    if (this.#leads) super.replaced()
  }

  /** Notes a read of what the key leaves out of a query. */
  noteQuery (name: string): void {
    super.note(name)
  }

  override stop (): void {
    super.stop()
    this.query?.stop()
  }

  /** The request leads: from now on its handler reads. */
  lead (): this {
    this.#leads = true
    this.early = this.names.size
    this.start()
    return this
  }
}

/** The hook that begins to watch. Where it has nothing to do it removes itself from the route. */
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

function watch (request: FastifyRequest, route: HookedRoute): HookWatch {
  const { settings: { learnVary, credentials, query } } = route
  const Hooks = learnVary === false ? UnlearnedHooks : HookReads
  const watch = (request as unknown as Watching)[kReads] ??= new Hooks(request.raw, credentials)
  if (typeof query === 'object') watch.query ??= watchQuery(request, watch, query.covers, route)
  return watch
}

function watchQuery (request: FastifyRequest, watch: HookWatch, covers: Covers, { settings, tellsValidation }: HookedRoute): QueryWatch {
  const looked = watch instanceof HookReads ? (name: string) => { watch.noteQuery(name) } : undefined
  return new QueryWatch(request, looked, { covers, parsesItself: settings.router.parsesItself, tellsValidation })
}

/** Begins to watch for tracers, where no hook comes before a handler. */
export function watchTracers (request: FastifyRequest, route: HookedRoute): void {
  if (handlerStart.hasSubscribers) watch(request, route)
}

/** Tracers that subscribed too late to be watched may have read any header of the request: all count as read. */
export function countTracers (request: FastifyRequest, route: HookedRoute): void {
  if (!handlerStart.hasSubscribers || (request as unknown as Watching)[kReads] !== undefined) return
  const reads = watch(request, route)
  if (reads instanceof HookReads) reads.noteAll()
}

/** Prepares an app for watching its hooks. */
export function prepareHookReads (fastify: FastifyInstance): void {
  // Without the list of hooks, ours can only come before hooks that are added later.
  if (instanceHooks(fastify) === undefined) fastify.addHook('onRequest', watchHooks)
}

/** The route of a request, if it is coalesced. */
export function hookedRouteOf (request: FastifyRequest): HookedRoute | undefined {
  return (routeConfigOf(request) as { [kRoute]?: HookedRoute })[kRoute]
}

/** Whether a request is one of a route that is coalesced. */
export function isOfCoalescedRoute (request: FastifyRequest): boolean {
  return kRoute in routeConfigOf(request)
}

/** Whether a registration, of this copy of the package or of another one, has adopted the route of a config. Not for every request. */
export function isAdopted (config: object): boolean {
  return Object.getOwnPropertySymbols(config).some(({ description }) => description === kRoute.description)
}

/** The coalesced route of a request; undefined if its route is not coalesced. */
export function coalescedRouteOf (request: FastifyRequest): HookedRoute | undefined {
  return (routeConfigOf(request) as { readonly [kRoute]?: HookedRoute })[kRoute]
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
  readonly hooks: readonly unknown[]
  readonly handler: unknown
  /** Bodies are part of its keys. */
  readonly hasBody: boolean
  /** Its handler sees a part of a query. */
  readonly narrows: boolean
}

/** Whether code of others runs before a request of a route boards, so that there is something to watch. */
export function hasOthersBefore (
  parksAt: 'onRequest' | 'preHandler', instance: InstanceHooks | undefined, options: RouteOptions, { hooks, handler, hasBody, narrows }: Ours
): boolean {
  if (instance === undefined) return true
  if (parksAt === 'preHandler' && (hasBody || options.handler !== handler || isTold(options, narrows))) return true
  return BEFORE.slice(0, parksAt === 'onRequest' ? 1 : BEFORE.length)
    .some(name => [instance[name], options[name] ?? []].flat(2).some(hook => hook !== watchHooks && !hooks.includes(hook)))
}

/** Whether a handler is told by `validationError` what a schema found in what it does not see, or what is not in the key. */
function isTold ({ attachValidation, schema }: RouteOptions, narrows: boolean): boolean {
  const { headers, query, querystring } = (schema ?? {}) as Record<string, unknown>
  return attachValidation === true && (headers !== undefined || (narrows && (querystring ?? query) !== undefined))
}

/** Stops watching a request. A leader begins again. */
export function endHookReads (request: FastifyRequest): void {
  hooksOf(request)?.stop()
}

/** What is known of a request's hooks; undefined if they are not watched. */
export function hooksOf (request: FastifyRequest): HookWatch | undefined {
  return (request as unknown as Watching)[kReads]
}

/** What is watched of a request's query. */
export function queryWatchOf (request: FastifyRequest): QueryWatch | undefined {
  return hooksOf(request)?.query
}

/** Has a request go on with its query as hooks and validation have left it. What reads it from now on is not noticed. */
export function endQueryWatch (request: FastifyRequest): void {
  const hooks = hooksOf(request)
  if (hooks?.query === undefined) return
  hooks.query.end()
  hooks.query = undefined
}

/** Any part of the query that the key does not cover may have been read: all of it counts. */
export function noteRest (request: FastifyRequest): void {
  const watch = hooksOf(request)
  if (watch instanceof HookReads) watch.noteQuery(REST)
}

/** What is noted of a request's hooks; undefined if they are not watched. */
export function hookReadsOf (request: FastifyRequest): Reads | undefined {
  const watch = hooksOf(request)
  return watch instanceof HookReads ? watch : undefined
}

/** What a leader's hooks have read, to go on with; undefined if they were not watched. */
export function leadOn (request: FastifyRequest): Reads | undefined {
  const reads = hooksOf(request)
  return reads instanceof HookReads ? reads.lead() : undefined
}
