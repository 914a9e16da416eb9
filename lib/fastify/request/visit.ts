/**
 * A request of Fastify's as a participant: how it is read, recorded, replayed and cut off.
 *
 * Invariant: what it is answered with is decided once: by its own run, by another's, or by what is kept. Whoever answers it
 * does so in its own asynchronous context.
 */
import { AsyncResource } from 'node:async_hooks'
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { NoPlan, Plan } from '../../engine/cache/cache.js'
import { FellBehindError, NobodyWaitsError, OtherVariantError } from '../../errors.js'
import type { Forwarded } from '../dependencies/forwarding.js'
import type { Cut, Listener } from '../../http/broadcast-reader.js'
import type { Headers } from '../../http/headers.js'
import { HeadCheck } from './head-revalidation.js'
import { type Reads } from '../../http/reads.js'
import type { Recording } from '../../http/recording.js'
import { variantOf } from '../../variant.js'
import { isHandlingError, isLoggingError, snapshotHeaders } from '../internals.js'
import { breakOff, discard, isHandlerTimeout, onHeaders, restoreHeaders } from '../replies/payload.js'
import { isClosed, isEnded, onClose } from '../replies/queued-reply.js'
import { Replay, type Join } from './replay.js'
import { Run } from './handler-run.js'
import { holdEncodings, shareEncodings } from '../replies/shared-zlib.js'
import { RequestFacts } from './facts.js'

/** What it does while it waits for somebody else. */
const WAITING: ReadonlySet<string> = new Set(['preparing', 'stranded', 'awaiting-store', 'follower'])

/** Answers the parked request by going on to its handler. */
export type Resume = () => void

export class FastifyVisit extends RequestFacts implements Listener {
  /** Its handler runs as soon as it has boarded. */
  runsNow = false
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
  /** Whether it runs, or ran, the handler for others than its client. */
  get led (): boolean {
    return this.#led
  }

  /** The status of what its own run brought. */
  get runStatus (): number | undefined {
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

  protected override get asked (): IncomingHttpHeaders | undefined {
    return this.#run?.asked
  }

  /** The run begins. */
  begin (): void {
    const { missed, role, stale } = this
    const { type } = role
    // Whatever comes later, others need not wait for.
    if (type === 'alone') onHeaders(this.reply, () => { this.conductor.finished(this) })
    if ((type === 'solo' || type === 'alone') && missed?.fallback !== undefined) this.#before = snapshotHeaders(this.reply)
    if (role.type === 'solo' && stale !== undefined && this.followsOnly === 'head') this.#check = new HeadCheck(this, stale, role.startedAt)
    if (!this.runsForOthers) return
    this.#led = type !== 'probe'
    this.#run = new Run(this)
    if (this.hasFollowers) this.joined()
  }

  get leads (): boolean {
    return this.role.type === 'leader'
  }

  /** What its run comes to is for others, or tells what others will have. */
  get runsForOthers (): boolean {
    const { type } = this.role
    return type === 'leader' || type === 'probe' || type === 'refresher'
  }

  joined (): void {
    this.watchClient()
    const { type } = this.role
    if ((type !== 'leader' && type !== 'preparing') || this.#followed) return
    this.#followed = true
    onHeaders(this.reply, () => {
      if (this.role.type === 'preparing') this.#answeredElsewhere()
      else if (this.role.type === 'leader' && this.#run?.decided !== true) this.keepToItself('unrecorded', true)
    })
  }

  /**
   * The run waits, until `resume` or an answer.
   *
   * @param over called once neither comes any more, or what came has been sent
   */
  park (resume: Resume, over?: () => void): void {
    this.#over = over
    if (this.role.type !== 'served') {
      this.#resume = resume
      this.#scope = new AsyncResource('CoalescedRequest')
      this.watchClient()
    }
    this.conductor.parked(this)
  }

  run (): void {
    this.begin()
    this.#scope?.runInAsyncScope(this.#resume as Resume)
    this.#end()
  }

  give (recording: Recording): void {
    this.#answer(() => {
      this.takeOver(recording).start()
    })
  }

  /** What it is compressed to for one of them is for all. */
  override sharing ({ body }: Recording): (() => void) | undefined {
    return holdEncodings(body, this.requests.budget.hold)
  }

  /** Whatever it was about to be answered with: it is answered with a recording. */
  takeOver (recording: Recording): Replay {
    shareEncodings(this.reply, recording.body, this.requests.budget.hold, recording.kept === undefined ? undefined : recording)
    const join: Join = (broadcast, span) => (this.reader = broadcast.join(this, span))
    return (this.#replay = new Replay(this.request, this.reply, recording, this.requests.guarded.now(), join))
  }

  /** Answers with a recording in the place of what its handler did. `before`: the reply's headers when that began. */
  substitute (recording: Recording, payload: unknown, before: Headers): unknown {
    const { reply } = this
    discard(payload)
    restoreHeaders(reply, before)
    return this.takeOver(recording).substitute()
  }

  refuse (error: Error, retryAfter: number | undefined): void {
    this.#answer(() => {
      if (retryAfter !== undefined) this.reply.header('retry-after', String(Math.ceil(retryAfter / 1000)))
      this.reply.send(error)
    })
  }

  cancel (reason: Error): void {
    this.#run?.close()
    this.#controller ??= new AbortController()
    this.#controller.abort(reason)
    this.#end()
  }

  /** Notes that the handler looked at the client's address. */
  readAddress (): void {
    // Fastify's own log of an error reads it, as others' may, and that is not the response's doing.
    if (this.failed && !isHandlingError(this.reply)) return
    this.addressOnce()
    this.#run?.readAddress()
    this.#check?.readAddress()
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

  get gone (): boolean {
    return this.#clientLeft
  }

  record (names: readonly string[]): Recording {
    return (this.#run as Run).record(variantOf(this, names))
  }

  plan (recording: Recording, startedAt: number, now: number): Plan | NoPlan {
    return this.planFor(recording, (this.#run as Run).response(), startedAt, now)
  }

  /** The handler, or a hook after it, ends in an error. */
  fail (error: unknown): void {
    this.failed = true
    this.error = error
    if (this.role.type === 'refresher') this.role.refresh.error ??= error
    this.#run?.failedLater()
  }

  /** The handler, or whatever came first while it waited, takes the response into its own hands. */
  hijacked (): void {
    if (this.#waits) {
      this.#answeredElsewhere()
      return
    }
    this.conductor.finished(this)
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
    if (this.runsForOthers) return (this.#run as Run).capture(payload, last)
    this.conductor.finished(this)
    if (this.#run?.hookFailed === true) return payload
    this.#replay?.sent()
    this.#check?.capture()
    return this.#standIn(this.#run === undefined ? payload : this.#run.captureForOne(payload))
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
    this.conductor.finished(this)
    if (ended && this.#run?.passedBy === true) this.#passedBy()
    // Hooks that are at its response may go on with that.
    if (this.#run?.captured !== true || this.#run.decided) this.reader?.destroy()
    // The run is for its own client only, since it landed.
    if (role.type === 'landed' && this.#led && this.#clientLeft && this.#run?.heard !== true) this.cancel(new NobodyWaitsError())
    this.conductor.leave(this, 'client-left')
    // A handler that has ended will not answer any more; one that has not may yet.
    if (this.role.type === 'leader' && this.result !== undefined && this.forwarded === undefined) {
      const giveUp = (): void => { if (this.#run?.captured !== true && this.result !== undefined) this.conductor.abandon(this, 'no-reply') }
      this.result.then(giveUp, giveUp)
    }
  }

  /** Its reply was ended by hand: what was captured, or is still being made, is not what its client was sent. */
  #passedBy (): void {
    if (this.role.type === 'leader' || this.role.type === 'probe') this.keepToItself('unrecorded', true)
    if (this.reader?.readableEnded !== false) return
    this.#run?.close()
    this.conductor.close(this)
  }

  /** Lets everybody go who waits for this response. */
  keepToItself (reason: string, remember: boolean): void {
    this.conductor.unshareable(this, reason, remember, (this.#run as Run).varies)
    if (this.#clientLeft) this.cancel(new NobodyWaitsError())
  }

  /** It waits, for a leader, for a store, or for its turn to run by itself. */
  get #waits (): boolean {
    return WAITING.has(this.role.type) || (this.role.type === 'alone' && this.outcome === undefined)
  }

  /** Something else has answered it while it waited. */
  #answeredElsewhere (): void {
    if (isHandlerTimeout(this.error)) this.conductor.abandon(this, 'handler-timeout', true)
    this.conductor.leave(this, 'answered-elsewhere')
  }

  /** Its own run, which others do not share, or not any more, may have failed: then what was kept goes on in its place. */
  #standIn (payload: unknown): unknown {
    const before = this.#before ?? this.#run?.before
    if (before === undefined || this.#replay !== undefined || this.reply.statusCode < 500) return payload
    const fallback = this.conductor.fallBack(this)
    return fallback === undefined ? payload : this.substitute(fallback, payload, before)
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
    if (this.#closed && this.role.type !== 'preparing' && this.role.type !== 'stranded') this.#over?.()
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
    this.conductor.cutOff(this, reason)
    breakOff(this.reply)
    return cause ?? (reason === 'vary' ? new OtherVariantError() : new FellBehindError())
  }
}
