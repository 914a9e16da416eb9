/**
 * One run of a handler that others may share: what is noted while it goes on, and what it came to.
 *
 * Invariant: a response is captured before the instance's later `onSend` hooks see it, and decided upon after all of them ran:
 * what others add for the run's own client is not recorded, but a cookie or a restriction that they add keeps the response
 * from being shared.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { MISMATCH } from '../../engine/flights/landing.js'
import { pace } from '../../engine/flights/pace.js'
import { NobodyWaitsError, WrongLengthError } from '../../errors.js'
import type { FastifyVisit } from './visit.js'
import { watchForwarding, type Forwarded } from '../dependencies/forwarding.js'
import { Broadcast } from '../../http/broadcast.js'
import { headerDelta, type HeaderDelta, type Headers } from '../../http/headers.js'
import { answersOneOnly, shareReason } from '../../http/policy.js'
import type { Reads } from '../../http/reads.js'
import { byteLength, isLarger, snapshot, type Body, type Recording } from '../../http/recording.js'
import { tagsOf } from '../../http/tags.js'
import { parseVary } from '../../http/vary.js'
import { hasTrailers, headersOf, snapshotHeaders } from '../internals.js'
import {
  discard, headOf, isHandlerTimeout, isResponse, isStream, readableOf, restoreHead, restrictionOf, takeHeadOf, type Capture
} from '../replies/payload.js'
import { idHeaders, ownReason } from '../replies/one-reply.js'
import { NO_NAMES, Reading } from '../dependencies/dependencies.js'
import { Revalidation } from '../cache/revalidation.js'
import { shareEncodings } from '../replies/shared-zlib.js'
import { standInFor, type StandIn } from '../replies/stand-in.js'
import { areFew } from '../../engine/variants.js'
import type { Variant } from '../../variant.js'
import type { Response as Outcome } from '../cache/response-cache.js'

const NO_BYTES = Buffer.alloc(0)
const NO_DELTA: HeaderDelta = Object.freeze({ set: [], removed: [] })

export class Run {
  /** Set once its handler has forwarded the request to an upstream. */
  forwarded: Forwarded | undefined
  /** The request's headers as they were when its response was captured, if hooks had a chance to change them since. */
  asked: IncomingHttpHeaders | undefined
  /** What its handler answered with, before anything was made of that. */
  status: number | undefined
  readonly #visit: FastifyVisit
  /** The reply's headers when it began. */
  readonly before: Headers
  readonly #reading: Reading
  /** The question whether what is kept is still good. */
  readonly #revalidation: Revalidation | undefined
  /** The labels of what is still good, and the request headers that it depends on. */
  #inherited = NO_NAMES
  #inheritedVaries = NO_NAMES
  #tags: Set<string> | undefined
  #capture: Capture | undefined
  #decided = false
  /** A hook after its handler has failed: its response is not what others would get. */
  hookFailed = false
  /** Its body, if that is a stream. */
  #broadcast: Broadcast | undefined
  /** Its client is sent a stream as well, and not what a hook has put in the place of that. */
  #flows = false
  /** What hooks are given in the place of that. */
  #standIn: StandIn | undefined
  /** What those get who share it. */
  #body: Body | Broadcast = null

  constructor (visit: FastifyVisit) {
    const { request, reply, route: { settings } } = visit
    this.#visit = visit
    this.before = snapshotHeaders(reply)
    if (settings.ttl !== undefined) {
      this.#revalidation = Revalidation.begin(request, visit.stale, visit.requests.guarded.now())
    }
    this.#revalidation?.endWith(reply)
    this.#reading = new Reading(request, settings, visit)
    if (this.reads !== undefined) this.reads.runner = visit
    watchForwarding(this, visit, this.reads)
  }

  /** Whether its response has been captured. */
  get captured (): boolean {
    return this.#capture !== undefined
  }

  /** Whether it is known who may have its response, or no one but its client ever will. */
  get decided (): boolean {
    return this.#decided
  }

  /** Of a reply that is ended before others have had anything of it: whether it was ended past what was captured. */
  get passedBy (): boolean {
    return !this.#decided || (this.#flows && this.#visit.reply.raw.statusCode !== 204)
  }

  /** What it was seen to read; undefined where the route trusts what the response says. */
  get reads (): Reads | undefined {
    return this.#reading.reads
  }

  /** Whether somebody listens to a stream of its that is not over. */
  get heard (): boolean {
    return this.#broadcast?.heard === true
  }

  /** Notes that the handler looked at the client's address. */
  readAddress (): void {
    this.reads?.address()
  }

  /** Declares what the response depends on. */
  varyOn (names: readonly string[]): void {
    this.#reading.declare(names)
  }

  /** Declares what the response can be purged by. */
  tag (tags: readonly string[]): void {
    this.#tags ??= new Set()
    for (const tag of tags) this.#tags.add(tag)
  }

  /** What it looks at from now on is no longer the handler's doing. */
  stop (): void {
    this.#reading.stop()
  }

  /** Takes no newcomers for its stream any more. */
  close (): void {
    this.#broadcast?.close()
  }

  /** The handler takes the response into its own hands. */
  hijacked (): void {
    this.stop()
    this.#revalidation?.end()
    this.#decided = true
    this.#visit.keepToItself('hijacked', true)
  }

  /**
   * The first moment after the handler. Returns the payload to go on with.
   *
   * @param last no other hook comes before the decision
   */
  capture (payload: unknown, last: boolean): unknown {
    if (this.#capture !== undefined) {
      this.#giveUp()
      return payload
    }
    this.stop()
    const { reply } = this.#visit
    if (!isResponse(payload) || payload.bodyUsed) return this.#captureBody(payload, payload, last)
    const head = last ? undefined : headOf(reply)
    // What Fastify will do with a Response later, so that its status and headers are known now.
    takeHeadOf(payload, reply)
    const passed = this.#captureBody(payload.body, payload, last)
    // What was asked whether it is still good, or failed, may have another's answer by now.
    const next = last || passed !== payload.body || reply.statusCode !== payload.status ? passed : payload
    if (head !== undefined && isResponse(next)) restoreHead(reply, head)
    return next
  }

  /** @param payload what the body is of */
  #captureBody (body: unknown, payload: unknown, last: boolean): unknown {
    const visit = this.#visit
    const { conductor, reply } = visit
    this.status = reply.statusCode
    if (this.#revalidation !== undefined) body = this.#revalidated(this.#revalidation, body)
    if (this.#decided) return body
    const status = reply.statusCode
    const failed = visit.failed || status >= 500
    if (status >= 500) {
      const fallback = conductor.fallBack(visit)
      const isRefresher = visit.role.type === 'refresher'
      if (fallback !== undefined || isRefresher) this.#decided = true
      if (fallback !== undefined) return visit.substitute(fallback, body, this.before)
      if (isRefresher) return body
    }
    if (failed && (visit.gone || isHandlerTimeout(visit.error))) {
      this.#decided = true
      conductor.abandon(visit, visit.gone ? 'client-left' : 'handler-timeout', !visit.gone)
      return body
    }
    const { maxBodyBytes, statuses } = visit.route.settings
    const headers = headersOf(reply)
    let reason: string | undefined = shareReason({ status, headers, trailers: hasTrailers(reply), failed }, statuses)
    if (this.forwarded?.answered(headers['cache-control']) === 'private') reason ??= 'authorization'
    let passed = body
    let whole: string | Uint8Array | null = null
    if (reason === undefined) {
      if (body === undefined || body === null || typeof body === 'string' || body instanceof Uint8Array) {
        whole = body ?? null
        if (isLarger(whole, maxBodyBytes)) reason = 'too-large'
      } else if (status === 204) {
        // Its own client has all of it as soon as its headers have left, whatever there is to be read.
        whole = NO_BYTES
      } else if (Number(headers['content-length'] ?? 0) > maxBodyBytes) {
        reason = 'too-large'
      } else {
        const source = readableOf(body)
        if (source === undefined) reason = 'unknown-payload'
        else passed = this.#record(source, headers['content-length'], last ? undefined : payload)
      }
    }
    const vary = parseVary(headers.vary)
    // Nobody gets what is decided upon at once and that nobody waits for; but a scout's tells what the next one will be.
    const wanted = reason === undefined && (!last || this.#broadcast !== undefined || visit.hasFollowers ||
      visit.role.type === 'probe' || visit.route.settings.ttl !== undefined)
    this.#capture = {
      reason,
      status,
      headers: wanted ? headerDelta(this.before, headers) : NO_DELTA,
      body: wanted ? snapshot(whole) : null,
      failed,
      vary: typeof vary === 'string' ? NO_NAMES : vary
    }
    if (wanted && !last) this.asked = { ...visit.request.headers }
    if (wanted && visit.hasFollowers) shareEncodings(reply, this.#capture.body, visit.requests.budget.hold)
    if (last) this.#decide(reason)
    return passed
  }

  /** The handler, or a hook, has failed. After the answer to an error that a hook spoils no hook is called any more. */
  failedLater (): void {
    if (this.#capture !== undefined && !this.#decided) this.#giveUp()
  }

  /** One of its own hooks failed after its handler: its response is not what the others would get. */
  #giveUp (): void {
    const visit = this.#visit
    this.hookFailed = true
    this.#decided = true
    visit.conductor.abandon(visit, 'hook-failed')
    visit.reader?.destroy()
    this.#broadcast?.close()
  }

  /** The first moment after a handler whose flight is over: only its own client has it. Returns the payload to go on with. */
  captureForOne (payload: unknown): unknown {
    this.stop()
    return this.#revalidation === undefined ? payload : this.#revalidated(this.#revalidation, payload)
  }

  /**
   * The last moment before the response's headers leave: decides who may have it. Returns the payload to go on with.
   *
   * @param last no other hook comes before it is sent
   */
  decide (payload: unknown, last: boolean): unknown {
    if (this.#broadcast !== undefined) this.#flows = isStream(isResponse(payload) ? payload.body : payload)
    if (this.#capture === undefined || this.#decided) return payload
    const { reason } = this.#capture
    const { reader, reply } = this.#visit
    const passed = last && payload === this.#standIn?.given && this.#standIn?.untouched() === true ? reader : payload
    if (!isResponse(payload) || payload.bodyUsed) {
      this.#decide(reason ?? restrictionOf(reply))
      return passed
    }
    // What Fastify is about to do with it.
    const head = headOf(reply)
    takeHeadOf(payload, reply)
    this.#decide(reason ?? restrictionOf(reply))
    if (last) return passed === payload ? payload.body : passed
    restoreHead(reply, head)
    return payload
  }

  #decide (restriction: string | undefined): void {
    const visit = this.#visit
    this.#decided = true
    const capture = this.#capture as Capture
    // Nobody else is given what was not recorded.
    const isRecorded = capture.headers !== NO_DELTA || this.#broadcast !== undefined
    const own = restriction === undefined && isRecorded ? ownReason(visit, capture, this.#broadcast !== undefined) : undefined
    if (own !== undefined) visit.requests.warnings.holdsOwn(visit, own)
    if (own === 'request-id') this.#reading.declare(idHeaders(visit.request))
    const reason = restriction ?? own
    if (reason !== undefined) {
      this.#broadcast?.close()
      // What a conditional request was answered says nothing about the next one.
      visit.keepToItself(reason, !answersOneOnly(visit.reply.statusCode))
    } else if (this.#broadcast === undefined) {
      this.#land()
    } else {
      // What makes a stream's chunks may look at the request as well. Hooks between have had their own looks.
      this.reads?.start()
      if (visit.gone) visit.reader?.destroy()
      this.#broadcast.start()
    }
  }

  /** @param payload what hooks would have been given; undefined if there are none */
  #record (source: Readable, length: unknown, payload: unknown): unknown {
    const visit = this.#visit
    const { conductor, requests, route, request } = visit
    visit.watchClient()
    // The body of an answer to HEAD is not sent, and need not be what its length says.
    const declared = request.method !== 'HEAD' && /^\d+$/.test(String(length)) ? Number(length) : undefined
    this.#broadcast = new Broadcast(source, {
      clock: conductor.clock,
      pace: (step, yields) => { pace(conductor.clock, step, yields) },
      maxBytes: route.settings.maxBodyBytes,
      length: declared,
      hold: requests.budget.hold,
      wrongLength: (wanted, got) => new WrongLengthError(wanted, got)
    }, {
      // A hook waits for the bytes. What makes them may look at the request.
      early: () => { this.reads?.start() },
      begun: () => { this.#land() },
      tooLarge: () => {
        if (visit.runsForOthers) visit.keepToItself('too-large', true)
        else conductor.close(visit)
      },
      over: how => {
        this.stop()
        if (how === 'complete') this.#complete()
        if (!visit.runsForOthers && how === 'complete') conductor.close(visit)
        // There may be some whose turn to join has not come.
        else if (!visit.runsForOthers) visit.flight?.abandon(visit, how)
        // Nothing of it has been sent to others: it failed as a handler does that throws.
        else if (how !== 'cut-off' || conductor.fallBack(visit) === undefined) conductor.abandon(visit, how)
        if (how === 'unheard') visit.cancel(new NobodyWaitsError())
      }
    })
    visit.reader = this.#broadcast.join(visit)
    if (payload === undefined) return visit.reader
    this.#standIn = standInFor(payload instanceof Response || !isResponse(payload) ? payload : payload.body, visit.reader)
    return this.#standIn.given
  }

  /** Everything is known, or all but the rest of a stream. */
  #land (): void {
    const visit = this.#visit
    const { conductor } = visit
    const { body, failed, vary } = this.#capture as Capture
    const broadcast = this.#broadcast
    this.stop()
    const { untold } = this.#reading
    const live = broadcast !== undefined && !broadcast.complete
    const varies = this.#variesOn(live ? [...vary, ...conductor.variants.lateReads(visit.route)] : vary)
    const reason = untold ?? (conductor.variants.learn(visit, varies, !failed) ? undefined : 'varies-too-much')
    if (reason !== undefined) {
      if (untold === 'reads-all-headers') visit.requests.warnings.readsAll(visit)
      visit.keepToItself(reason, true)
      broadcast?.close()
      return
    }
    this.#body = broadcast === undefined ? body : live ? broadcast : broadcast.whole()
    if (live) this.#watchOn(broadcast, varies)
    conductor.land(visit, varies, failed, live ? () => { broadcast.rest(false) } : undefined)
    // It must not outgrow what is held for those whose turn to join has not come.
    if (live) broadcast.rest(visit.hasFollowers)
    // Its followers are somebody else's now, or it had none.
    if (live && visit.flight === undefined && visit.role.type !== 'refresher') broadcast.close()
  }

  /** What makes the rest of a stream may look at the request as well. */
  #watchOn (broadcast: Broadcast, known: readonly string[]): void {
    this.#reading.follow(() => { this.#readLate(broadcast, known) })
  }

  /** A body that others are given already, or that only the cache waits for, is all there. */
  #complete (): void {
    const broadcast = this.#broadcast as Broadcast
    if (!broadcast.complete || this.#body !== broadcast) return
    const visit = this.#visit
    const { vary } = this.#capture as Capture
    if (this.#reading.untold !== undefined) return
    const { variants } = visit.conductor
    variants.streamed(visit.route, this.#variesOn(vary))
    this.#body = broadcast.whole()
    visit.conductor.completed(visit, this.#variesOn([...vary, ...variants.lateReads(visit.route)]))
    this.#body = broadcast
  }

  /** What the handler answered, if it was asked whether what is kept is still good: then its answer may be that. */
  #revalidated (revalidation: Revalidation, payload: unknown): unknown {
    const visit = this.#visit
    const { conductor, reply } = visit
    revalidation.end()
    const complete = revalidation.complete(reply, this.before, headersOf(reply))
    if (complete === undefined) return payload
    if (complete === 'another') {
      // There is nothing else to give its client, and it is not asked about again.
      this.#decided = true
      conductor.supersede(visit)
      visit.keepToItself('status', false)
      return visit.substitute(revalidation.stored, payload, this.before)
    }
    // An upstream's connection may be held by a body of no bytes until that is read.
    discard(payload)
    this.#inherited = complete.labels
    this.#inheritedVaries = complete.varies
    visit.revalidated = true
    return complete.body
  }

  /** What it is known to depend on so far, if that can be remembered. */
  get varies (): readonly string[] {
    const names = this.#variesOn(this.#capture?.vary ?? NO_NAMES)
    return areFew(names) ? names : NO_NAMES
  }

  /** What it came to, for who keeps it. */
  response (): Outcome {
    const { status, failed } = this.#capture as Capture
    const { reply, route } = this.#visit
    const headers = headersOf(reply)
    return { status, headers, failed, tags: tagsOf(headers, route.settings, this.#tags), inherited: this.#inherited }
  }

  /** What it came to, for those who wait. */
  record (variant: Variant): Recording {
    const { status, headers } = this.#capture as Capture
    const body = this.#body
    const bytes = body instanceof Broadcast ? undefined : byteLength(body)
    return { status, headers, body, bytes, leaderId: this.#visit.id, variant }
  }

  /**
   * What makes a stream looks at the request, or declares what it depends on, after others have been given its first bytes: what
   * comes next is not for all.
   */
  #readLate (broadcast: Broadcast, known: readonly string[]): void {
    const visit = this.#visit
    const { reads, untold } = this.#reading
    reads?.stop()
    const names = this.#variesOn(NO_NAMES).filter(name => !known.includes(name))
    if (untold !== undefined || names.length > 0) {
      visit.conductor.variants.readLate(visit, names)
      visit.conductor.variants.learn(visit, [...new Set([...known, ...names])])
      visit.conductor.close(visit, MISMATCH)
      broadcast.cut(listener => listener !== visit &&
        (untold !== undefined || names.some(name => (listener as FastifyVisit).value(name) !== visit.value(name))))
    }
    reads?.start()
  }

  /** The request headers that the response depends on, besides those that the key covers. */
  #variesOn (vary: readonly string[]): readonly string[] {
    const names = this.#reading.names(vary, this.#revalidation)
    return this.#inheritedVaries.length === 0 ? names : [...new Set([...names, ...this.#inheritedVaries])]
  }
}
