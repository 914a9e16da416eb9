/**
 * Adopting a route: what is ours on it.
 *
 * Invariant: only the handler is shared. Each client passes every hook, and where it waits is past every gate.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { Fleet } from '../../engine/flights/fleet.js'
import type { ShedReason } from '../../../types/index.js'
import { NO_PROTECTION } from '../../protection/permits.js'
import { InvalidOptionError } from '../../errors.js'
import { KeyHead } from '../../http/key.js'
import { isSafe } from '../../http/policy.js'
import { routeLabel } from '../../http/labels.js'
import { Silence } from '../../observers/silence.js'
import { quiet } from '../../observers/warn.js'
import { Tally } from '../../observers/tally.js'
import { type RouteSettings, readRouteOptions } from '../../options/route-options.js'
import { admit } from '../admission/admit.js'
import { countTracers, hasOthersBefore, hideRoute, noteRest, queryWatchOf, watchHooksOf, watchTracers } from '../dependencies/hook-reads.js'
import { canTakeCookies, prepareIgnoredCookies, takeCookies } from '../dependencies/ignored-cookies.js'
import { LearnedNames } from '../dependencies/learned-names.js'
import { narrow, widen } from '../dependencies/narrowing.js'
import { instanceHooks } from '../internals.js'
import { captureResponse, decideResponse, noteSent } from '../hooks/hooks.js'
import { parkHandler } from '../request/parked-handler.js'
import { participantOf } from '../request/view.js'
import { isOpenFor } from '../request/fast-lane.js'
import { isWritten } from '../request/route-figures.js'
import { RequestParticipant } from '../request/participant.js'
import type { Scope } from '../scope.js'
import { checkChoice, methodsOf, routeName } from './chosen-routes.js'
import { strategiesOf, unknownOf } from '../dependencies/constraints.js'
import { observedOf } from './observed-of.js'
import { append, chooseParking } from './parking.js'
import type { CoalescedRoute } from '../request/route.js'

type Handler = (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) => unknown
type Fallback = (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply, reason: ShedReason) => unknown
type Done = (error?: Error | null, value?: unknown) => void

/** Puts a route's hooks and its handler's wrapper in place. `options` is what Fastify makes the route from. */
export function adoptRoute (fastify: FastifyInstance, scope: Scope, options: RouteOptions): void {
  const methods = methodsOf(options)
  const name = routeName(options)
  const choice = options.config?.coalesce
  const settings = readRouteOptions(choice === undefined || choice === false ? true : choice, scope.settings.routes, name)
  checkChoice(options, settings, name)
  const hasBody = settings.body !== undefined && methods.some(method => method === 'QUERY' || method === 'POST')
  if (hasBody && settings.hook === 'onRequest') {
    throw new InvalidOptionError(`config.coalesce.hook of ${name}`, "'auto' or 'preHandler', because there is no body before", "'onRequest'")
  }

  const log = quiet(fastify.log, scope.settings.warnings)
  // Fastify makes HEAD routes of GET routes, with their config.
  const chosen = choice !== undefined && methods.some(method => method !== 'HEAD')
  const tally = new Tally(methods.join(','), options.url, { buckets: scope.buckets, caches: settings.ttl !== undefined, chosen })
  const strategies = strategiesOf(fastify)
  const constraints = options.constraints ?? {}
  const unknown = unknownOf(constraints, strategies)
  if (unknown.length > 0 && settings.ttl !== undefined && name !== `HEAD ${options.url}`) {
    log.warn({ coalesce: { event: 'no-refresh', route: name, constraints: unknown } },
      'coalesce: this route has no background refresh, because its constraints\' strategies were added before the plugin')
  }
  const route: CoalescedRoute = {
    requests: scope.requests,
    keyHead: new KeyHead(idOf(scope, methods, options, settings)),
    settings,
    tally,
    get labels () { return this.urls.map(routeLabel) },
    fleet: new Fleet(),
    cache: scope.cacheOf(settings),
    methods,
    url: options.url,
    // Of `/` under a prefix Fastify makes a second one after its hooks, of the same options.
    get urls () { return [...new Set([this.url, options.url])] },
    protection: NO_PROTECTION,
    levelOf: undefined,
    queue: undefined,
    breaker: undefined,
    disabled: false,
    parksAt: 'preHandler',
    parking: { at: 'preHandler', why: 'the app is not complete yet', skips: [] },
    decidesAtOnce: false,
    decidesLast: false,
    hasFastLane: false,
    watchesHooks: true,
    tellsValidation: options.attachValidation === true,
    takesCookies: false,
    learned: new LearnedNames(),
    observed: undefined,
    setsCookiesAside: false,
    warned: new Set(),
    constraints,
    strategies: unknown.length > 0 ? undefined : strategies,
    handler: options.handler,
    choice,
    settle
  }
  scope.routes.push(route)
  route.observed = observedOf(scope, route, fastify.log)
  const isObserved = route.observed?.mode === 'observe'
  // HEAD rides along with GET, or runs by itself.
  if (!isObserved && isWritten(route)) tally.watch = new Silence(tally, scope.settings.warnings)
  if (settings.ttl !== undefined) scope.requests.barrier.caches = true
  scope.tallies.push(tally)
  tally.alarm = scope.alarmOf(route)

  /** Gates come after it has boarded. */
  let skipsGates = false
  const handler = options.handler as Handler
  const fallback = settings.fallback as Fallback | undefined
  const runHandler = function (
    this: FastifyInstance, participant: RequestParticipant, request: FastifyRequest, reply: FastifyReply
  ): unknown {
    participant.handle()
    const { refusal } = participant
    const result = refusal === undefined ? handler.call(this, request, reply) : fallback?.call(this, request, reply, refusal.reason)
    if (isPromise(result)) participant.returned(result)
    return result
  }
  const coalescedHandler: Handler = function coalescedHandler (request, reply) {
    const known = participantOf(request)
    if (skipsGates && !isObserved && narrow(request, settings) !== undefined) noteRest(request)
    if (known !== undefined) return runHandler.call(this, known, request, reply)
    if (route.parksAt !== 'preHandler') return handler.call(this, request, reply)
    countTracers(request, route)
    const participant = admit(route, request, reply)
    if (participant === null) return undefined
    if (participant === undefined) return handler.call(this, request, reply)
    if (participant.runsNow) return runHandler.call(this, participant, request, reply)
    return parkHandler(participant, () => runHandler.call(this, participant, request, reply))
  }
  function parkOnRequest (request: FastifyRequest, reply: FastifyReply, done: Done): void {
    if (route.parksAt === 'preHandler') watchTracers(request, route)
    const participant = route.parksAt === 'onRequest' ? admit(route, request, reply) : undefined
    if (participant === null) return
    if (skipsGates) {
      widen(request)
      queryWatchOf(request)?.start()
    }
    if (participant === undefined || participant.runsNow) done()
    else participant.park(done)
  }
  function settle (): void {
    const queuesUploads = (settings.queue !== undefined || settings.breaker !== undefined) && methods.some(method => !isSafe(method))
    const parked = { hook: settings.hook, hasBody, queuesUploads, park: parkOnRequest, handler: coalescedHandler }
    const { parksAt, why, skips } = chooseParking(fastify, options, parked)
    route.parksAt = parksAt
    route.parking = Object.freeze({ at: parksAt, why, skips: Object.freeze(skips) })
    hideRoute(options.config)
    skipsGates = skips.length > 0
    const narrows = typeof settings.query === 'object'
    const ours = { hooks: [parkOnRequest, takeCookies], handler: coalescedHandler, hasBody, narrows }
    route.watchesHooks &&= hasOthersBefore(parksAt, instanceHooks(fastify), options, ours) || (narrows && skipsGates)
    route.tellsValidation ||= skipsGates
    const canTake = settings.cookies.ignores !== undefined && canTakeCookies(fastify)
    route.takesCookies = canTake && !isObserved
    route.setsCookiesAside = canTake && isObserved
    route.decidesAtOnce = [...instanceHooks(fastify)?.onSend ?? [undefined], ...options.onSend as unknown[]]
      .every(hook => hook === captureResponse || hook === decideResponse)
    route.decidesLast = (options.onSend as unknown[]).at(-1) === decideResponse
    route.hasFastLane = isOpenFor(route)
    if (settings.cookies.ignores !== undefined && !canTake) {
      log.warn({ coalesce: { event: 'cookies-not-ignored', route: name } },
        'coalesce: the cookies that this route ignores cannot be taken out of its requests, because a hook of others comes first; they count as all others do')
    }
    fastify.log.debug({ coalesce: { route: name, hook: parksAt, why } }, 'coalesce route')
    if (skips.length > 0) {
      log.warn({ coalesce: { event: 'skips-gates', route: name, hook: parksAt, skips } }, 'coalesce: followers of this route skip gates, because hook is \'onRequest\'')
    }
  }
  options.config = watchHooksOf(fastify, options.config, route) as RouteOptions['config']
  prepareIgnoredCookies(fastify, settings)
  options.handler = coalescedHandler as RouteOptions['handler']
  options.onRequest = append(options.onRequest, parkOnRequest) as RouteOptions['onRequest']
  options.onSend = append(options.onSend, decideResponse) as RouteOptions['onSend']
  options.onResponse = append(options.onResponse, noteSent) as RouteOptions['onResponse']
}

/** Tells a route from all others of its registration; the same in every process that builds the same app. */
function idOf (
  scope: Scope, methods: readonly string[], options: RouteOptions, { headers, cookies: { key: cookies }, learnVary }: RouteSettings
): string {
  const constraints = Object.entries(options.constraints ?? {}).map(([name, value]) => [name, String(value)])
  // Keys have the values only; who shares a store may have them of others.
  const named = headers.length + cookies.length === 0 ? [] : [[headers, cookies]]
  // Nor does a route that learns take what one has that does not look.
  const unheeded = learnVary === false ? ['all'] : [...learnVary.ignore].sort()
  const id = [methods, options.url, ...constraints, ...named, ...unheeded.length === 0 ? [] : [{ unheeded }]]
  const same = scope.ids.get(JSON.stringify(id)) ?? 0
  scope.ids.set(JSON.stringify(id), same + 1)
  return JSON.stringify(same === 0 ? id : [...id, same])
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
