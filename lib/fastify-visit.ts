/**
 * One request of Fastify's at the coalescer: how it is read, recorded, replayed and cut off.
 *
 * Invariant: a leader's response is captured before the instance's later `onSend` hooks see it, and decided upon after all of
 * them ran: what others add for the leader's own client is not recorded, but a cookie or a restriction that they add keeps
 * the response from being shared.
 */
import { AsyncResource } from 'node:async_hooks'
import type { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Visit, type Coalescer, type Route } from './coalescer.js'
import { FellBehindError, NobodyWaitsError, OtherVariantError, WrongLengthError } from './errors.js'
import { watchForwarding, type Forwarded } from './forwarding.js'
import { byMeaning, ENCODINGS, normalizeAcceptEncoding } from './http/accept-encoding.js'
import { Broadcast, type Cut, type Listener } from './http/broadcast.js'
import { headerDelta, type HeaderDelta, type Headers } from './http/headers.js'
import { headerOf } from './http/key.js'
import { answersOneOnly, followReason, keyCovers, shareReason, type FollowReason } from './http/policy.js'
import { queryStart } from './http/query.js'
import { CLIENT_ADDRESS, Reads } from './http/reads.js'
import { byteLength, isLarger, snapshot, type Body, type Recording, type Variant } from './http/recording.js'
import { parseVary } from './http/vary.js'
import { headersOf, snapshotHeaders } from './internals.js'
import { conditioned, hijackRecorded } from './leader-reply.js'
import type { Log } from './observers/observer.js'
import { hasTrailers, isHandlerTimeout, isResponse, onHeaders, readableOf, restrictionOf, type Capture } from './payload.js'
import { Replay } from './replay.js'
import { shareEncodings } from './shared-zlib.js'

const NO_HEADERS: Headers = Object.freeze({})
const NO_DELTA: HeaderDelta = Object.freeze({ set: [], removed: [] })
const NO_NAMES: readonly string[] = Object.freeze([])

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
  /** Set once its handler has forwarded the request to an upstream. */
  forwarded: Forwarded | undefined
  #failed = false
  #led = false
  #scope: AsyncResource | undefined
  #resume: Resume | undefined
  #clientLeft = false
  /** Whether its client's leaving is noticed. */
  #watched = false
  /** Somebody waited for its run, and what its handler writes past `reply` is noticed. */
  #followed = false
  /** The reply's headers when the run began. */
  #before: Headers | undefined
  #reads: Reads | undefined
  #varies: Set<string> | undefined
  #capture: Capture | undefined
  #decided = false
  /** A leader's body, if it is a stream. */
  #broadcast: Broadcast | undefined
  /** How it is answered with another one's run. */
  #replay: Replay | undefined
  /** What its own client reads of such a body, its own or another's. */
  #reader: Readable | undefined
  /** What those get who share its run. */
  #body: Body | Broadcast = null
  #controller: AbortController | undefined

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

  override get path (): string {
    const { url } = this.request
    return url.slice(0, queryStart(url, this.route.settings.router.semicolonDelimits))
  }

  /** Whether it runs, or ran, the handler for a flight. */
  get led (): boolean {
    return this.#led
  }

  /** Aborts when nobody needs this run any more. `own`: Fastify's, which aborts as soon as this request's client is gone. */
  signal (own: AbortSignal): AbortSignal {
    if (this.#controller === undefined) {
      const controller = this.#controller = new AbortController()
      const follow = (): void => { if (isHandlerTimeout(own.reason)) controller.abort(own.reason) }
      if (own.aborted) follow()
      else own.addEventListener('abort', follow, { once: true })
      this.#watchClient()
    }
    return this.#controller.signal
  }

  /** The run begins. */
  begin (): void {
    this.#led = this.role === 'leader'
    this.#before = snapshotHeaders(this.reply)
    if (this.route.settings.learnVary !== false) this.#reads = new Reads(this.request.raw)
    this.reply.hijack = hijackRecorded
    watchForwarding(this, this.#reads)
    if (this.hasFollowers) this.followed()
  }

  override followed (): void {
    this.#watchClient()
    if (this.role !== 'leader' || this.#followed) return
    this.#followed = true
    onHeaders(this.reply, () => {
      if (this.role === 'leader' && this.#capture === undefined) this.#keepToItself('unrecorded', true)
    })
  }

  /** The run waits, until `resume` or an answer. */
  park (resume: Resume): void {
    this.#resume = resume
    this.#scope = new AsyncResource('CoalescedRequest')
    this.#watchClient()
    this.coalescer.parked(this)
  }

  override value (name: string): string | null {
    if (name === ENCODINGS) return normalizeAcceptEncoding(headerOf(this.request.headers, 'accept-encoding'))
    return name === CLIENT_ADDRESS ? this.request.ip : headerOf(this.request.headers, name)
  }

  override run (): void {
    if (this.role === 'leader') this.begin()
    this.#scope?.runInAsyncScope(this.#resume as Resume)
  }

  override replay (recording: Recording): void {
    this.#answer(() => {
      shareEncodings(this.reply, recording.body, bytes => this.coalescer.hold(bytes))
      this.#replay = new Replay(this.request, this.reply, recording, (broadcast, span) => (this.#reader = broadcast.join(this, span)))
      this.#replay.start()
    })
  }

  override refuse (error: Error): void {
    this.#answer(() => {
      this.reply.header('retry-after', String(Math.ceil(this.waitTimeout / 1000)))
      this.reply.send(error)
    })
  }

  override cancel (reason: Error): void {
    this.#broadcast?.close()
    this.#controller ??= new AbortController()
    this.#controller.abort(reason)
  }

  /** Notes that the handler looked at the client's address. */
  readAddress (): void {
    // Fastify's own log of an error reads it, and that is not the response's doing.
    if (!this.#failed) this.#reads?.address()
  }

  /** Notes that the handler looked at the connection. */
  readSocket (): void {
    // Whether it is still open is what Fastify asks, of a run that goes on at an upstream after its client left.
    if (this.forwarded === undefined || !this.reply.raw.destroyed) this.readAddress()
  }

  /** Declares what the response depends on. */
  varyOn (names: readonly string[]): void {
    this.#varies ??= new Set()
    for (const name of names) this.#varies.add(name.toLowerCase())
  }

  /** The handler, or a hook after it, ends in an error. */
  fail (error: unknown): void {
    this.#failed = true
    this.error = error
  }

  /** The handler has sent its response to hooks that come before `capture`. */
  hideConditions (): void {
    if (this.#reads !== undefined) this.#reads.hidesConditions = this.#reads.on
  }

  /** The handler takes the response into its own hands. */
  hijacked (): void {
    this.#reads?.stop()
    this.#decided = true
    this.#keepToItself('hijacked', true)
  }

  /**
   * The first moment after the handler. Returns the payload to go on with.
   *
   * @param last no other hook comes before the decision
   */
  capture (payload: unknown, last: boolean): unknown {
    switch (this.role) {
      case 'leader':
      case 'scout':
        break
      case 'follower':
        this.coalescer.leave(this, 'answered-elsewhere')
        return payload
      case 'alone':
        this.coalescer.over(this)
        return payload
      default:
        this.#reads?.stop()
        return payload
    }
    if (this.#capture !== undefined) {
      // One of the leader's own hooks failed after its handler did well: this response is not what the others would get.
      this.#decided = true
      this.#reader?.destroy()
      this.#broadcast?.close()
      this.coalescer.abandon(this, 'hook-failed')
      return payload
    }
    this.#reads?.stop()
    const { reply } = this
    const body = isResponse(payload) && !payload.bodyUsed ? this.#unwrap(payload) : payload
    const status = reply.statusCode
    const failed = this.#failed || status >= 500
    if (failed && (this.#clientLeft || isHandlerTimeout(this.error))) {
      this.#decided = true
      this.coalescer.abandon(this, this.#clientLeft ? 'client-left' : 'handler-timeout')
      return body
    }
    const { maxBodyBytes, statuses } = this.route.settings
    const headers = headersOf(reply)
    let reason: string | undefined = shareReason({ status, headers, trailers: hasTrailers(reply), failed }, statuses)
    if (this.forwarded?.answered(headers['cache-control']) === 'private') reason ??= 'authorization'
    let passed = body
    let whole: string | Uint8Array | null = null
    if (reason === undefined) {
      if (body === undefined || body === null || typeof body === 'string' || body instanceof Uint8Array) {
        whole = body ?? null
        if (isLarger(whole, maxBodyBytes)) reason = 'too-large'
      } else if (Number(headers['content-length'] ?? 0) > maxBodyBytes) {
        reason = 'too-large'
      } else {
        const source = readableOf(body)
        if (source === undefined) reason = 'unknown-payload'
        else passed = this.#record(source, headers['content-length'])
      }
    }
    const vary = headers.vary === undefined ? NO_NAMES : parseVary(headers.vary)
    // Nobody gets what is decided upon at once and that nobody waits for.
    const wanted = reason === undefined && (!last || this.#broadcast !== undefined || this.hasFollowers)
    this.#capture = {
      reason,
      status,
      headers: wanted ? headerDelta(this.#before ?? NO_HEADERS, headers) : NO_DELTA,
      body: wanted ? snapshot(whole) : null,
      failed,
      vary: typeof vary === 'string' ? NO_NAMES : vary
    }
    if (wanted && this.hasFollowers) shareEncodings(reply, this.#capture.body, bytes => this.coalescer.hold(bytes))
    if (last) this.#decide(reason)
    return passed
  }

  /**
   * The last moment before the response's headers leave: decides who may have it. Returns the payload to go on with.
   *
   * @param last no other hook comes before it is sent
   */
  decide (payload: unknown, last: boolean): unknown {
    if (this.#replay !== undefined) return this.#replay.finish(payload, last)
    if (this.#capture !== undefined && !this.#decided) this.#decide(this.#capture.reason ?? restrictionOf(this.reply))
    if (this.#reads?.hidden !== true) return payload
    return this.#reads.during(() => conditioned(this.request, this.reply, payload), false)
  }

  #decide (reason: string | undefined): void {
    this.#decided = true
    if (reason !== undefined) {
      this.#broadcast?.close()
      // What a conditional request was answered says nothing about the next one.
      this.#keepToItself(reason, !answersOneOnly(this.reply.statusCode))
    } else if (this.#broadcast === undefined) {
      this.#land()
    } else {
      // What makes a stream's chunks may look at the request as well. Hooks between have had their own looks.
      this.#reads?.start()
      if (this.#clientLeft) this.#reader?.destroy()
      this.#broadcast.start()
    }
  }

  /** The response, or its connection, has been closed. */
  closed (): void {
    const { role } = this
    const { raw } = this.reply
    this.coalescer.over(this)
    this.#clientLeft = !raw.writableFinished
    if (role === 'leader' && raw.writableEnded && this.#capture === undefined) {
      this.#keepToItself('unrecorded', true)
      return
    }
    this.#reader?.destroy()
    // The run is for its own client only, since it landed.
    if (role === 'done' && this.#led && this.#clientLeft && this.#broadcast?.heard !== true) this.cancel(new NobodyWaitsError())
    this.coalescer.leave(this, 'client-left')
    // A handler that has ended will not answer any more; one that has not may yet.
    if (this.role === 'leader' && this.result !== undefined && this.forwarded === undefined) {
      const giveUp = (): void => { if (this.#capture === undefined && this.result !== undefined) this.coalescer.abandon(this, 'no-reply') }
      this.result.then(giveUp, giveUp)
    }
  }

  /** Lets everybody go who waits for this response. */
  #keepToItself (reason: string, remember: boolean): void {
    this.coalescer.unshareable(this, reason, remember)
    if (this.#clientLeft) this.cancel(new NobodyWaitsError())
  }

  #watchClient (): void {
    if (this.#watched) return
    this.#watched = true
    const { raw } = this.reply
    if (raw.destroyed) this.closed()
    else raw.once('close', () => { this.closed() })
  }

  /** Answers in this request's own asynchronous context. */
  #answer (send: () => void): void {
    this.#scope?.runInAsyncScope(() => {
      if (this.reply.sent) return
      try {
        send()
      } catch (err) {
        this.log.error({ err }, 'coalesce: a response could not be sent')
        this.reply.raw.destroy()
      }
    })
  }

  /** What Fastify would do with a Response later, so that its status and headers are known now. */
  #unwrap (response: Response): unknown {
    this.reply.code(response.status)
    for (const [name, value] of response.headers) this.reply.header(name, value)
    return response.body
  }

  #record (source: Readable, length: unknown): Readable {
    const { coalescer, route, request } = this
    this.#watchClient()
    // The body of an answer to HEAD is not sent, and need not be what its length says.
    const declared = request.method !== 'HEAD' && /^\d+$/.test(String(length)) ? Number(length) : undefined
    this.#broadcast = new Broadcast(source, {
      maxBytes: route.settings.maxBodyBytes,
      length: declared,
      hold: bytes => coalescer.hold(bytes),
      wrongLength: (wanted, got) => new WrongLengthError(wanted, got)
    }, {
      begun: () => { this.#land() },
      tooLarge: () => {
        if (this.role === 'done') coalescer.close(this)
        else this.#keepToItself('too-large', true)
      },
      over: how => {
        this.#reads?.stop()
        if (this.role === 'done') coalescer.close(this)
        else coalescer.abandon(this, how)
        if (how === 'unheard') this.cancel(new NobodyWaitsError())
      }
    })
    this.#reader = this.#broadcast.join(this)
    return this.#reader
  }

  /** Everything is known, or all but the rest of a stream. */
  #land (): void {
    const { body, failed, vary } = this.#capture as Capture
    const broadcast = this.#broadcast
    this.#reads?.stop()
    if (this.#reads?.all === true) {
      this.coalescer.warnOfReads(this)
      this.#keepToItself('reads-all-headers', true)
      broadcast?.close()
      return
    }
    const live = broadcast !== undefined && !broadcast.complete
    this.#body = broadcast === undefined ? body : live ? broadcast : broadcast.whole()
    const varies = this.#variesOn(live ? [...vary, ...this.coalescer.lateReads(this.route)] : vary)
    if (live && this.#reads !== undefined) {
      this.#reads.onRead = () => { this.#readLate(broadcast, varies) }
      this.#reads.start()
    }
    this.coalescer.land(this, varies, failed, live)
    // Its followers are somebody else's now, or it had none.
    if (live && this.flight === undefined) broadcast.close()
  }

  override record (variant: Variant): Recording {
    const { status, headers } = this.#capture as Capture
    const body = this.#body
    const bytes = body instanceof Broadcast ? undefined : byteLength(body)
    return { status, headers, body, bytes, leaderId: this.id, variant }
  }

  /** What makes a stream looks at the request after others have been given its first bytes: what comes next is not for all. */
  #readLate (broadcast: Broadcast, known: readonly string[]): void {
    const reads = this.#reads as Reads
    reads.stop()
    const names = this.#variesOn(NO_NAMES).filter(name => !known.includes(name))
    if (reads.all || names.length > 0) {
      this.coalescer.close(this)
      const lateReads = this.coalescer.lateReads(this.route)
      for (const name of names) lateReads.add(name)
      this.coalescer.variantOf(this, [...new Set([...known, ...names])])
      broadcast.cut(listener => listener !== this &&
        (reads.all || names.some(name => (listener as FastifyVisit).value(name) !== this.value(name))))
    }
    reads.start()
  }

  cutOff (reason: Cut, cause: Error | undefined): Error {
    this.coalescer.cutOff(this, reason)
    return cause ?? (reason === 'vary' ? new OtherVariantError() : new FellBehindError())
  }

  /** The request headers that the response depends on, besides those that the key covers. */
  #variesOn (vary: readonly string[]): readonly string[] {
    const { settings } = this.route
    const ignored = settings.learnVary === false ? [] : settings.learnVary.ignore
    if (vary.length === 0 && this.#varies === undefined && (this.#reads?.names.size ?? 0) === 0) return NO_NAMES
    const names = new Set(vary)
    for (const name of this.#reads?.names ?? []) {
      if (!ignored.includes(name === CLIENT_ADDRESS ? 'ip' : name)) names.add(name)
    }
    for (const name of this.#varies ?? []) names.add(name)
    return byMeaning([...names].filter(name => !keyCovers(name, this.request, settings)), vary)
  }
}
