/**
 * A request as a participant: the facts about it that the engine asks for.
 *
 * Invariant: nothing here runs the handler, sends a reply or waits.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { NoPlan, Plan, ResultCache } from '../../engine/cache/cache.js'
import type { Found } from '../../engine/cache/guarded-store.js'
import type { Suitability } from '../../engine/cache/lookup.js'
import type { Conductor } from '../../engine/conductor.js'
import type { Coordinator } from '../../engine/coordinators/coordinator.js'
import type { Fleet } from '../../engine/flights/fleet.js'
import type { Flight } from '../../engine/flights/flight.js'
import { originalUrlOf } from '../dependencies/replaced-by-hooks.js'
import { meaningOf, splitBy } from '../../http/dimensions.js'
import { pathLabel } from '../../http/labels.js'
import { headerOf } from '../../http/key.js'
import { followReason, isSafe, type FollowReason } from '../../http/policy.js'
import { isOfQuery, queryStart } from '../../http/query.js'
import { CLIENT_ADDRESS } from '../../http/reads.js'
import type { KeptRecording, Recording } from '../../http/recording.js'
import { NO_REQUEST_DIRECTIVES, type RequestDirectives } from '../../http/request-directives.js'
import type { Detail } from '../../reasons.js'
import { isOfVariant } from '../../variant.js'
import { planResponse, suitabilityOf, type Response } from '../cache/response-cache.js'
import type { Log } from '../../observers/observer.js'
import { quiet } from '../../observers/warn.js'
import { isLoggingError } from '../internals.js'
import { asSent, queryValue } from '../dependencies/narrowing.js'
import { isRefreshable, NO_ADDRESS, sendRefresh } from '../cache/refresh-request.js'
import { Participant } from '../../engine/participant.js'
import type { Protection } from '../../protection/permits.js'
import type { Refresh } from '../../engine/refresh.js'
import type { Tally } from '../../observers/tally.js'
import type { RouteSettings } from '../../options/route-options.js'
import type { Requests } from './requests.js'
import type { CoalescedRoute } from './route.js'

/** A client's address: that of the connection, and the one that Fastify takes from proxies if it differs. A handler may read either, so both count. */
function addressOf ({ ip, raw: { socket: { remoteAddress } } }: FastifyRequest): string {
  return ip === remoteAddress ? ip : `${remoteAddress ?? NO_ADDRESS} ${ip}`
}

export abstract class RequestFacts extends Participant<Recording> {
  readonly route: CoalescedRoute
  readonly reply: FastifyReply
  readonly followsOnly: FollowReason | undefined
  // What few requests have stands on the prototype: the others have no room for it.
  /** The request's cache directives, on routes that respect them. */
  declare directives: RequestDirectives
  /** Whether the handler said that the cached response is still valid. */
  declare revalidated: boolean
  declare private ownLabels: readonly string[] | undefined
  /** The client's address at its first read. A closed HTTP/2 stream no longer has it. */
  declare private address: string | undefined

  static {
    Object.assign(this.prototype, { directives: NO_REQUEST_DIRECTIVES, revalidated: false, ownLabels: undefined, address: undefined })
  }

  constructor (route: CoalescedRoute, reply: FastifyReply) {
    super()
    this.route = route
    this.reply = reply
    const { request } = reply
    this.followsOnly = followReason(request)
    const { levelOf, settings } = route
    if (levelOf !== undefined) this.level = asSent(request, settings, () => levelOf(request))
  }

  /** Notes that the handler read the client's address. */
  abstract readAddress (): void

  /** The request headers at the time of the capture; undefined if no hook could have changed them since. */
  protected abstract readonly requestHeadersAtCapture: IncomingHttpHeaders | undefined

  get request (): FastifyRequest {
    return this.reply.request
  }

  get requests (): Requests {
    return this.route.requests
  }

  get id (): string {
    return this.request.id
  }

  get log (): Log {
    return this.request.log
  }

  /** The paths of the request: the one that the handler sees, and the one that the client sent. */
  get paths (): readonly string[] {
    const { semicolonDelimits } = this.route.settings.router
    return [this.request.url, originalUrlOf(this.request)].map(url => url.slice(0, queryStart(url, semicolonDelimits)))
  }

  get tally (): Tally {
    return this.route.tally
  }

  get limits (): RouteSettings {
    return this.route.settings
  }

  get cache (): ResultCache<Recording> {
    return this.route.cache
  }

  get origin (): CoalescedRoute {
    return this.route
  }

  override get coordinator (): Coordinator<Recording> {
    return this.requests.coordinator
  }

  override get protection (): Protection {
    return this.route.protection
  }

  override get subject (): readonly unknown[] {
    return [this.request]
  }

  /** Nothing stands in for a write: its client must not take it for done. */
  get hasFallback (): boolean {
    const { body, fallback } = this.route.settings
    const { method } = this.request
    return fallback !== undefined && (isSafe(method) || (method === 'POST' && body !== undefined))
  }

  get fleet (): Fleet<Flight<Recording, Participant<Recording>>> | undefined {
    return this.route.fleet
  }

  get labels (): readonly string[] {
    return (this.ownLabels ??= [...new Set(this.paths.map(pathLabel))])
  }

  /** The cached response that is too old to be served. The handler may revalidate it. */
  get stale (): KeptRecording | undefined {
    const { missed, role } = this
    return (role.type === 'refresher' ? role.refresh.stale : missed?.stale) as KeptRecording | undefined
  }

  get onlyIfCached (): boolean {
    return this.directives.onlyIfCached
  }

  get conductor (): Conductor<Recording> {
    return this.requests.conductor
  }

  get leads (): boolean {
    return this.role.type === 'leader'
  }

  /** Whether the result of the request's run matters to other requests. */
  get runsForOthers (): boolean {
    const { type } = this.role
    return type === 'leader' || type === 'probe' || type === 'refresher'
  }

  /** Whether reads of the request do not count now, because Fastify's error handler is logging the request. */
  ignoresLooks (): boolean {
    return isLoggingError(this.reply)
  }

  override value (name: string): string | null {
    if (name === CLIENT_ADDRESS) return this.addressOnce()
    if (isOfQuery(name)) return queryValue(this.request, name, this.route.settings)
    return meaningOf(name, header => this.#header(header))
  }

  /** The value of a header when the response was captured, or its current value if the response was not captured. */
  #header (name: string): string | null {
    const { headers } = this.request
    const atCapture = this.requestHeadersAtCapture
    // A hook may have replaced `headers` by an object that has values but no own names. Then the value comes from the current object.
    return headerOf(atCapture !== undefined && (Object.hasOwn(atCapture, name) || Object.hasOwn(headers, name)) ? atCapture : headers, name)
  }

  /** The client's address at its first read. */
  protected addressOnce (): string {
    if (this.address === undefined) {
      // Reading `request.ip` calls this method again, so it needs a value already.
      this.address = NO_ADDRESS
      this.address = addressOf(this.request)
    }
    return this.address
  }

  get refreshable (): boolean {
    return isRefreshable(this.request, this.route, this.conductor.variants.namesOf(this.key))
  }

  async refresh (refresh: Refresh<Recording>): Promise<void> {
    const { conductor, request, route } = this
    await sendRefresh(request, route, conductor.variants.namesOf(this.key), refresh)
  }

  refuses (recording: Recording): 'vary' | 'rejected' | undefined {
    if ((recording as KeptRecording).bytes > this.route.settings.maxEntryBytes) return 'rejected'
    return isOfVariant(this, recording.variant) ? undefined : 'vary'
  }

  suits (recording: Recording, found: Found): Suitability {
    return suitabilityOf(recording as KeptRecording, found, this.directives)
  }

  accepts (recording: Recording, cached: boolean): boolean {
    // What another process gives may come from its cache as well.
    const isCached = cached || recording.kept !== undefined
    return isOfVariant(this, recording.variant) && (!isCached || this.directives === NO_REQUEST_DIRECTIVES)
  }

  override splitBy (names: readonly string[]): Detail {
    const carried = names.filter(name => this.value(name) !== null)
    return splitBy(carried.length === 0 ? names : carried)
  }

  override learned (names: readonly string[]): void {
    this.requests.warnings.learned(this, names)
  }

  override tooVaried (): void {
    this.requests.warnings.tooVaried(this)
  }

  /** Decides whether a response is cached, and for how long. */
  planFor (recording: Recording, response: Response, startedAt: number, now: number): Plan | NoPlan {
    const { labels, route } = this
    const circumstances = { settings: route.settings, labels: [...route.labels, ...labels], startedAt, ttlOf: () => this.#ttlOf(recording) }
    return planResponse(recording, response, circumstances, now)
  }

  #ttlOf (recording: Recording): number | 'headers' | undefined {
    const { ttl } = this.route.settings
    if (typeof ttl !== 'function') return ttl
    try {
      return ttl(recording, this.request)
    } catch (err) {
      quiet(this.log, this.requests.silenced).warn({ err, coalesce: { event: 'ttl-threw', route: this.tally.route } }, 'coalesce: the ttl function of the route failed')
      return undefined
    }
  }
}
