/**
 * The plugin: the only module that speaks Fastify's hooks, decorators and routes.
 *
 * Invariant: a route that is not coalesced and only reads has nothing of ours from its second request on. Of one that is, only the handler is
 * shared: each client passes every hook, and where it waits is past every gate.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { CoalesceOptions } from '../../types/index.js'
import { completeCacheControl, sendCacheControl } from './cache/cache-control-headers.js'
import { bypassStatus, cacheStatusOf } from './cache/cache-status.js'
import { checkChoice, isCoalesced, methodsOf } from './routes/chosen-routes.js'
import type { Coalescer } from '../engine/conductor.js'
import { Fleet } from '../engine/flights/fleet.js'
import { strategiesOf, unknownOf } from './routes/constraints.js'
import { AlreadyRegisteredError, InvalidOptionError, RefreshError } from '../errors.js'
import { FastifyVisit } from './request/visit.js'
import { pairHeads } from './routes/head-routes.js'
import { noteHijackedReplies } from './replies/hijacked-reply.js'
import {
  countTracers, endHookReads, hasOthersBefore, hiddenIn, hideRoute, hookReadsOf, isOfCoalescedRoute, noteRest, originalUrlOf,
  prepareHookReads, queryWatchOf, watchHooksOf, watchTracers
} from './dependencies/hook-reads.js'
import { appendCacheStatus } from '../http/cache-status.js'
import { invalidatedBy } from '../http/invalidated-by.js'
import { buildKey, KeyHead } from '../http/key.js'
import { joinReason } from '../http/policy.js'
import { routeLabel } from '../http/labels.js'
import { queryStart } from '../http/query.js'
import { requestDirectives } from '../http/request-directives.js'
import { dropHook, headersOf, instanceHooks, prependHook, routerOptions, trustsByAddress, unbound } from './internals.js'
import { narrow, widen } from './dependencies/narrowing.js'
import { parkHandler } from './request/parked-handler.js'
import { serveMetrics } from '../observers/prometheus.js'
import { Tally } from '../observers/tally.js'
import { readOptions, readRouteOptions, type RouteSettings } from '../options/options.js'
import { errandOf, type Errand } from './cache/refresh-request.js'
import { overrideGetter, watchCopies } from './request/getters.js'
import { Bypass, bypassOf, replyViewOf, setVisit, viewOf, visitOf } from './request/view.js'
import { flows } from './replies/payload.js'
import { noteReturnedReplies } from './replies/returned-reply.js'
import { createScope, type FastifyRoute, type Scope } from './scope.js'
import { isWrite, mayWrite, noteAnswer, noteAnswered, noteHijackedWrite } from './cache/writes.js'

type Handler = (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) => unknown
type Done = (error?: Error | null, value?: unknown) => void

const kScope = Symbol('fastify-coalesce.scope')

function scopeOf (fastify: FastifyInstance): Scope {
  return (fastify as unknown as { [kScope]: Scope })[kScope]
}

/** Registers request coalescing in a context. */
export function coalesce (fastify: FastifyInstance, options: CoalesceOptions, done: (error?: Error) => void): void {
  try {
    register(fastify, options)
    done()
  } catch (error) {
    done(error as Error)
  }
}

function register (fastify: FastifyInstance, options: CoalesceOptions): void {
  if (Object.hasOwn(fastify, kScope)) throw new AlreadyRegisteredError()
  const around = scopeOf(fastify) as Scope | undefined
  const settings = readOptions(options, {
    semicolonDelimits: routerOptions(fastify).useSemicolonDelimiter === true,
    parsesItself: routerOptions(fastify).querystringParser !== undefined,
    trustsByAddress: trustsByAddress(fastify)
  })
  const scope = createScope(fastify.log, settings, around)
  strategiesOf(fastify)
  Object.defineProperty(fastify, kScope, { value: scope })
  fastify.decorate('coalesce', scope.api)
  if (around === undefined) {
    decorate(fastify)
    addHooks(fastify)
  }
  sendCacheControl(fastify, settings.cacheControl)
  onReady(fastify, scope)
  fastify.addHook('onClose', (_instance, done) => {
    scope.close()
    done()
  })
  if (settings.metrics !== undefined && settings.metrics !== false && scope.instruments !== undefined) {
    serveMetrics(fastify, settings.metrics, scope.instruments)
  }
}

/** What runs when the app is complete. */
function onReady (fastify: FastifyInstance, scope: Scope): void {
  fastify.addHook('onReady', function settleRoutes (done) {
    for (const route of scope.routes) route.settle()
    pairHeads(scope.routes)
    done()
  })
}

/** Gives requests their `coalesce`, and a leader the signal of its flight. */
function decorate (fastify: FastifyInstance): void {
  prepareHookReads(fastify)
  fastify.decorateReply('coalesce', { getter (this: FastifyReply) { return replyViewOf(this.request) } } as never)
  fastify.decorateRequest('coalesce', { getter (this: FastifyRequest) { return viewOf(this) } } as never)
  noteReturnedReplies(fastify)
  noteHijackedReplies(fastify, noteHijack)
  overrideGetter(fastify, 'signal', (request, own: () => AbortSignal) => {
    const visit = visitOf(request)
    return visit?.led === true ? visit.signal(own.call(request)) : own.call(request)
  })
  // Fastify reads it from `socket`, which is watched as well; should it ever read it elsewhere, this one stands.
  overrideGetter(fastify, 'ip', (request, own: () => string) => {
    visitOf(request)?.readAddress()
    return own.call(request)
  })
  // The key covers the protocol, which Fastify reads from the socket.
  let asksProtocol = false
  overrideGetter(fastify, 'protocol', (request, own: () => string) => {
    asksProtocol = true
    try {
      return own.call(request)
    } finally {
      asksProtocol = false
    }
  })
  // Fastify remembers it, and who asks once more does not come by the headers.
  overrideGetter(fastify, 'mediaType', (request, own: () => string | undefined) => {
    visitOf(request)?.reads?.note('content-type')
    return own.call(request)
  })
  watchCopies(fastify, request => visitOf(request)?.reads ?? hookReadsOf(request))
  // What there is to know of the connection of one client is its own, the address first of all.
  overrideGetter(fastify, 'socket', (request, own: () => unknown) => {
    if (!asksProtocol) visitOf(request)?.readSocket()
    return own.call(request)
  })
}

/** The hooks that serve this scope and those inside it: Fastify calls them for the routes of inner instances too. */
function addHooks (fastify: FastifyInstance): void {
  fastify.addHook('onRoute', function onCoalesceRoute (this: FastifyInstance, options) {
    if (isCoalesced(options, scopeOf(this).settings)) addRoute(this, scopeOf(this), options)
  })
  // What hooks make of a response is for one client, wherever they were added.
  if (!prependHook(fastify, 'onSend', captureResponse)) fastify.addHook('onSend', captureResponse)
  fastify.addHook('onError', noteError)
  fastify.addHook('onResponse', endResponse)
}

function captureResponse (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): void {
  const visit = visitOf(request)
  if (visit !== undefined) {
    const passed = visit.capture(payload, (visit.route as FastifyRoute).decidesAtOnce)
    // What makes a stream is the handler's.
    if (!flows(passed)) widen(request)
    done(null, passed)
    return
  }
  endHookReads(request)
  if (!flows(payload)) widen(request)
  if (isWrite(request)) {
    noteAnswer(reply, payload, () => { fence(request, reply) })
  } else if (!isOfCoalescedRoute(request) && !mayWrite(request)) {
    dropHook(request, 'onSend', captureResponse)
  }
  done()
}
unbound(captureResponse)

function endResponse (request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  if (!mayWrite(request)) dropHook(request, 'onResponse', endResponse)
  else if (isWrite(request)) noteAnswered(reply, () => { fence(request, reply) })
  done()
}
unbound(endResponse)

/** A write that did well: nobody who comes now is answered with what was read before it. */
function fence (request: FastifyRequest, reply: FastifyReply): void {
  const { coalescers, settings } = scopeOf(request.server)
  const { protocol, host, url } = request
  const path = originalUrlOf(request)
  const paths = [...new Set([url, path]), ...invalidatedBy({ protocol, host, path }, headersOf(reply))]
    .map(each => each.slice(0, queryStart(each, settings.routes.router.semicolonDelimits)))
  for (const coalescer of coalescers) for (const path of paths) coalescer.barrier.fence(path)
}

function noteHijack (reply: FastifyReply): void {
  const { request } = reply
  const visit = visitOf(request)
  if (visit !== undefined) {
    visit.hijacked()
    return
  }
  endHookReads(request)
  if (isWrite(request)) noteHijackedWrite(reply, () => { fence(request, reply) })
}

function noteError (request: FastifyRequest, _reply: FastifyReply, error: Error, done: () => void): void {
  const visit = visitOf(request)
  if (visit === undefined) {
    endHookReads(request)
    const errand = errandOf(request)
    if (errand !== undefined) errand.refresh.error ??= error
  } else {
    visit.fail(error)
  }
  done()
}

/** Who has led until its reply was sent was answered past what others could have: its place is free. */
function noteSent (request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const visit = visitOf(request)
  if (visit?.role === 'leader') visit.closed()
  done()
}

function decideResponse (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): void {
  const visit = visitOf(request)
  const passed = visit === undefined ? payload : visit.decide(payload, (visit.route as FastifyRoute).decidesLast)
  const served = visit ?? bypassOf(request)
  const cacheStatus = served?.route.settings.cacheStatus
  if (served !== undefined && cacheStatus !== undefined) sayStatus(served, reply, cacheStatus)
  completeCacheControl(request, reply)
  const reads = visit?.reads
  // What makes a stream's chunks is watched from now on, and what other plugins' hooks make of them for this client is not.
  if (reads?.on === true) reads.apart(() => { done(null, passed) })
  else done(null, passed)
}

/** Says in the response how it was served (RFC 9211). */
function sayStatus (served: FastifyVisit | Bypass, reply: FastifyReply, name: string): void {
  const member = served instanceof Bypass
    ? bypassStatus(name, served.reason)
    : cacheStatusOf(name, served, served.coalescer.keeper.shelf.now())
  reply.header('cache-status', appendCacheStatus(headersOf(reply)['cache-status'], member))
}

/** Puts a route's hooks and its handler's wrapper in place. `options` is what Fastify makes the route from. */
function addRoute (fastify: FastifyInstance, scope: Scope, options: RouteOptions): void {
  const methods = methodsOf(options)
  const name = `${methods.join(',')} ${options.url}`
  const choice = options.config?.coalesce
  const settings = readRouteOptions(choice === undefined || choice === false ? true : choice, scope.settings.routes, name)
  checkChoice(options, settings, name)
  const hasBody = settings.body !== undefined && methods.some(method => method === 'QUERY' || method === 'POST')
  if (hasBody && settings.hook === 'onRequest') {
    throw new InvalidOptionError(`config.coalesce of ${name}.hook`, "'auto' or 'preHandler', because there is no body before", "'onRequest'")
  }

  const tally = new Tally(methods.join(','), options.url)
  const strategies = strategiesOf(fastify)
  const constraints = options.constraints ?? {}
  const unknown = unknownOf(constraints, strategies)
  if (unknown.length > 0 && settings.ttl !== undefined && name !== `HEAD ${options.url}`) {
    fastify.log.warn({ coalesce: { route: name, constraints: unknown } },
      'coalesce: this route has no background refresh, because its constraints\' strategies were added before the plugin')
  }
  const route: FastifyRoute = {
    keyHead: new KeyHead(idOf(scope, methods, options, settings)),
    settings,
    tally,
    get labels () { return this.urls.map(routeLabel) },
    fleet: new Fleet(),
    methods,
    url: options.url,
    // Of `/` under a prefix Fastify makes a second one after its hooks, of the same options.
    get urls () { return [...new Set([this.url, options.url])] },
    disabled: false,
    parksAt: 'preHandler',
    decidesAtOnce: false,
    decidesLast: false,
    watchesHooks: true,
    tellsValidation: options.attachValidation === true,
    warned: new Set(),
    constraints,
    strategies: unknown.length > 0 ? undefined : strategies,
    handler: options.handler,
    choice,
    settle
  }
  scope.routes.push(route)
  if (settings.ttl !== undefined) scope.coalescer.keeper.open()
  scope.tallies.push(tally)

  /** Gates come after it has boarded. */
  let skipsGates = false
  const handler = options.handler as Handler
  const runHandler = function (this: FastifyInstance, visit: FastifyVisit, request: FastifyRequest, reply: FastifyReply): unknown {
    const result = handler.call(this, request, reply)
    if (isPromise(result)) visit.result = result
    return result
  }
  const coalescedHandler: Handler = function coalescedHandler (request, reply) {
    const known = visitOf(request)
    if (skipsGates && narrow(request, settings) !== undefined) noteRest(request)
    if (known !== undefined) return runHandler.call(this, known, request, reply)
    if (route.parksAt !== 'preHandler') return handler.call(this, request, reply)
    countTracers(request, route)
    const visit = admit(scope.coalescer, route, request, reply)
    if (visit === null) return undefined
    if (visit === undefined) return handler.call(this, request, reply)
    if (visit.runsNow) return runHandler.call(this, visit, request, reply)
    return parkHandler(visit, () => runHandler.call(this, visit, request, reply))
  }
  function parkOnRequest (request: FastifyRequest, reply: FastifyReply, done: Done): void {
    if (route.parksAt === 'preHandler') watchTracers(request, route)
    const visit = route.parksAt === 'onRequest' ? admit(scope.coalescer, route, request, reply) : undefined
    if (visit === null) return
    if (skipsGates) {
      widen(request)
      queryWatchOf(request)?.start()
    }
    if (visit === undefined || visit.runsNow) done()
    else visit.park(done)
  }
  function settle (): void {
    const { parksAt, why, skips } = choosePlace()
    route.parksAt = parksAt
    hideRoute(options.config)
    skipsGates = skips.length > 0
    const narrows = typeof settings.query === 'object'
    const ours = { park: parkOnRequest, handler: coalescedHandler, hasBody, narrows }
    route.watchesHooks &&= hasOthersBefore(parksAt, instanceHooks(fastify), options, ours) || (narrows && skipsGates)
    route.tellsValidation ||= skipsGates
    route.decidesAtOnce = [...instanceHooks(fastify)?.onSend ?? [undefined], ...options.onSend as unknown[]]
      .every(hook => hook === captureResponse || hook === decideResponse)
    route.decidesLast = (options.onSend as unknown[]).at(-1) === decideResponse
    fastify.log.debug({ coalesce: { route: name, hook: parksAt, why } }, 'coalesce route')
    if (skips.length > 0) {
      fastify.log.warn({ coalesce: { route: name, hook: parksAt, skips } }, 'coalesce: followers of this route skip gates, because hook is \'onRequest\'')
    }
  }
  function choosePlace (): { parksAt: FastifyRoute['parksAt'], why: string, skips: string[] } {
    const gates = gatesOf(fastify, options, parkOnRequest, coalescedHandler)
    if (settings.hook === 'preHandler') return { parksAt: 'preHandler', why: 'the hook option', skips: [] }
    if (settings.hook === 'onRequest') return { parksAt: 'onRequest', why: 'the hook option', skips: gates }
    if (hasBody) return { parksAt: 'preHandler', why: 'the body is part of the key', skips: [] }
    return gates.length > 0
      ? { parksAt: 'preHandler', why: `there are gates: ${gates.join(', ')}`, skips: [] }
      : { parksAt: 'onRequest', why: 'there are no later gates', skips: [] }
  }

  options.config = watchHooksOf(fastify, options.config, route) as RouteOptions['config']
  options.handler = coalescedHandler as RouteOptions['handler']
  options.onRequest = append(options.onRequest, parkOnRequest) as RouteOptions['onRequest']
  options.onSend = append(options.onSend, decideResponse) as RouteOptions['onSend']
  options.onResponse = append(options.onResponse, noteSent) as RouteOptions['onResponse']
}

/** Arrays are copied: Fastify uses the same one for the automatic HEAD route. */
function append (hooks: unknown, hook: unknown): unknown[] {
  // Plugins that come later may put hooks in the place of null, which Fastify itself refuses.
  return hooks === undefined || hooks === null ? [hook] : Array.isArray(hooks) ? [...hooks as unknown[], hook] : [hooks, hook]
}

/** What stands between `onRequest` and the handler of a route. */
function gatesOf (fastify: FastifyInstance, options: RouteOptions, parkOnRequest: unknown, coalescedHandler: unknown): string[] {
  const instance = instanceHooks(fastify)
  if (instance === undefined) return ['unknown hooks']
  const gates: string[] = []
  for (const name of ['preParsing', 'preValidation', 'preHandler'] as const) {
    if (instance[name].length > 0 || append(options[name], null).length > 1) gates.push(name)
  }
  const schema = (options.schema ?? {}) as Record<string, unknown>
  if (['body', 'querystring', 'query', 'params', 'headers'].some(part => schema[part] !== undefined)) gates.push('schema')
  if ((options.onRequest as unknown[]).at(-1) !== parkOnRequest) gates.push('onRequest')
  if (options.handler !== coalescedHandler) gates.push('handler')
  return gates
}

/** Tells a route from all others of its registration; the same in every process that builds the same app. */
function idOf (scope: Scope, methods: readonly string[], options: RouteOptions, { headers, cookies }: RouteSettings): string {
  const constraints = Object.entries(options.constraints ?? {}).map(([name, value]) => [name, String(value)])
  // Keys have the values only; who shares a store may have them of others.
  const id = [methods, options.url, ...constraints, ...headers.length + cookies.length === 0 ? [] : [[headers, cookies]]]
  const same = scope.ids.get(JSON.stringify(id)) ?? 0
  scope.ids.set(JSON.stringify(id), same + 1)
  return JSON.stringify(same === 0 ? id : [...id, same])
}

/** Asks whether a request may board, and lets it. Undefined: it bypasses; null: it is answered. */
function admit (coalescer: Coalescer, route: FastifyRoute, request: FastifyRequest, reply: FastifyReply): FastifyVisit | undefined | null {
  // It turns out now whether it leads.
  endHookReads(request)
  const errand = errandOf(request)
  const demands = route.settings.respectRequestCacheControl ? requestDirectives(request.headers) : undefined
  const told = narrow(request, route.settings)
  const hidden = hiddenIn(request, route.settings)
  const reason = coalescer.disabled || route.disabled
    ? 'disabled'
    : joinReason(request as never, route.settings) ??
      (route.settings.identity === undefined && hidden.credential ? 'credentials' : demands?.noStore === true ? 'request-no-store' : undefined)
  if (reason !== undefined) {
    if (errand !== undefined) return turnAway(errand, reply, `it may not board, because of ${reason}`)
    bypass(coalescer, route, request, reason)
    return undefined
  }
  const isTold = told !== undefined && route.settings.key === undefined
  const key = buildKey(route.keyHead, request, route.settings, isTold ? JSON.stringify([hidden.text ?? null, told]) : hidden.text)
  if (typeof key !== 'string') {
    const { fault, error, got } = key
    if (got !== undefined && !route.warned.has(fault)) {
      route.warned.add(fault)
      const name = fault === 'no-key' ? 'key' : 'identity'
      request.log.warn({ coalesce: { event: fault, route: route.url, got } },
        `coalesce: what the ${name} function of the route answers is no key, so its requests run by themselves; give a string, number, bigint or boolean`)
    }
    if (errand !== undefined) return turnAway(errand, reply, `it may not board, because of ${fault}`, error)
    if (error !== undefined) request.log.warn({ err: error, coalesce: { event: fault, route: route.url } }, `coalesce: ${fault}`)
    bypass(coalescer, route, request, fault)
    return undefined
  }
  const visit = new FastifyVisit(coalescer, route, request, reply)
  if (demands !== undefined) visit.demands = demands
  if (errand !== undefined && !runsErrand(coalescer, visit, errand, key)) {
    return turnAway(errand, reply, 'it has another key than its client, which is made of what it does not carry')
  }
  setVisit(request, visit)
  if (errand !== undefined || coalescer.arrive(visit, key)) visit.begin()
  return visit
}

/** A refresh that can bring nothing: nobody needs its handler's answer. */
function turnAway ({ refresh }: Errand, reply: FastifyReply, why: string, error?: unknown): null {
  refresh.error ??= error ?? new RefreshError(why)
  reply.code(204).send()
  return null
}

function runsErrand (coalescer: Coalescer, visit: FastifyVisit, errand: Errand, key: string): boolean {
  if (errand.over || !coalescer.refresh(visit, errand.refresh, key)) return false
  errand.taken = true
  errand.cancel = error => {
    // What comes later is nobody's, and a stream that has no end would be read for ever.
    visit.role = 'done'
    visit.cancel(error)
  }
  return true
}

function bypass (coalescer: Coalescer, route: FastifyRoute, request: FastifyRequest, reason: string): void {
  setVisit(request, new Bypass(route, reason))
  coalescer.bypass({ id: request.id, log: request.log, tally: route.tally, leaderId: request.id }, reason)
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
