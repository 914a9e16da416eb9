/**
 * A request of a route that is observed: it never boards, and what would have become of it is worked out beside its run.
 *
 * Invariant: its client is answered as without the plugin, and never waits for what is worked out. Its response is compared only if it might
 * have been given to others.
 */
import type { FastifyReply } from 'fastify'
import { isFailure } from '../../http/failure.js'
import { headerDelta, type Headers } from '../../http/headers.js'
import { shareReason } from '../../http/policy.js'
import { byteLength, isLarger, type Body } from '../../http/recording.js'
import { parseVary } from '../../http/vary.js'
import { withoutCookies } from '../../http/cookies.js'
import type { SkipReason } from '../../observe/skip-reasons.js'
import type { Reason, UnshareableReason } from '../../reasons.js'
import { variantOf } from '../../variant.js'
import { Dependencies, NO_NAMES } from '../dependencies/dependencies.js'
import { watchForwarding, type Forwarded } from '../dependencies/forwarding.js'
import { hasTrailers, headersOf, snapshotHeaders } from '../internals.js'
import type { ObservedRoute, Would } from '../observe/observed-route.js'
import type { Ahead, Observing } from '../observe/observing.js'
import { sightingOf } from '../observe/sighting-of.js'
import { giveBack, take, type Taken } from '../observe/taken.js'
import { ownReason } from '../replies/one-reply.js'
import { isResponse, restrictionOf, statusOf } from '../replies/payload.js'
import { isEnded } from '../replies/queued-reply.js'
import { wholeBody } from './capture.js'
import { RequestParticipant } from './participant.js'
import type { CoalescedRoute } from './route.js'

export class ObservedRequest extends RequestParticipant implements Ahead {
  splits: Set<string> | undefined
  readonly #forwarding: { forwarded: Forwarded | undefined } = { forwarded: undefined }
  #dependencies: Dependencies | undefined
  readonly #observed: ObservedRoute
  readonly #observing: Observing
  /** What it would have boarded under. */
  readonly #boards: string
  /** Who would have led it. */
  #ahead: Ahead | undefined
  readonly #isHit: boolean
  readonly #isSampled: boolean
  /** When its run began, by the clock, and by the store's time. */
  #at = 0
  #startedAt = 0
  /** The reply's headers before its handler. */
  #before: Headers = {}
  #taken: Taken | SkipReason | undefined
  /** Its own status, and its body, if that is whole. */
  #status = 0
  #whole: Body | undefined
  #flows = false
  /** Why nobody else would have had its response. */
  #reason: UnshareableReason | undefined
  #hookFailed = false
  #isDecided = false
  #isOver = false

  constructor (route: CoalescedRoute, reply: FastifyReply, key: string) {
    super(route, reply)
    const observing = this.#observing = route.requests.observing
    const observed = this.#observed = route.observed as ObservedRoute
    this.bypasses = true
    this.key = key
    this.#boards = this.conductor.variants.keyOf(this)
    this.#ahead = observing.leaderOf(this.#boards)
    this.#isHit = this.#ahead === undefined && route.settings.ttl !== undefined && observing.isKept(this.#boards)
    this.#isSampled = this.followsOnly === undefined && observed.sampler.next()
    if (this.followsOnly === undefined && this.#ahead === undefined && !this.#isHit) observing.lead(this.#boards, this)
    this.watchClient()
  }

  override get forwarded (): Forwarded | undefined {
    return this.#forwarding.forwarded
  }

  protected override get dependencies (): Dependencies | undefined {
    return this.#dependencies
  }

  /** As it would be without the cookies that its route ignores. */
  override value (name: string): string | null {
    const value = super.value(name)
    const { settings: { cookies }, setsCookiesAside } = this.route
    return name === 'cookie' && value !== null && setsCookiesAside
      ? withoutCookies(value, cookies.ignores as (name: string) => boolean) ?? null
      : value
  }

  override begin (): void {
    super.begin()
    if (this.refusal !== undefined || this.followsOnly !== undefined) return
    const { guarded } = this.requests
    this.#at = this.#observing.clock.now()
    this.#startedAt = guarded.now()
    this.#before = snapshotHeaders(this.reply)
    const { reads } = this.#dependencies = new Dependencies(this.request, this.route.settings, this)
    if (reads !== undefined) reads.runner = this
    watchForwarding(this.#forwarding, this, reads)
  }

  override capture (payload: unknown, last: boolean): unknown {
    if (this.#dependencies !== undefined) this.#take(payload)
    return super.capture(payload, last)
  }

  override decide (payload: unknown, last: boolean): unknown {
    const passed = super.decide(payload, last)
    if (this.#dependencies !== undefined && !this.#isDecided) this.#decide(this.#dependencies)
    return passed
  }

  override hijacked (): void {
    super.hijacked()
    this.#dependencies?.stop()
    this.#land('hijacked')
  }

  override sent (): void {
    super.sent()
    this.#over()
  }

  override closed (): void {
    super.closed()
    this.#over()
  }

  /** The first moment after its handler. */
  #take (payload: unknown): void {
    const { failed, reply, route: { settings } } = this
    const limits = { maxBodyBytes: settings.maxBodyBytes, allowance: this.#observing.allowance }
    this.#dependencies?.stop()
    if (this.#taken !== undefined) {
      // Others would not get this response.
      this.#hookFailed = true
      return
    }
    const status = this.#status = statusOf(reply, payload)
    const headers = isResponse(payload) ? { ...headersOf(reply), ...Object.fromEntries(payload.headers) } : headersOf(reply)
    const facts = { status, headers, trailers: hasTrailers(reply), failed }
    this.#reason = shareReason(facts, settings.statuses)
    if (this.forwarded?.answered(headers['cache-control']) === 'private') this.#reason ??= 'authorization'
    const whole = wholeBody(payload, status)
    this.#flows = whole === undefined
    // Of who has left nothing is compared any more.
    if (!this.#isSampled) this.#taken = 'not-sampled'
    else this.#taken = this.#isOver ? 'unfinished' : take({ reply, status, body: whole, before: this.#before, failed }, limits)
    if (whole === undefined) return
    if (isLarger(whole, settings.maxBodyBytes)) this.#reason ??= 'too-large'
    this.#whole = whole as Body
  }

  /** Decides who might have had its response, right before its headers leave. */
  #decide (dependencies: Dependencies): void {
    const { conductor, failed, reply } = this
    const restriction = this.#reason ?? restrictionOf(reply) ?? dependencies.unknownReason
    const vary = parseVary(headersOf(reply).vary)
    const names = dependencies.names(typeof vary === 'string' ? NO_NAMES : vary)
    const isLearned = restriction !== undefined || conductor.variants.learn(this, names, !failed)
    const own = restriction === undefined ? ownReason(this, { body: this.#whole ?? null, failed }, this.#flows) : undefined
    this.#land(restriction ?? own ?? (isLearned ? undefined : 'varies-too-much'))
  }

  /** It is known who might have had its response. Newcomers would not have, but for a stream. */
  #land (reason: UnshareableReason | undefined): void {
    this.#isDecided = true
    this.#reason = reason
    if (reason !== undefined || this.route.settings.ttl === undefined) this.#whole = undefined
    if (reason !== undefined || !this.#flows) this.#observing.land(this.#boards, this)
  }

  /** It was answered, or never will be. */
  #over (): void {
    if (this.#isOver) return
    this.#isOver = true
    giveBack(this.#taken, this.#observing.allowance)
    this.#dependencies?.stop()
    this.#observing.land(this.#boards, this)
    const [would, reason] = this.#outcome()
    this.#observed.count(would, reason)
    this.#ahead = undefined
    const taken = this.#hookFailed || !this.#isDecided ? 'unfinished' : this.#taken as Taken | SkipReason
    if (this.followsOnly !== undefined || would === 'shed' || would === 'unshareable') return
    if (typeof taken === 'string') this.#observed.comparison.skip(taken)
    else this.#compare(taken)
    if (would === 'leader' && reason === 'shared') this.#keep()
  }

  /** What would have become of it. */
  #outcome (): readonly [Would, Reason] {
    const would = this.#ahead !== undefined && this.#follows(this.#ahead) ? 'follower' : this.#isHit ? 'hit' : 'leader'
    if (this.followsOnly !== undefined) return would === 'leader' ? ['bypass', this.followsOnly] : [would, would === 'hit' ? 'fresh' : 'shared']
    // It was answered in the place of its run.
    if (this.outcome === 'shed') return ['shed', this.outcomeReason as Reason]
    if (this.#hookFailed) return [would, 'hook-failed']
    if (this.#reason !== undefined) return ['unshareable', this.#reason]
    if (!this.#isDecided) return isEnded(this.reply.raw) ? ['unshareable', 'unrecorded'] : [would, 'client-left']
    return [would, would === 'hit' ? 'fresh' : this.failed || isFailure(this.#status) ? 'failed' : 'shared']
  }

  /** Whether it would have had the response of who was ahead, or of another one that would have been released with it. */
  #follows (ahead: Ahead): boolean {
    const { variants } = this.conductor
    if (variants.namesOf(this.key).every(name => ahead.value(name) === this.value(name))) return true
    const key = variants.keyOf(this)
    const hasOthers = ahead.splits?.has(key) === true
    ahead.splits = (ahead.splits ?? new Set()).add(key)
    return hasOthers
  }

  #compare (taken: Taken): void {
    this.#observed.compare(() => {
      const { key, conductor: { variants } } = this
      const sighting = sightingOf(this, taken, variants.namesOf(key), { at: this.#at, key: variants.keyOf(this) })
      return this.#observed.comparison.see(sighting)
    })
  }

  /** Its response would be cached. */
  #keep (): void {
    const { reply, route: { settings } } = this
    const status = this.#status
    const body = this.#whole
    if (settings.ttl === undefined || body === undefined) return
    const headers = headersOf(reply)
    const { variants } = this.conductor
    const variant = variantOf(this, variants.namesOf(this.key))
    const recording = { status, headers: headerDelta(this.#before, headers), body, bytes: byteLength(body), leaderId: undefined, variant }
    const response = { status, headers, failed: false, tags: [], inherited: [] }
    const { entry } = this.planFor(recording, response, this.#startedAt, this.requests.guarded.now())
    if (entry !== undefined) this.#observing.keep(variants.keyOf(this), entry.freshFor)
  }
}
