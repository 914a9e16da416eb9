/**
 * What hooks read before a request boards: a hook may make of a header what the handler then answers with.
 *
 * Invariant: on a route where hooks of others run before boarding, all that they read is noted from the first of them on, but
 * what they read for other purposes than the response. It counts for who leads and for nobody else: where a leader and a
 * follower agree in all that the leader's hooks and handler read, the follower's would have gone the same way. A request that
 * does not lead has its own headers back as soon as that is known. What a hook makes of a URL hides nothing of it from the key,
 * and a credential that a hook has read counts as there if it takes it away.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { isPlumbing } from './http/plumbing.js'
import { Reads, type Watched } from './http/reads.js'
import { dropOnRequest, instanceHooks, prependOnRequest, routeConfigOf, type InstanceHooks } from './internals.js'
import type { RouteSettings } from './options.js'

/** The part of a route that matters here. */
export interface HookedRoute {
  readonly settings: Pick<RouteSettings, 'learnVary' | 'credentials'>
  /** Whether hooks of others run before its requests board. */
  watchesHooks: boolean
}

/** The names of hooks that run before the handler, in this order. */
const BEFORE = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

/** Where a route's config names its route, for hooks of an instance. */
const kRoute = Symbol('fastify-coalesce.route')
const kReads = Symbol('fastify-coalesce.hook-reads')

interface Watching {
  [kReads]: HookReads | undefined
}

/** The reads of a request's hooks, and of its handler if it leads. */
class HookReads extends Reads {
  /** The URL as the first hook found it. */
  url: string | undefined
  readonly #credentials: readonly string[]
  #leads = false
  /** The credentials that were read, as they were then. */
  #seen: Map<string, unknown> | undefined

  constructor (raw: Watched & { readonly url?: string | undefined }, credentials: readonly string[]) {
    super(raw)
    this.url = raw.url
    this.#credentials = credentials
  }

  override note (name: string): void {
    if (this.#leads) super.note(name)
    // Who is asking is for the key to tell, with credentials.
    else if (this.#credentials.includes(name)) this.#see(name)
    else if (!isPlumbing(name)) super.note(name)
  }

  /** Whether a credential that was read is not in these headers any more. */
  misses (headers: IncomingHttpHeaders): boolean {
    for (const [name, value] of this.#seen ?? []) if (headers[name] !== value) return true
    return false
  }

  #see (name: string): void {
    const value = this.headers?.[name]
    if (value === undefined || this.#seen?.has(name) === true) return
    this.#seen ??= new Map()
    this.#seen.set(name, value)
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
  const { [kRoute]: route } = routeConfigOf(request) as { [kRoute]?: HookedRoute }
  if (route?.watchesHooks !== true) {
    dropOnRequest(request, watchHooks)
  } else {
    (request as unknown as Watching)[kReads] ??= new HookReads(request.raw, route.settings.credentials)
  }
  done()
}
// Fastify binds hooks to their instance, and it would not be found among the bound ones.
Object.defineProperty(watchHooks, 'bind', { value: () => watchHooks })

/** Prepares an app for it. */
export function prepareHookReads (fastify: FastifyInstance): void {
  fastify.decorateRequest(kReads as unknown as string, undefined)
  // Then no more can be done than to come before the hooks that are added from now on.
  if (instanceHooks(fastify) === undefined) fastify.addHook('onRequest', watchHooks)
}

/** Has the hooks of a route watched. Returns the config to give it. */
export function watchHooksOf (fastify: FastifyInstance, config: object | undefined, route: HookedRoute): object {
  if (route.settings.learnVary !== false) prependOnRequest(fastify, watchHooks)
  return { ...config, [kRoute]: route }
}

/**
 * Whether there is something to watch.
 *
 * @param park ours, on each route
 */
export function hasHooksBefore (
  parksAt: 'onRequest' | 'preHandler', instance: InstanceHooks | undefined, options: RouteOptions, park: unknown
): boolean {
  if (instance === undefined) return true
  return BEFORE.slice(0, parksAt === 'onRequest' ? 1 : BEFORE.length)
    .some(name => [instance[name], options[name] ?? []].flat(2).some(hook => hook !== watchHooks && hook !== park))
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

/** Whether a hook read a credential and took it away, or put another one in its place. */
export function hidesCredential (request: FastifyRequest): boolean {
  return (request as unknown as Watching)[kReads]?.misses(request.headers) === true
}

/** Gives a request another URL, which is none of a hook's. */
export function changeUrl (request: FastifyRequest, change: (url: string) => string): void {
  const { raw } = request
  const reads = (request as unknown as Watching)[kReads]
  if (reads?.url !== undefined) reads.url = change(reads.url)
  raw.url = change(request.url)
}

/** What a leader's hooks have read, to go on with; undefined if they were not watched. */
export function leadOn (request: FastifyRequest): Reads | undefined {
  return (request as unknown as Watching)[kReads]?.lead()
}
