/**
 * One run of a handler whose response others may share, from its beginning to the last hook.
 *
 * Invariant: a response is captured before the instance's later `onSend` hooks see it, and decided upon after all of them ran. What
 * other hooks add for the run's own client is not recorded, but a cookie or a restriction that they add keeps the response from
 * being shared. A run has failed if its handler threw, or by its status (`http/failure.ts`).
 */
import type { IncomingHttpHeaders } from 'node:http'
import { isFailure } from '../../http/failure.js'
import { headerDelta } from '../../http/headers.js'
import { answersOneOnly, shareReason } from '../../http/policy.js'
import { isLarger, snapshot } from '../../http/recording.js'
import { parseVary } from '../../http/vary.js'
import type { Revalidation } from '../cache/revalidation.js'
import { NO_NAMES } from '../dependencies/dependencies.js'
import { watchForwarding, type Forwarded } from '../dependencies/forwarding.js'
import { hasTrailers, headersOf } from '../internals.js'
import { idHeaders, ownReason } from '../replies/one-reply.js'
import {
  discard, headOf, isHandlerTimeout, isResponse, readableOf, restoreHead, restrictionOf, takeHeadOf
} from '../replies/payload.js'
import { shareEncodings } from '../replies/shared-zlib.js'
import type { UnshareableReason } from '../../reasons.js'
import type { AnsweredRequest } from './answered-request.js'
import { NO_DELTA, wholeBody, type Capture } from './capture.js'
import { LandingRun } from './landing-run.js'
import { SharedStream } from './shared-stream.js'

export class HandlerRun extends LandingRun {
  /** The status that the handler answered with, before a revalidation or a fallback replaced it. */
  status: number | undefined = undefined
  #decided = false
  /** Set once the handler has forwarded the request to an upstream. */
  declare forwarded: Forwarded | undefined
  /** The request's headers when the response was captured, if a hook could change them since. */
  declare requestHeadersAtCapture: IncomingHttpHeaders | undefined
  /** A hook after the handler has failed: followers would not get its response. */
  declare hookFailed: boolean

  static {
    Object.assign(this.prototype, { forwarded: undefined, requestHeadersAtCapture: undefined, hookFailed: false })
  }

  constructor (participant: AnsweredRequest) {
    super(participant)
    watchForwarding(this, participant, this.dependencies.reads)
  }

  get captured (): boolean {
    return this.recorded !== undefined
  }

  /** Whether it is known who may have the response, or that only the run's own client may. */
  get decided (): boolean {
    return this.#decided
  }

  /** The handler hijacks the reply. */
  hijacked (): void {
    this.dependencies.stop()
    this.revalidation?.end()
    this.#decided = true
    this.markUnshareable('hijacked', true)
  }

  /** The handler, or code of the app, ended `reply.raw` by hand: the client was not sent what was captured, or what is still being made. */
  endedByHand (): void {
    const participant = this.participant
    const { conductor, reader, reply, role } = participant
    if (this.#decided && (this.stream?.flows !== true || reply.raw.statusCode === 204)) return
    if (role.type === 'leader' || role.type === 'probe') this.markUnshareable('unrecorded', true)
    if (reader?.readableEnded !== false) return
    this.stopJoining()
    conductor.live.close(participant)
  }

  /**
   * Captures the response, first after the handler. Returns the payload to go on with.
   *
   * @param last no other hook comes before the decision
   */
  capture (payload: unknown, last: boolean): unknown {
    if (this.recorded !== undefined) {
      this.#giveUp()
      return payload
    }
    this.dependencies.stop()
    const { reply } = this.participant
    if (!isResponse(payload) || payload.bodyUsed) return this.#captureBody(payload, payload, last)
    const head = last ? undefined : headOf(reply)
    // Fastify applies the head of a Response later; status and headers have to be known now.
    takeHeadOf(payload, reply)
    const passed = this.#captureBody(payload.body, payload, last)
    // A confirmed cached response, or a fallback, has replaced it.
    const next = last || passed !== payload.body || reply.statusCode !== payload.status ? passed : payload
    if (head !== undefined && isResponse(next)) restoreHead(reply, head)
    return next
  }

  /** @param payload the Response that the body belongs to, or the body itself */
  #captureBody (body: unknown, payload: unknown, last: boolean): unknown {
    const { failed, reply } = this.participant
    this.status = reply.statusCode
    if (this.revalidation !== undefined) body = this.#revalidated(this.revalidation, body)
    const hasFailed = failed || isFailure(reply.statusCode)
    if (hasFailed && !this.#decided) body = this.#resolveFailure(body)
    return this.#decided ? body : this.#record(body, payload, hasFailed, last)
  }

  /** The run failed: a fallback may replace its response, or the flight goes on without it. Then it is decided. */
  #resolveFailure (body: unknown): unknown {
    const participant = this.participant
    const { conductor, reply } = participant
    if (isFailure(reply.statusCode)) {
      const fallback = conductor.fallBack(participant)
      this.#decided = fallback !== undefined || participant.role.type === 'refresher'
      if (fallback !== undefined) return participant.replaceResponse(fallback, body, this.before)
      if (this.#decided) return body
    }
    if (participant.gone || isHandlerTimeout(participant.error)) {
      this.#decided = true
      conductor.abandon(participant, participant.gone ? 'client-left' : 'handler-timeout', !participant.gone)
    }
    return body
  }

  #record (body: unknown, payload: unknown, failed: boolean, last: boolean): unknown {
    const participant = this.participant
    const { reply, role, route: { settings } } = participant
    const { maxBodyBytes, statuses, ttl } = settings
    const status = reply.statusCode
    const headers = headersOf(reply)
    let reason: UnshareableReason | undefined = shareReason({ status, headers, trailers: hasTrailers(reply), failed }, statuses)
    if (this.forwarded?.answered(headers['cache-control']) === 'private') reason ??= 'authorization'
    const whole = reason === undefined ? wholeBody(body, status) : null
    if (whole === undefined) reason = this.#shareStream(body, headers['content-length'], last ? undefined : payload)
    else if (isLarger(whole, maxBodyBytes)) reason = 'too-large'
    const passed = this.stream === undefined ? body : this.stream.payload
    const vary = parseVary(headers.vary)
    // If it is decided at once and nobody waits, nobody gets it. A probe's response tells what to expect of the next one.
    const wanted = reason === undefined &&
      (!last || this.stream !== undefined || participant.isRecorded || role.type === 'probe' || ttl !== undefined)
    this.recorded = {
      reason,
      status,
      headers: wanted ? headerDelta(this.before, headers) : NO_DELTA,
      body: wanted ? snapshot(whole) : null,
      failed,
      vary: typeof vary === 'string' ? NO_NAMES : vary
    }
    if (wanted && !last) this.requestHeadersAtCapture = { ...participant.request.headers }
    if (wanted && participant.hasFollowers) shareEncodings(reply, this.recorded.body, participant.requests.budget.hold)
    if (last) this.#decide(reason)
    return passed
  }

  /** Shares a body that is a stream. Returns why that cannot be. */
  #shareStream (body: unknown, length: unknown, payload: unknown): UnshareableReason | undefined {
    if (Number(length ?? 0) > this.participant.route.settings.maxBodyBytes) return 'too-large'
    const source = readableOf(body)
    if (source === undefined) return 'unknown-payload'
    this.stream = new SharedStream(this, this.participant, source, length, payload)
    return undefined
  }

  /** The handler, or a hook, has failed. If a hook spoils the answer to an error, Fastify calls no further hook. */
  failedLater (): void {
    if (this.recorded !== undefined && !this.#decided) this.#giveUp()
  }

  /** A hook of the run's own client failed after the handler: followers would not get this response. */
  #giveUp (): void {
    const participant = this.participant
    this.hookFailed = true
    this.#decided = true
    participant.conductor.abandon(participant, 'hook-failed')
    participant.reader?.destroy()
    this.stopJoining()
  }

  /** The first moment after a handler whose flight is over: only its own client gets the response. Returns the payload to go on with. */
  captureSolo (payload: unknown): unknown {
    this.dependencies.stop()
    return this.revalidation === undefined ? payload : this.#revalidated(this.revalidation, payload)
  }

  /**
   * Decides who may have the response, right before its headers leave. Returns the payload to go on with.
   *
   * @param last no other hook comes before it is sent
   */
  decide (payload: unknown, last: boolean): unknown {
    const untouched = this.stream === undefined ? payload : this.stream.passed(payload)
    if (this.recorded === undefined || this.#decided) return payload
    const { reason } = this.recorded
    const { reply } = this.participant
    const passed = last ? untouched : payload
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

  #decide (restriction: UnshareableReason | undefined): void {
    const participant = this.participant
    this.#decided = true
    const capture = this.recorded as Capture
    const stream = this.stream
    // Nobody else gets a response that was not recorded.
    const isRecorded = capture.headers !== NO_DELTA || stream !== undefined
    const own = restriction === undefined && isRecorded ? ownReason(participant, capture, stream !== undefined) : undefined
    if (own !== undefined) participant.requests.warnings.holdsOwn(participant, own)
    if (own === 'request-id') this.dependencies.declare(idHeaders(participant.request))
    const reason = restriction ?? own
    if (reason !== undefined) {
      this.stopJoining()
      // The answer to a conditional request tells nothing about the next one.
      this.markUnshareable(reason, !answersOneOnly(participant.reply.statusCode))
    } else if (stream === undefined) {
      this.land()
    } else {
      stream.start()
    }
  }

  /** If the handler confirms the cached response, that becomes the response. Returns the payload to go on with. */
  #revalidated (revalidation: Revalidation, payload: unknown): unknown {
    const participant = this.participant
    const { conductor, reply } = participant
    revalidation.end()
    const complete = revalidation.complete(reply, this.before, headersOf(reply))
    if (complete === undefined) return payload
    if (complete === 'another') {
      // There is nothing else to give the client, and the handler is not asked about this entry again.
      this.#decided = true
      conductor.supersede(participant)
      this.markUnshareable('status', false)
      return participant.replaceResponse(revalidation.cached, payload, this.before)
    }
    // An empty body may hold an upstream's connection until somebody reads it.
    discard(payload)
    participant.revalidated = true
    return complete.body
  }
}
