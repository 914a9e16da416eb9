/**
 * One request of Fastify's at the coalescer: how it is read, recorded, replayed and cut off.
 *
 * Invariant: what it is answered with is decided once: by its own run, by another's, or by what is kept. Whoever answers it
 * does so in its own asynchronous context.
 */
import { AsyncResource } from 'node:async_hooks'
import type { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Coalescer } from '../../engine/conductor.js'
import { FellBehindError, NobodyWaitsError, OtherVariantError } from '../../errors.js'
import type { Forwarded } from '../dependencies/forwarding.js'
import type { Cut, Listener } from '../../http/broadcast.js'
import { meaningOf } from '../../http/dimensions.js'
import type { Headers } from '../../http/headers.js'
import { HeadCheck } from '../cache/head-revalidation.js'
import { originalUrlOf } from '../dependencies/hook-reads.js'
import { headerOf } from '../../http/key.js'
import { followReason, type FollowReason } from '../../http/policy.js'
import { isOfQuery, queryStart } from '../../http/query.js'
import { CLIENT_ADDRESS, type Reads } from '../../http/reads.js'
import type { Recording, Variant } from '../../http/recording.js'
import type { Refresh } from '../cache/response-cache.js'
import type { Log } from '../../observers/observer.js'
import { isHandlingError, isLoggingError, snapshotHeaders } from '../internals.js'
import { queryValue } from '../dependencies/narrowing.js'
import { breakOff, discard, isHandlerTimeout, onHeaders, restoreHeaders } from '../replies/payload.js'
import { isClosed, isEnded, onClose } from '../replies/queued-reply.js'
import { isRefreshable, NO_ADDRESS, runErrand } from '../cache/refresh-request.js'
import { Replay, type Join } from './replay.js'
import { Run } from './handler-run.js'
import type { FastifyRoute } from '../scope.js'
import { shareEncodings } from '../replies/shared-zlib.js'
import { Visit, type Response as Outcome, type Route } from '../../engine/participant.js'

/** Who looks at a client's address has that of its connection or what proxies make of it, and only both tell clients apart. */
function addressOf ({ ip, raw: { socket: { remoteAddress } } }: FastifyRequest): string {
  return ip === remoteAddress ? ip : `${remoteAddress ?? NO_ADDRESS} ${ip}`
}

/** Answers the parked request by going on to its handler. */
export type Resume = () => void

export class FastifyVisit extends Visit implements Listener {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly followsOnly: FollowReason | undefined
  /** What its handler returned, if it is a promise of anything but its reply. */
  result: PromiseLike<unknown> | undefined
  /** What went wrong in its handler: whatever the status says, the response is a failure. */
  error: unknown
  /** Its handler, or a hook after it, ended in an error. */
  failed = false
  /** What its own client reads of a stream that others read as well, its own or another's. */
  reader: Readable | undefined
  #led = false
  #scope: AsyncResource | undefined
  #resume: Resume | undefined
  #over: (() => void) | undefined
  #closed = false
  #clientLeft = false
  /** Whether its client's leaving is noticed. */
  #watched = false
  /** Somebody waited for its run, and what its handler writes past `reply` is noticed. */
  #followed = false
  #run: Run | undefined
  /** The reply's headers before its handler, if that runs for its client only and something can stand in for it. */
  #before: Headers | undefined
  /** What its run for HEAD tells of what is kept for GET. */
  #check: HeadCheck | undefined
  /** How it is answered with another one's run. */
  #replay: Replay | undefined
  #controller: AbortController | undefined
  /** Its client's address as it was when somebody looked first: a stream of HTTP/2 that is closed does not tell it any more. */
  #address: string | undefined

  constructor (coalescer: Coalescer, route: Route, request: FastifyRequest, reply: FastifyReply) {
    super(coalescer, route)
    this.request = request
    this.reply = reply
    this.followsOnly = followReason(request)
  }

  override get id (): string {
    return this.request.id
  }

  override get log (): Log {
    return this.request.log
  }

  override get paths (): readonly string[] {
    const { semicolonDelimits } = this.route.settings.router
    return [this.request.url, originalUrlOf(this.request)].map(url => url.slice(0, queryStart(url, semicolonDelimits)))
  }

  override get led (): boolean {
    return this.#led
  }

  override get runStatus (): number | undefined {
    return this.#run?.status
  }

  /** Set once its handler has forwarded the request to an upstream. */
  get forwarded (): Forwarded | undefined {
    return this.#run?.forwarded
  }

  /** What its run, or that for HEAD, was seen to read; undefined without one, or where the route trusts what the response says. */
  get reads (): Reads | undefined {
    return this.#run?.reads ?? this.#check?.reads
  }

  /** Aborts when nobody needs this run any more. `own`: Fastify's, which aborts as soon as this request's client is gone. */
  signal (own: AbortSignal): AbortSignal {
    if (this.#controller === undefined) {
      const controller = this.#controller = new AbortController()
      const follow = (): void => { if (isHandlerTimeout(own.reason)) controller.abort(own.reason) }
      if (own.aborted) follow()
      else own.addEventListener('abort', follow, { once: true })
      this.watchClient()
    }
    return this.#controller.signal
  }

  /** The run begins. */
  begin (): void {
    // Whatever comes later, others need not wait for.
    if (this.role === 'alone') onHeaders(this.reply, () => { this.over() })
    if (this.role === 'done' && this.standby !== undefined) this.#before = snapshotHeaders(this.reply)
    if (this.role === 'done' && this.found !== undefined && this.followsOnly === 'head') this.#check = new HeadCheck(this, this.found)
    if (this.role !== 'leader' && this.role !== 'scout' && this.role !== 'refresher') return
    this.#led = this.role !== 'scout'
    this.#run = new Run(this)
    if (this.hasFollowers) this.followed()
  }

  override followed (): void {
    this.watchClient()
    if (this.role !== 'leader' || this.#followed) return
    this.#followed = true
    onHeaders(this.reply, () => {
      if (this.looks) this.#answeredElsewhere()
      else if (this.role === 'leader' && this.#run?.decided !== true) this.keepToItself('unrecorded', true)
    })
  }

  /**
   * The run waits, until `resume` or an answer.
   *
   * @param over called once neither comes any more, or what came has been sent
   */
  park (resume: Resume, over?: () => void): void {
    this.#over = over
    if (this.role === 'kept') {
      this.coalescer.serve(this)
      return
    }
    this.#resume = resume
    this.#scope = new AsyncResource('CoalescedRequest')
    this.watchClient()
    this.coalescer.parked(this)
  }

  override value (name: string): string | null {
    if (name === CLIENT_ADDRESS) return this.#addressOnce()
    if (isOfQuery(name)) return queryValue(this.request, name, this.route.settings)
    return meaningOf(name, header => this.#header(header))
  }

  /** A header as it was when the response was captured, or is now. */
  #header (name: string): string | null {
    const { headers } = this.request
    const asked = this.#run?.asked
    // What a hook put in the place of headers may have values without having names.
    return headerOf(asked !== undefined && (Object.hasOwn(asked, name) || Object.hasOwn(headers, name)) ? asked : headers, name)
  }

  override run (): void {
    this.begin()
    this.#scope?.runInAsyncScope(this.#resume as Resume)
    this.#end()
  }

  override replay (recording: Recording): void {
    this.#answer(() => {
      this.takeOver(recording).start()
    })
  }

  /** Whatever it was about to be answered with: it is answered with a recording. */
  takeOver (recording: Recording): Replay {
    shareEncodings(this.reply, recording.body, this.coalescer.budget.hold, recording.kept === undefined ? undefined : recording)
    const join: Join = (broadcast, span) => (this.reader = broadcast.join(this, span))
    return (this.#replay = new Replay(this.request, this.reply, recording, this.coalescer.keeper.shelf.now(), join))
  }

  /** Answers with a recording in the place of what its handler did. `before`: the reply's headers when that began. */
  substitute (recording: Recording, payload: unknown, before: Headers): unknown {
    const { reply } = this
    discard(payload)
    restoreHeaders(reply, before)
    return this.takeOver(recording).substitute()
  }

  override refuse (error: Error, retryAfter?: number): void {
    this.#answer(() => {
      if (retryAfter !== undefined) this.reply.header('retry-after', String(Math.ceil(retryAfter / 1000)))
      this.reply.send(error)
    })
  }

  override cancel (reason: Error): void {
    this.#run?.close()
    this.#controller ??= new AbortController()
    this.#controller.abort(reason)
    this.#end()
  }

  /** Notes that the handler looked at the client's address. */
  readAddress (): void {
    // Fastify's own log of an error reads it, as others' may, and that is not the response's doing.
    if (this.failed && !isHandlingError(this.reply)) return
    this.#addressOnce()
    this.#run?.readAddress()
    this.#check?.readAddress()
  }

  #addressOnce (): string {
    if (this.#address === undefined) {
      // To look at it comes by here again.
      this.#address = NO_ADDRESS
      this.#address = addressOf(this.request)
    }
    return this.#address
  }

  ignoresLooks (): boolean {
    // Fastify logs a handler's error with its request.
    return isLoggingError(this.reply)
  }

  /** Notes that the handler looked at the connection. */
  readSocket (): void {
    // Whether it is still open is what Fastify asks, of a run that goes on at an upstream after its client left.
    if (this.forwarded === undefined || !isClosed(this.reply)) this.readAddress()
  }

  /** Declares what the response depends on. */
  varyOn (names: readonly string[]): void {
    this.#run?.varyOn(names)
    this.#check?.varyOn(names)
  }

  /** Declares what the response can be purged by. */
  tag (tags: readonly string[]): void {
    this.#run?.tag(tags)
  }

  override get gone (): boolean {
    return this.#clientLeft
  }

  override get refreshable (): boolean {
    return isRefreshable(this.request, this.route as FastifyRoute, this.coalescer.variants.namesOf(this.key))
  }

  override async rerun (refresh: Refresh): Promise<void> {
    const { coalescer, request, route } = this
    await runErrand(request, route as FastifyRoute, coalescer.variants.namesOf(this.key), refresh, coalescer.clock)
  }

  override ttlOf (recording: Recording): number | 'headers' | undefined {
    const { ttl } = this.route.settings
    if (typeof ttl !== 'function') return ttl
    try {
      return ttl(recording, this.request)
    } catch (err) {
      this.log.warn({ err, coalesce: { event: 'ttl-threw', route: this.tally.route } }, 'coalesce: the ttl function of the route failed')
      return undefined
    }
  }

  override response (): Outcome {
    return (this.#run as Run).response()
  }

  override record (variant: Variant): Recording {
    return (this.#run as Run).record(variant)
  }

  /** The handler, or a hook after it, ends in an error. */
  fail (error: unknown): void {
    this.failed = true
    this.error = error
    if (this.refresh !== undefined) this.refresh.error ??= error
    this.#run?.failedLater()
  }

  /** The handler, or whatever came first while it waited, takes the response into its own hands. */
  hijacked (): void {
    if (this.#waits) {
      this.#answeredElsewhere()
      return
    }
    this.over()
    this.#run?.hijacked()
  }

  /**
   * The first moment after the handler. Returns the payload to go on with.
   *
   * @param last no other hook comes before the decision
   */
  capture (payload: unknown, last: boolean): unknown {
    if (this.#waits) {
      this.#answeredElsewhere()
      return payload
    }
    switch (this.role) {
      case 'leader':
      case 'scout':
      case 'refresher':
        return (this.#run as Run).capture(payload, last)
      case 'alone':
        this.over()
        return payload
      default:
        if (this.#run?.hookFailed === true) return payload
        this.#replay?.sent()
        this.#check?.capture()
        return this.#standIn(this.#run === undefined ? payload : this.#run.captureForOne(payload))
    }
  }

  /**
   * The last moment before the response's headers leave: decides who may have it. Returns the payload to go on with.
   *
   * @param last no other hook comes before it is sent
   */
  decide (payload: unknown, last: boolean): unknown {
    if (this.#replay !== undefined) return this.#replay.finish(payload, last)
    const passed = this.#run === undefined ? payload : this.#run.decide(payload, last)
    this.#check?.decide()
    return passed
  }

  /** The response, or its connection, has been closed. */
  closed (): void {
    const { role } = this
    const { raw } = this.reply
    const ended = isEnded(raw)
    this.#clientLeft = !ended || !raw.writableFinished
    if (ended && this.#waits) {
      this.#answeredElsewhere()
      return
    }
    this.over()
    if (ended && this.#run?.passedBy === true) this.#passedBy()
    // Hooks that are at its response may go on with that.
    if (this.#run?.captured !== true || this.#run.decided) this.reader?.destroy()
    // The run is for its own client only, since it landed.
    if (role === 'done' && this.#led && this.#clientLeft && this.#run?.heard !== true) this.cancel(new NobodyWaitsError())
    this.coalescer.leave(this, 'client-left')
    // A handler that has ended will not answer any more; one that has not may yet.
    if (this.role === 'leader' && this.result !== undefined && this.forwarded === undefined) {
      const giveUp = (): void => { if (this.#run?.captured !== true && this.result !== undefined) this.coalescer.abandon(this, 'no-reply') }
      this.result.then(giveUp, giveUp)
    }
  }

  /** Its reply was ended by hand: what was captured, or is still being made, is not what its client was sent. */
  #passedBy (): void {
    if (this.role === 'leader' || this.role === 'scout') this.keepToItself('unrecorded', true)
    if (this.reader?.readableEnded !== false) return
    this.#run?.close()
    this.coalescer.close(this)
  }

  /** Lets everybody go who waits for this response. */
  keepToItself (reason: string, remember: boolean): void {
    this.coalescer.unshareable(this, reason, remember, this.#run?.varies)
    if (this.#clientLeft) this.cancel(new NobodyWaitsError())
  }

  /** It waits, for a leader, for a store, or for its turn to run by itself. */
  get #waits (): boolean {
    return this.looks || this.role === 'follower' || (this.role === 'alone' && this.outcome === undefined)
  }

  /** Something else has answered it while it waited. */
  #answeredElsewhere (): void {
    this.looks = false
    if (isHandlerTimeout(this.error)) this.coalescer.abandon(this, 'handler-timeout')
    this.coalescer.leave(this, 'answered-elsewhere')
  }

  /** Its own run, which others do not share, or not any more, may have failed: then what was kept goes on in its place. */
  #standIn (payload: unknown): unknown {
    const before = this.#before ?? this.#run?.before
    if (before === undefined || this.#replay !== undefined || this.reply.statusCode < 500) return payload
    const standby = this.coalescer.fallBack(this)
    return standby === undefined ? payload : this.substitute(standby, payload, before)
  }

  watchClient (): void {
    if (this.#watched) return
    this.#watched = true
    onClose(this.reply, () => {
      this.closed()
      this.#closed = true
      this.#end()
    })
  }

  /** What its handler returns that has still to run is for those who wait for it. */
  #end (): void {
    if (this.#closed && !this.looks) this.#over?.()
  }

  /** Answers in this request's own asynchronous context. */
  #answer (send: () => void): void {
    const answer = (): void => {
      if (this.reply.sent) return
      try {
        send()
      } catch (err) {
        this.log.error({ err }, 'coalesce: a response could not be sent')
        this.reply.raw.destroy()
      }
    }
    if (this.#scope === undefined) answer()
    else this.#scope.runInAsyncScope(answer)
    this.#end()
  }

  cutOff (reason: Cut, cause: Error | undefined): Error {
    this.coalescer.cutOff(this, reason)
    breakOff(this.reply)
    return cause ?? (reason === 'vary' ? new OtherVariantError() : new FellBehindError())
  }
}
