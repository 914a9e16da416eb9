/**
 * A request of Fastify's as a participant: how it runs, and what becomes of its run when its handler, its hooks or its client end it.
 *
 * Invariant: it is decided once what its client is sent: the response of its own handler, the recording of another run, a cached
 * response, or an error.
 */
import { isFailure } from '../../http/failure.js'
import type { IncomingHttpHeaders } from 'node:http'
import type { NoPlan, Plan } from '../../engine/cache/cache.js'
import { NO_PERMIT } from '../../protection/permits.js'
import { NobodyWaitsError } from '../../errors.js'
import type { Headers } from '../../http/headers.js'
import type { Reads } from '../../http/reads.js'
import type { Recording } from '../../http/recording.js'
import { variantOf } from '../../variant.js'
import type { Dependencies } from '../dependencies/dependencies.js'
import type { Forwarded } from '../dependencies/forwarding.js'
import { isHandlingError, snapshotHeaders } from '../internals.js'
import { isHandlerTimeout, onHeaders } from '../replies/payload.js'
import { isClosed, isEnded } from '../replies/queued-reply.js'
import { AnsweredRequest } from './answered-request.js'
import { HandlerRun } from './handler-run.js'
import { HeadRevalidation } from './head-revalidation.js'
import { ProtectedRun } from './protected-run.js'
import type { SourceEnd } from './capture.js'

/** The roles of a request that waits for somebody else. */
const WAITING: ReadonlySet<string> = new Set(['preparing', 'stranded', 'awaiting-store', 'follower', 'queued'])
/** The roles of a request whose run is for its client only. */
const ITS_OWN: ReadonlySet<string> = new Set(['solo', 'probe', 'alone'])

export class RequestParticipant extends AnsweredRequest {
  /** Its handler runs as soon as it has boarded. */
  runsNow = false
  /** The promise that its handler returned, if that is not its reply. */
  result: PromiseLike<unknown> | undefined = undefined
  #led = false
  /** Its run for others. */
  #run: HandlerRun | undefined = undefined
  /** It has not boarded, and may be a write. */
  declare bypasses: boolean
  declare error: unknown
  declare failed: boolean
  /** Its client is gone. */
  declare gone: boolean
  declare private isCancelled: boolean
  /** It has followers, and bytes that its handler writes past `reply` are noticed. */
  declare private isFollowed: boolean
  /** Its run for HEAD, which tells about the response that is cached for GET. */
  declare private head: HeadRevalidation | undefined
  /** The reply's headers before its handler, if that runs for its own client and there is a fallback. */
  declare private before: Headers | undefined
  declare private controller: AbortController | undefined
  /** Tells protection how its run ends. */
  declare private protectedRun: ProtectedRun | undefined

  static {
    const no = { head: undefined, before: undefined, controller: undefined, protectedRun: undefined, error: undefined }
    Object.assign(this.prototype, { ...no, bypasses: false, failed: false, gone: false, isCancelled: false, isFollowed: false })
  }

  /** Whether it runs, or ran, the handler for others than its client. */
  get led (): boolean { return this.#led }
  /** The status that its own handler answered with. */
  get runStatus (): number | undefined { return this.#run?.status }
  /** Set once its handler has forwarded the request to an upstream. */
  get forwarded (): Forwarded | undefined { return this.#run?.forwarded }
  /** What its run was seen to read; undefined without a run that counts, or where the route trusts the response. */
  get reads (): Reads | undefined {
    return this.dependencies?.reads
  }

  protected get dependencies (): Dependencies | undefined {
    return this.#run?.dependencies ?? this.head?.dependencies
  }

  protected override get requestHeadersAtCapture (): IncomingHttpHeaders | undefined {
    return this.#run?.requestHeadersAtCapture
  }

  /** Aborts when nobody needs this run any more. `own`: Fastify's signal, which aborts as soon as this request's client has left. */
  signal (own: AbortSignal): AbortSignal {
    if (this.controller === undefined) {
      const controller = this.controller = new AbortController()
      const follow = (): void => { if (isHandlerTimeout(own.reason)) controller.abort(own.reason) }
      if (own.aborted) follow()
      else own.addEventListener('abort', follow, { once: true })
      this.watchClient()
    }
    return this.controller.signal
  }

  /** Its run begins. */
  begin (): void {
    const { missed, role, stale } = this
    const { type } = role
    if (this.permit !== NO_PERMIT) this.protectedRun = new ProtectedRun(this)
    // Other requests that run alone need not wait for anything later than its headers.
    if (type === 'alone') onHeaders(this.reply, () => { this.conductor.finished(this) })
    if ((type === 'solo' || type === 'alone') && missed?.fallback !== undefined) this.before = snapshotHeaders(this.reply)
    if (role.type === 'solo' && stale !== undefined && this.followsOnly === 'head' && this.refusal === undefined) {
      this.head = new HeadRevalidation(this, stale, role.startedAt)
    }
    if (!this.runsForOthers) return
    this.#led = type !== 'probe'
    this.#run = new HandlerRun(this)
    if (this.hasFollowers) this.joined()
  }

  run (): void {
    this.begin()
    this.resume()
  }

  joined (): void {
    this.watchClient()
    const { type } = this.role
    if ((type !== 'leader' && type !== 'preparing') || this.isFollowed) return
    this.isFollowed = true
    onHeaders(this.reply, () => {
      if (this.role.type === 'preparing') this.#answeredElsewhere()
      else if (this.role.type === 'leader' && this.#run?.decided !== true) (this.#run as HandlerRun).markUnshareable('unrecorded', true)
    })
  }

  /** Its run is ended because nobody waits for it: a timeout of Fastify's is another matter. */
  get isUnwanted (): boolean {
    return this.isCancelled || (this.gone && ITS_OWN.has(this.role.type))
  }

  /** What makes its stream has ended it. */
  override sourceEnds (how: SourceEnd, go: () => void): void {
    this.protectedRun?.sourceEnds(how)
    go()
    this.protectedRun?.over()
  }

  /** Its handler is called, or what stands in for that. */
  handle (): void {
    this.protectedRun?.handled()
  }

  cancel (reason: Error): void {
    this.isCancelled = true
    this.#run?.stopJoining()
    this.controller ??= new AbortController()
    this.controller.abort(reason)
    this.end()
  }

  /** Its handler has returned a promise. If its client left while it waited, nothing else tells when the run ends. */
  returned (result: PromiseLike<unknown>): void {
    this.result = result
    if (this.gone) this.#awaitResult()
  }

  readAddress (): void {
    // Fastify's own log of an error, and an app's, read the address after the handler has failed. That is not the response's doing.
    if (this.failed && !isHandlingError(this.reply)) return
    this.addressOnce()
    this.dependencies?.reads?.address()
  }

  /** Its handler read the connection. */
  readSocket (): void {
    // For a run that goes on at an upstream after its client left, Fastify asks whether the connection is open.
    if (this.forwarded === undefined || !isClosed(this.reply)) this.readAddress()
  }

  /** Declares what the response depends on. */
  varyOn (names: readonly string[]): void {
    this.dependencies?.declare(names)
  }

  override learned (names: readonly string[]): void {
    super.learned(names)
    const { dependencies } = this
    for (const name of names) {
      this.route.learned.note(name, () => dependencies === undefined ? 'earlier' : dependencies.sourceOf(name) ?? 'vary')
    }
  }

  /** Declares what the response can be purged by. */
  tag (tags: readonly string[]): void {
    this.#run?.tag(tags)
  }

  record (names: readonly string[]): Recording {
    return (this.#run as HandlerRun).record(variantOf(this, names))
  }

  plan (recording: Recording, startedAt: number, now: number): Plan | NoPlan {
    return this.planFor(recording, (this.#run as HandlerRun).response(), startedAt, now)
  }

  /** The handler, or a hook after it, ends in an error. */
  fail (error: unknown): void {
    this.failed = true
    this.error = error
    if (this.role.type === 'refresher') this.role.refresh.error ??= error
    this.#run?.failedLater()
  }

  /** The handler, or a hook or timeout while the request waited, hijacks the reply. */
  hijacked (): void {
    if (this.#waits) {
      this.#answeredElsewhere()
      return
    }
    this.conductor.finished(this)
    this.#run?.hijacked()
    this.protectedRun?.hijacked()
  }

  /**
   * The first hook after the handler. Returns the payload to go on with.
   *
   * @param last no other hook comes before the decision
   */
  capture (payload: unknown, last: boolean): unknown {
    this.protectedRun?.answered(payload)
    const passed = this.#capture(payload, last)
    this.protectedRun?.captured(passed)
    return passed
  }

  #capture (payload: unknown, last: boolean): unknown {
    if (this.#waits) {
      this.#answeredElsewhere()
      return payload
    }
    if (this.runsForOthers) return (this.#run as HandlerRun).capture(payload, last)
    this.conductor.finished(this)
    if (this.#run?.hookFailed === true) return payload
    this.replay?.sent()
    this.head?.capture()
    return this.#orFallback(this.#run === undefined ? payload : this.#run.captureSolo(payload))
  }

  /**
   * The last hook before the response's headers leave: decides who may have it. Returns the payload to go on with.
   *
   * @param last no other hook comes before it is sent
   */
  decide (payload: unknown, last: boolean): unknown {
    if (this.replay !== undefined) return this.replay.finish(payload, last)
    const passed = this.#run === undefined ? payload : this.#run.decide(payload, last)
    this.head?.decide()
    return passed
  }

  closed (): void {
    const { conductor, role } = this
    const run = this.#run
    const { raw } = this.reply
    const ended = isEnded(raw)
    this.gone = !ended || !raw.writableFinished
    if (ended && this.#waits) {
      this.#answeredElsewhere()
      return
    }
    conductor.finished(this)
    if (ended) this.protectedRun?.endedByHand()
    if (ended) run?.endedByHand()
    // Hooks that are still at its response may read on.
    if (run?.captured !== true || run.decided) this.reader?.destroy()
    // After landing, the run is for its own client only.
    if (role.type === 'landed' && this.#led && this.gone && run?.hasReaders !== true) this.cancel(new NobodyWaitsError())
    conductor.leave(this, 'client-left')
    this.#awaitResult()
  }

  /** The client of a leader has left. A handler that has ended without an answer gives none any more; one that goes on still may. */
  #awaitResult (): void {
    this.protectedRun?.clientLeft()
    if (this.role.type !== 'leader' || this.result === undefined || this.forwarded !== undefined) return
    // What the handler has answered, if it did, is captured by then.
    const giveUp = (): void => { if (this.#run?.captured !== true && this.result !== undefined) this.conductor.abandon(this, 'no-reply') }
    this.result.then(() => setImmediate(giveUp), () => setImmediate(giveUp))
  }

  /** It waits: for a leader, for a store, or for its turn to run alone. */
  get #waits (): boolean {
    return WAITING.has(this.role.type) || (this.role.type === 'alone' && this.outcome === undefined)
  }

  /** While it waited, a hook or a timeout has answered it. */
  #answeredElsewhere (): void {
    if (isHandlerTimeout(this.error)) this.conductor.abandon(this, 'handler-timeout', true)
    this.conductor.leave(this, 'answered-elsewhere')
  }

  /** If its run, which is for its own client only, has failed, a cached response may replace the error. */
  #orFallback (payload: unknown): unknown {
    const before = this.before ?? this.#run?.before
    if (before === undefined || this.replay !== undefined || !isFailure(this.reply.statusCode)) return payload
    const fallback = this.conductor.fallBack(this)
    return fallback === undefined ? payload : this.replaceResponse(fallback, payload, before)
  }
}
