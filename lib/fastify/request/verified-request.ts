/**
 * A request of a route that is verified: it boards as ever. At the moment at which it would be given the response of another run, it may be
 * chosen to run its own handler instead, and the two are compared.
 *
 * Invariant: what it is answered is what its own run came to. If that fails, or is a stream, it is what it would have been given. It never runs for this where
 * its run would have to wait, or would be refused.
 */
import { Broadcast } from '../../http/broadcast.js'
import { isFailure } from '../../http/failure.js'
import type { Headers } from '../../http/headers.js'
import type { Recording } from '../../http/recording.js'
import type { Offered } from '../../observe/comparison.js'
import type { SkipReason } from '../../observe/skip-reasons.js'
import { snapshotHeaders } from '../internals.js'
import { clientOf, outsideOf } from '../observe/inputs.js'
import type { ObservedRoute } from '../observe/observed-route.js'
import { sightingOf } from '../observe/sighting-of.js'
import { giveBack, take, textsOf, type Taken } from '../observe/taken.js'
import { marksOf } from '../replies/one-reply.js'
import { statusOf } from '../replies/payload.js'
import { wholeBody } from './capture.js'
import { RequestParticipant } from './participant.js'

/** Whose runs recordings are of, for as long as they are handed on. */
const runners = new WeakMap<Recording, VerifiedRequest>()

export class VerifiedRequest extends RequestParticipant {
  /** What it would have been given. */
  #shown: Recording | undefined
  /** The reply's headers before its handler. */
  #before: Headers | undefined
  #at = 0
  #taken: Taken | SkipReason | undefined

  get #observed (): ObservedRoute {
    return this.route.observed as ObservedRoute
  }

  override record (names: readonly string[]): Recording {
    const recording = super.record(names)
    runners.set(recording, this)
    return recording
  }

  override verifies (recording: Recording): boolean {
    const { comparison, sampler } = this.#observed
    // What has failed just now is not tried once more for this, and what a HEAD or a part would be answered is no whole response.
    const mayRun = this.followsOnly === undefined && !this.onlyIfCached && !this.gone && !isFailure(recording.status)
    if (!mayRun || this.#shown !== undefined) return false
    const reason = sampler.next() ? this.#hindrance(recording) : 'not-sampled'
    if (reason !== undefined) {
      comparison.skip(reason)
      return false
    }
    this.#shown = recording
    return true
  }

  /** Why it cannot run for this. */
  #hindrance ({ body }: Recording): SkipReason | undefined {
    if (body instanceof Broadcast) return 'stream'
    const { level, protection, subject } = this
    return protection.wouldProbe(subject) || protection.foresee(subject, level) !== 'runs' ? 'busy' : undefined
  }

  override begin (): void {
    super.begin()
    if (this.#shown === undefined) return
    this.#before = snapshotHeaders(this.reply)
    this.#at = this.requests.conductor.clock.now()
    this.watchClient()
  }

  override capture (payload: unknown, last: boolean): unknown {
    const shown = this.#shown
    const before = this.#before
    if (shown === undefined || before === undefined) return super.capture(payload, last)
    const { failed, reply, requests: { observing: { allowance } }, route: { settings: { maxBodyBytes } } } = this
    if (this.#taken !== undefined) {
      giveBack(this.#taken, allowance)
      this.#taken = 'unfinished'
      return super.capture(payload, last)
    }
    const status = statusOf(reply, payload)
    this.#taken = take({ reply, status, body: wholeBody(payload, status), before, failed }, { maxBodyBytes, allowance })
    // Nobody knows whether it will come to its end. That it is discarded is no failure of its run.
    if (this.#taken === 'stream') return super.capture(this.replaceResponse(shown, payload, before), last)
    const passed = super.capture(payload, last)
    return isFailure(status) && this.replay === undefined ? this.replaceResponse(shown, passed, before) : passed
  }

  override sent (): void {
    super.sent()
    this.#over()
  }

  override closed (): void {
    super.closed()
    this.#over()
  }

  #over (): void {
    const shown = this.#shown
    if (shown === undefined || this.#before === undefined) return
    this.#before = undefined
    giveBack(this.#taken, this.requests.observing.allowance)
    const taken = this.#taken ?? 'unfinished'
    if (typeof taken === 'string') this.#observed.comparison.skip(taken)
    else this.#compare(shown, taken)
  }

  #compare (shown: Recording, taken: Taken): void {
    const { comparison } = this.#observed
    this.#observed.compare(() => {
      const names = this.conductor.variants.namesOf(this.key)
      return comparison.pair(offeredOf(shown, names), sightingOf(this, taken, names, { at: this.#at, key: this.boardedKey }))
    })
  }
}

function offeredOf (recording: Recording, names: readonly string[]): Offered {
  const { body, headers, leaderId, status } = recording
  const runner = runners.get(recording)
  return {
    status,
    ...textsOf(headers),
    body: body as Exclude<typeof body, Broadcast>,
    get client () { return runner === undefined ? undefined : clientOf(runner) },
    outside: runner === undefined ? undefined : () => outsideOf(runner, names),
    get own () { return runner !== undefined ? marksOf(runner.reply) : leaderId === undefined ? [] : [leaderId] }
  }
}
