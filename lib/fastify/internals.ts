/**
 * What Fastify knows and does not tell: read by the descriptions of its symbols, and forgotten where it is out of date.
 *
 * Invariant: what is not found is `undefined`, and it is for the caller to take the safe side.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Headers } from '../http/headers.js'

export interface RouterOptions {
  readonly useSemicolonDelimiter?: boolean
  readonly querystringParser?: (query: string) => unknown
}

/** What Fastify has made of the schema of a query; its findings are in `errors`. */
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

/** The hooks of a route's instance; complete once the app is ready. */
export function instanceHooks (fastify: FastifyInstance): InstanceHooks | undefined {
  const hooks = internal(fastify, 'fastify.hooks') as InstanceHooks | undefined
  return hooks !== undefined && HOOKS.every(name => Array.isArray(hooks[name])) ? hooks : undefined
}

/** Makes a hook the first that the instance's routes run, before those of the instances around it. False: that cannot be. */
export function prependHook (fastify: FastifyInstance, name: 'onRequest' | 'onSend', hook: unknown): boolean {
  const hooks = instanceHooks(fastify)?.[name] as unknown[] | undefined
  if (hooks?.includes(hook) === false) hooks.unshift(hook)
  return hooks !== undefined
}

/** A route, as Fastify knows it once it is declared. */
export interface DeclaredRoute {
  /** The app's `config` of it, with its method and URL. */
  readonly config: Readonly<Record<string, unknown>> & { readonly method: string | string[], readonly url: string }
  readonly server: FastifyInstance
  /** Fastify has added it: HEAD, for GET. */
  readonly byFastify: boolean
}

/** Tells of every route of an app, those that were declared before included, before its `onReady` hooks run. False: that cannot be. */
export function watchRoutes (fastify: FastifyInstance, tell: (route: DeclaredRoute) => void): boolean {
  type Context = Pick<DeclaredRoute, 'config'>
  // What answers 404 is told of each route once the app is complete.
  const notFound = internal(fastify, 'fastify.404') as { setContext?: (server: FastifyInstance, context: Context) => void } | undefined
  const own = notFound?.setContext
  if (notFound === undefined || own === undefined) return false
  notFound.setContext = (server, context) => {
    own(server, context)
    tell({ config: context.config, server, byFastify: internal(context, 'fastify.routeByFastify') === true })
  }
  return true
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

/** The `config` of a request's route; `routeOptions` makes an object of all there is. */
export function routeConfigOf (request: FastifyRequest): object {
  return contextOf(request)?.config ?? request.routeOptions.config
}

const wrapped = new WeakSet<object>()

/** Puts something in front of what validates the queries of a request's route, once. */
export function wrapQueryValidator (request: FastifyRequest, wrap: (validate: QueryValidator) => QueryValidator): void {
  const context = contextOf(request) as unknown as Record<symbol, unknown> | undefined
  if (context === undefined || wrapped.has(context)) return
  wrapped.add(context)
  const symbol = Object.getOwnPropertySymbols(context).find(({ description }) => description === 'querystring-schema')
  if (symbol !== undefined && typeof context[symbol] === 'function') context[symbol] = wrap(context[symbol] as QueryValidator)
}

/** Makes a hook one that can be taken out of a route: Fastify binds hooks, and it would not be found among the bound ones. */
export function unbound<Hook extends object> (hook: Hook): Hook {
  return Object.defineProperty(hook, 'bind', { value: () => hook })
}

/** Takes a hook out of a request's route, for the requests after it; where that cannot be, nothing. */
export function dropHook (request: FastifyRequest, name: 'onRequest' | 'onSend' | 'onResponse', hook: unknown): void {
  const context = contextOf(request)
  const hooks = context?.[name]
  if (context === undefined || !Array.isArray(hooks)) return
  const others = hooks.filter(each => each !== hook)
  context[name] = others.length > 0 ? others : null
}

const NO_HEADERS: Headers = Object.freeze({})

let headersSymbol: symbol | undefined

/** The reply's headers as they are now. To be read at once: it may be the reply's own object. */
export function headersOf (reply: FastifyReply): Headers {
  headersSymbol ??= Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.headers')
  const own = headersSymbol === undefined ? undefined : (reply as unknown as Record<symbol, Headers | undefined>)[headersSymbol]
  return own === undefined || reply.raw.getHeaderNames().length > 0 ? reply.getHeaders() as Headers : own
}

function isEmpty (object: object): boolean {
  // eslint-disable-next-line no-unreachable-loop -- one is enough, and making an array of all is what this saves
  for (const _name in object) return false
  return true
}

/** A copy of the reply's headers, for later. */
export function snapshotHeaders (reply: FastifyReply): Headers {
  const headers = headersOf(reply)
  return isEmpty(headers) ? NO_HEADERS : { ...headers }
}

let serializerSymbol: symbol | undefined

type Serializer = (payload: unknown) => string

/** What a hook has chosen to serialize the reply with; null if none has, or where that cannot be told. */
export function serializerOf (reply: FastifyReply): Serializer | null {
  serializerSymbol ??= Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.serializer')
  return serializerSymbol === undefined ? null : (reply as unknown as Record<symbol, Serializer | null>)[serializerSymbol] ?? null
}

let trailersSymbol: symbol | undefined

/** Whether a reply has trailers. Where that cannot be told, it may have. */
export function hasTrailers (reply: FastifyReply): boolean {
  trailersSymbol ??= Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.trailers')
  if (trailersSymbol === undefined) return true
  return (reply as unknown as Record<symbol, unknown>)[trailersSymbol] !== null
}

let nextHandlerSymbol: symbol | undefined

/** The handler of errors around the one that is at it: Fastify's own has one without a function, and none is there before the first. */
function nextHandlerOf (reply: FastifyReply): { readonly func?: unknown } | null | false | undefined {
  nextHandlerSymbol ??= Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.nextErrorHandler')
  if (nextHandlerSymbol === undefined) return undefined
  return (reply as unknown as Record<symbol, { readonly func?: unknown } | null | false>)[nextHandlerSymbol]
}

/** Whether a handler of errors that the app has set is at it. Where that cannot be told, it may be. */
export function isHandlingError (reply: FastifyReply): boolean {
  const next = nextHandlerOf(reply)
  return nextHandlerSymbol === undefined || (typeof next === 'object' && next?.func !== undefined)
}

/** Whether Fastify's own handler of errors is at it, which logs them. Where that cannot be told, it is not. */
export function isLoggingError (reply: FastifyReply): boolean {
  const next = nextHandlerOf(reply)
  return typeof next === 'object' && next !== null && next.func === undefined
}

export function routerOptions (fastify: FastifyInstance): RouterOptions {
  const options = internal(fastify, 'fastify.options') as { routerOptions?: RouterOptions } | undefined
  return options?.routerOptions ?? (fastify.initialConfig as { routerOptions?: RouterOptions }).routerOptions ?? {}
}

/** Whether whose word Fastify takes depends on the address that it comes from. Where that cannot be told, it does. */
export function trustsByAddress (fastify: FastifyInstance): boolean {
  const options = internal(fastify, 'fastify.options') as { readonly trustProxy?: unknown } | undefined
  // A number of proxies trusts nobody by itself.
  return options === undefined || !['undefined', 'boolean', 'number'].includes(typeof options.trustProxy)
}

/** The constraint strategies that an app was made with. */
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

/** What Fastify's own requests of an instance have under a name, if it is a getter with a setter. */
export function requestAccessor (fastify: FastifyInstance, name: string): PropertyDescriptor | undefined {
  let object = (internal(fastify, 'fastify.Request') as { readonly prototype: object | null } | undefined)?.prototype ?? null
  while (object !== null && !Object.hasOwn(object, name)) object = Object.getPrototypeOf(object) as object | null
  const found = object === null ? undefined : Object.getOwnPropertyDescriptor(object, name)
  return found?.get !== undefined && found.set !== undefined ? found : undefined
}

/** Makes a request read its original URL anew: it keeps what it was when a hook first asked. */
export function forgetOriginalUrl (request: FastifyRequest): void {
  const symbol = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.request.originalUrl')
  if (symbol !== undefined) (request as unknown as Record<symbol, unknown>)[symbol] = undefined
}

/** The method that `own`, which a reply was decorated with, stands in front of. */
export function methodBelow<Name extends 'then' | 'hijack'> (reply: FastifyReply, name: Name, own: FastifyReply[Name]): FastifyReply[Name] {
  let object: object = reply
  while (!Object.hasOwn(object, name) || (object as FastifyReply)[name] !== own) object = Object.getPrototypeOf(object) as object
  return (Object.getPrototypeOf(object) as FastifyReply)[name]
}
