/**
 * Access to internals of Fastify that have no public API. They are found by the descriptions of Fastify's symbols.
 *
 * Invariant: if an internal is not found, a function returns `undefined`, or the answer that its docstring names. The caller then does
 * what is safe.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Headers } from '../http/headers.js'

export interface RouterOptions {
  readonly useSemicolonDelimiter?: boolean
  readonly querystringParser?: (query: string) => unknown
}

/** The function that Fastify compiled from a route's query schema. */
export type QueryValidator = (...args: unknown[]) => unknown

/** The instance-level hooks that run before the handler, and those after it. */
export interface InstanceHooks {
  readonly onRequest: readonly unknown[]
  readonly preParsing: readonly unknown[]
  readonly preValidation: readonly unknown[]
  readonly preHandler: readonly unknown[]
  readonly onSend: readonly unknown[]
}

const HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'onSend'] as const

/** The hooks of an instance. The lists are complete once the app is ready. */
export function instanceHooks (fastify: FastifyInstance): InstanceHooks | undefined {
  const hooks = internal(fastify, 'fastify.hooks') as InstanceHooks | undefined
  return hooks !== undefined && HOOKS.every(name => Array.isArray(hooks[name])) ? hooks : undefined
}

/**
 * Puts a hook before all hooks of the instance, also before those that the instance inherited from its parents. Returns false if the
 * hooks are not found.
 */
export function prependHook (fastify: FastifyInstance, name: 'onRequest' | 'onSend', hook: unknown): boolean {
  const hooks = instanceHooks(fastify)?.[name] as unknown[] | undefined
  if (hooks?.includes(hook) === false) hooks.unshift(hook)
  return hooks !== undefined
}

/** A declared route. */
export interface DeclaredRoute {
  /** The route's `config`, to which Fastify adds the route's method and URL. */
  readonly config: Readonly<Record<string, unknown>> & { readonly method: string | string[], readonly url: string }
  readonly server: FastifyInstance
  /** Whether Fastify has added the route by itself: a HEAD route for a GET route. */
  readonly byFastify: boolean
}

/**
 * Calls `tell` for every route of an app, before the app's `onReady` hooks run. Routes that were declared earlier are included.
 * Returns false if that is not possible.
 */
export function watchRoutes (fastify: FastifyInstance, tell: (route: DeclaredRoute) => void): boolean {
  type Context = Pick<DeclaredRoute, 'config'>
  // Once the app is complete, Fastify calls `setContext` of its 404 handler for each route.
  const notFound = internal(fastify, 'fastify.404') as { setContext?: (server: FastifyInstance, context: Context) => void } | undefined
  const own = notFound?.setContext
  if (notFound === undefined || own === undefined) return false
  notFound.setContext = (server, context) => {
    own(server, context)
    tell({ config: context.config, server, byFastify: internal(context, 'fastify.routeByFastify') === true })
  }
  return true
}

/** An instance, and all those inside it. */
export function instancesOf (fastify: FastifyInstance): FastifyInstance[] {
  const children = internal(fastify, 'fastify.children') as FastifyInstance[] | undefined
  return [fastify, ...(children ?? []).flatMap(instancesOf)]
}

type Incoming = (request: FastifyRequest, reply: FastifyReply) => void

/** What stands around Fastify's method while somebody watches what comes in. */
interface Watched {
  readonly own: Incoming
  readonly around: Incoming
  /** How often each function is to be told. */
  readonly told: Map<Incoming, number>
}

/** It is the app's, so that several copies of this package share it. */
const kIncoming = Symbol.for('fastify-coalesce.incoming')

interface Logs {
  incomingRequest?: Incoming
  [kIncoming]?: Watched
}

/**
 * Tells of each request of an app before any hook of it, whichever instance it is of, until what is returned is called. Undefined: that
 * cannot be.
 */
export function watchIncoming (fastify: FastifyInstance, tell: Incoming): (() => void) | undefined {
  const logs = internal(fastify, 'fastify.logController') as Logs | undefined
  const own = logs?.incomingRequest
  if (logs === undefined || own === undefined) return undefined
  const watched = logs[kIncoming] ??= watchedBy(logs, own)
  const { told } = watched
  told.set(tell, (told.get(tell) ?? 0) + 1)
  return () => {
    const left = told.get(tell) as number - 1
    if (left > 0) told.set(tell, left)
    else told.delete(tell)
    // Where somebody else has put more around it, it stays, and tells nobody.
    if (told.size > 0 || logs.incomingRequest !== watched.around) return
    logs.incomingRequest = watched.own
    Reflect.deleteProperty(logs, kIncoming)
  }
}

function watchedBy (logs: Logs, own: Incoming): Watched {
  const told = new Map<Incoming, number>()
  const around: Incoming = (request, reply) => {
    for (const tell of told.keys()) tell(request, reply)
    own.call(logs, request, reply)
  }
  logs.incomingRequest = around
  return { own, around, told }
}

interface RouteContext {
  readonly config: object
  onRequest: unknown[] | null
  onSend: unknown[] | null
  onResponse: unknown[] | null
}

let contextSymbol: symbol | undefined

function contextOf (request: FastifyRequest): RouteContext | undefined {
  contextSymbol ??= Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.context')
  return contextSymbol === undefined ? undefined : (request as unknown as Record<symbol, RouteContext | undefined>)[contextSymbol]
}

/** The `config` of a request's route. `request.routeOptions` would build an object with all options for each call. */
export function routeConfigOf (request: FastifyRequest): object {
  return contextOf(request)?.config ?? request.routeOptions.config
}

const wrapped = new WeakSet<object>()

/** Wraps the query validator of a request's route. A second call for the same route does nothing. */
export function wrapQueryValidator (request: FastifyRequest, wrap: (validate: QueryValidator) => QueryValidator): void {
  const context = contextOf(request) as unknown as Record<symbol, unknown> | undefined
  if (context === undefined || wrapped.has(context)) return
  wrapped.add(context)
  const symbol = Object.getOwnPropertySymbols(context).find(({ description }) => description === 'querystring-schema')
  if (symbol !== undefined && typeof context[symbol] === 'function') context[symbol] = wrap(context[symbol] as QueryValidator)
}

/** Prepares a hook for `dropHook`. Fastify calls `bind` on each hook; here `bind` returns the hook itself, so that it can be found again. */
export function unbound<Hook extends object> (hook: Hook): Hook {
  return Object.defineProperty(hook, 'bind', { value: () => hook })
}

/** Removes a hook from a request's route, for later requests. Does nothing if the hooks are not found. */
export function dropHook (request: FastifyRequest, name: 'onRequest' | 'onSend' | 'onResponse', hook: unknown): void {
  const context = contextOf(request)
  const hooks = context?.[name]
  if (context === undefined || !Array.isArray(hooks)) return
  const others = hooks.filter(each => each !== hook)
  context[name] = others.length > 0 ? others : null
}

const NO_HEADERS: Headers = Object.freeze({})

let headersSymbol: symbol | undefined

/** The object in which Fastify keeps the headers of a reply until it sends them; undefined if Fastify's symbol is not found. */
export function ownHeadersOf (reply: FastifyReply): Record<string, unknown> | undefined {
  headersSymbol ??= Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.headers')
  return headersSymbol === undefined ? undefined : (reply as unknown as Record<symbol, Record<string, unknown> | undefined>)[headersSymbol]
}

/** The reply's current headers. They may be the reply's own object, which changes: for later use, take `snapshotHeaders`. */
export function headersOf (reply: FastifyReply): Headers {
  const own = ownHeadersOf(reply) as Headers | undefined
  return own === undefined || reply.raw.getHeaderNames().length > 0 ? reply.getHeaders() as Headers : own
}

function isEmpty (object: object): boolean {
  // eslint-disable-next-line no-unreachable-loop -- one name is enough, and no array of all names is made
  for (const _name in object) return false
  return true
}

/** A copy of the reply's current headers. */
export function snapshotHeaders (reply: FastifyReply): Headers {
  const headers = headersOf(reply)
  return isEmpty(headers) ? NO_HEADERS : { ...headers }
}

let serializerSymbol: symbol | undefined

type Serializer = (payload: unknown) => string

/** The serializer that a hook set on the reply; null if there is none, or if Fastify's symbol is not found. */
export function serializerOf (reply: FastifyReply): Serializer | null {
  serializerSymbol ??= Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.serializer')
  return serializerSymbol === undefined ? null : (reply as unknown as Record<symbol, Serializer | null>)[serializerSymbol] ?? null
}

let trailersSymbol: symbol | undefined

/** Whether a reply has trailers. True if Fastify's symbol is not found. */
export function hasTrailers (reply: FastifyReply): boolean {
  trailersSymbol ??= Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.trailers')
  if (trailersSymbol === undefined) return true
  return (reply as unknown as Record<symbol, unknown>)[trailersSymbol] !== null
}

let nextHandlerSymbol: symbol | undefined

/**
 * Fastify's record of the next error handler, which it sets before it calls an error handler. While the app's handler runs, the record
 * has a function; while Fastify's default handler runs, it has none. Before any error handler runs, there is no record.
 */
function nextHandlerOf (reply: FastifyReply): { readonly func?: unknown } | null | false | undefined {
  nextHandlerSymbol ??= Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.nextErrorHandler')
  if (nextHandlerSymbol === undefined) return undefined
  return (reply as unknown as Record<symbol, { readonly func?: unknown } | null | false>)[nextHandlerSymbol]
}

/** Whether an error handler of the app is handling this reply's error. True if Fastify's symbol is not found. */
export function isHandlingError (reply: FastifyReply): boolean {
  const next = nextHandlerOf(reply)
  return nextHandlerSymbol === undefined || (typeof next === 'object' && next?.func !== undefined)
}

/** Whether Fastify's default error handler, which logs the error, is handling this reply's error. False if Fastify's symbol is not found. */
export function isLoggingError (reply: FastifyReply): boolean {
  const next = nextHandlerOf(reply)
  return typeof next === 'object' && next !== null && next.func === undefined
}

export function routerOptions (fastify: FastifyInstance): RouterOptions {
  const options = internal(fastify, 'fastify.options') as { routerOptions?: RouterOptions } | undefined
  return options?.routerOptions ?? (fastify.initialConfig as { routerOptions?: RouterOptions }).routerOptions ?? {}
}

/** Whether `trustProxy` trusts proxies by their addresses. True if Fastify's options are not found. */
export function trustsByAddress (fastify: FastifyInstance): boolean {
  const options = internal(fastify, 'fastify.options') as { readonly trustProxy?: unknown } | undefined
  // A number says how many proxies are trusted, whatever their addresses are.
  return options === undefined || !['undefined', 'boolean', 'number'].includes(typeof options.trustProxy)
}

/** The constraint strategies in the app's options. */
export function constraintOptions (fastify: FastifyInstance): readonly unknown[] {
  const options = internal(fastify, 'fastify.options') as { constraints?: object } | undefined
  return Object.values({ ...options?.constraints, ...(routerOptions(fastify) as { constraints?: object }).constraints })
}

function internal (owner: object, description: string): unknown {
  for (let object: object | null = owner; object !== null; object = Object.getPrototypeOf(object) as object | null) {
    const symbol = Object.getOwnPropertySymbols(object).find(each => each.description === description)
    if (symbol !== undefined) return (object as Record<symbol, unknown>)[symbol]
  }
  return undefined
}

/** The property descriptor that Fastify's Request class has for a name, if it has a getter and a setter. */
export function requestAccessor (fastify: FastifyInstance, name: string): PropertyDescriptor | undefined {
  let object = (internal(fastify, 'fastify.Request') as { readonly prototype: object | null } | undefined)?.prototype ?? null
  while (object !== null && !Object.hasOwn(object, name)) object = Object.getPrototypeOf(object) as object | null
  const found = object === null ? undefined : Object.getOwnPropertyDescriptor(object, name)
  return found?.get !== undefined && found.set !== undefined ? found : undefined
}

/** Deletes the original URL that Fastify cached on its first read, so that the next read gives the current one. */
export function forgetOriginalUrl (request: FastifyRequest): void {
  const symbol = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.request.originalUrl')
  if (symbol !== undefined) (request as unknown as Record<symbol, unknown>)[symbol] = undefined
}

/** The method that `own` overrides. `own` is a decorator of replies. */
export function methodBelow<Name extends 'then' | 'hijack'> (reply: FastifyReply, name: Name, own: FastifyReply[Name]): FastifyReply[Name] {
  let object: object = reply
  while (!Object.hasOwn(object, name) || (object as FastifyReply)[name] !== own) object = Object.getPrototypeOf(object) as object
  return (Object.getPrototypeOf(object) as FastifyReply)[name]
}
