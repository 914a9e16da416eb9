/**
 * The result of one run: what others get of its response, what that depends on, and how its flight lands.
 *
 * Invariant: nothing is given to others before it is known what the response depends on.
 */
import { areFew } from '../../engine/variants.js'
import { NobodyWaitsError } from '../../errors.js'
import { Broadcast } from '../../http/broadcast.js'
import type { Headers } from '../../http/headers.js'
import { byteLength, type Body, type Recording } from '../../http/recording.js'
import { tagsOf } from '../../http/tags.js'
import type { UnshareableReason } from '../../reasons.js'
import type { Variant } from '../../variant.js'
import type { Response as CacheableResponse } from '../cache/response-cache.js'
import { Revalidation } from '../cache/revalidation.js'
import { Dependencies, NO_NAMES } from '../dependencies/dependencies.js'
import { headersOf, snapshotHeaders } from '../internals.js'
import type { AnsweredRequest } from './answered-request.js'
import type { Capture } from './capture.js'
import type { SharedStream, StreamingRun } from './shared-stream.js'

export abstract class LandingRun implements StreamingRun {
  /** The reply's headers when the run began. */
  readonly before: Headers
  readonly dependencies: Dependencies
  protected readonly participant: AnsweredRequest
  /** The response, once it has been captured. */
  protected recorded: Capture | undefined = undefined
  /** The body that others get. */
  private body: Body | Broadcast = null
  // What few runs have stands on the prototype: the others have no room for it.
  /** Asks whether the cached response is still good. */
  declare protected revalidation: Revalidation | undefined
  /** The body, if that is a stream. */
  declare protected stream: SharedStream | undefined
  declare private tags: Set<string> | undefined

  static {
    Object.assign(this.prototype, { revalidation: undefined, stream: undefined, tags: undefined })
  }

  constructor (participant: AnsweredRequest) {
    const { request, reply, requests, route: { settings } } = participant
    this.participant = participant
    this.before = snapshotHeaders(reply)
    // What stands in for a handler is not asked whether the handler's response is still good.
    const mayConfirm = participant.stale !== undefined && participant.refusal === undefined
    const revalidation = mayConfirm ? Revalidation.begin(request, participant.stale, requests.guarded.now()) : undefined
    if (revalidation !== undefined) {
      this.revalidation = revalidation
      revalidation.endWith(reply)
    }
    this.dependencies = new Dependencies(request, settings, participant)
    const { reads } = this.dependencies
    if (reads !== undefined) reads.runner = participant
  }

  /** Whether somebody reads a stream of it that is not over. */
  get hasReaders (): boolean {
    return this.stream?.broadcast.heard === true
  }

  /** Declares what the response can be purged by. */
  tag (tags: readonly string[]): void {
    this.tags ??= new Set()
    for (const tag of tags) this.tags.add(tag)
  }

  /** Lets nobody join its stream any more. */
  stopJoining (): void {
    this.stream?.broadcast.close()
  }

  /** Releases everybody who waits for this response. `remember`: for a while, nobody waits for the key. */
  markUnshareable (reason: UnshareableReason, remember: boolean): void {
    const participant = this.participant
    const names = this.variesOn(this.recorded?.vary ?? NO_NAMES)
    participant.conductor.unshareable(participant, reason, remember, areFew(names) ? names : NO_NAMES)
    if (participant.gone) participant.cancel(new NobodyWaitsError())
  }

  /** Everything is known, or all but the rest of a stream: the flight lands. */
  land (): void {
    const participant = this.participant
    const { conductor } = participant
    const { body, failed, vary } = this.recorded as Capture
    const live = this.stream?.isLive === true ? this.stream : undefined
    this.dependencies.stop()
    const { unknownReason } = this.dependencies
    const varies = this.variesOn(live === undefined ? vary : [...vary, ...conductor.variants.lateReads(participant.route)])
    const reason = unknownReason ?? (conductor.variants.learn(participant, varies, !failed) ? undefined : 'varies-too-much')
    if (reason !== undefined) {
      if (unknownReason === 'reads-all-headers') participant.requests.warnings.readsAll(participant)
      this.markUnshareable(reason, true)
      this.stopJoining()
    } else if (live === undefined) {
      this.body = this.stream?.broadcast.whole() ?? body
      conductor.land(participant, varies, failed)
    } else {
      this.#landLive(live, varies, failed)
    }
  }

  #landLive (live: SharedStream, varies: readonly string[], failed: boolean): void {
    const participant = this.participant
    const broadcast = this.body = live.broadcast
    live.watchLateReads(varies)
    participant.conductor.land(participant, varies, failed, () => { broadcast.rest(false) })
    // It must not outgrow what is held until all followers have joined.
    broadcast.rest(participant.hasFollowers)
    // The followers belong to another flight, or there are none.
    if (participant.flight === undefined && participant.role.type !== 'refresher') broadcast.close()
  }

  /** The last byte of a stream is here, which others get already, or which only the cache waits for. */
  completed (): void {
    const broadcast = this.body
    if (!(broadcast instanceof Broadcast) || !broadcast.complete || this.dependencies.unknownReason !== undefined) return
    const participant = this.participant
    const { conductor, conductor: { variants }, route } = participant
    const { failed, vary } = this.recorded as Capture
    variants.streamed(route, this.variesOn(vary))
    this.body = broadcast.whole()
    conductor.live.completed(participant, this.variesOn([...vary, ...variants.lateReads(route)]), failed)
    this.body = broadcast
  }

  /** The response, for the cache. */
  response (): CacheableResponse {
    const { status, failed } = this.recorded as Capture
    const { reply, route } = this.participant
    const headers = headersOf(reply)
    return { status, headers, failed, tags: tagsOf(headers, route.settings, this.tags), inherited: this.revalidation?.labels ?? NO_NAMES }
  }

  /** The response, for followers. */
  record (variant: Variant): Recording {
    const { status, headers } = this.recorded as Capture
    const body = this.body
    const bytes = body instanceof Broadcast ? undefined : byteLength(body)
    return { status, headers, body, bytes, leaderId: this.participant.id, variant }
  }

  /** The request headers that the response depends on, besides those that the key covers. */
  variesOn (vary: readonly string[]): readonly string[] {
    const names = this.dependencies.names(vary, this.revalidation)
    const inherited = this.revalidation?.varies ?? NO_NAMES
    return inherited.length === 0 ? names : [...new Set([...names, ...inherited])]
  }
}
