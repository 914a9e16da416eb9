/**
 * A request of a route that is verified: it boards as ever. At the moment at which it would be given the response of another run, it may be
 * chosen to run its own handler instead, and the two are compared.
 *
 * Invariant: what it is answered is what its own run came to. If that fails it is what it would have been given. It never runs for this where
 * its run would have to wait, or would be refused.
 */
import { Broadcast } from '../../http/broadcast.js'
import { isFailure } from '../../http/failure.js'
import type { Headers } from '../../http/headers.js'
import type { Recording } from '../../http/recording.js'
import type { Offered } from '../../observe/comparison.js'
import type { SkipReason } from '../../observe/skip-reasons.js'
import { snapshotHeaders } from '../internals.js'
import { clientOf, outsideOf, partsOf } from '../observe/inputs.js'
import type { ObservedRoute } from '../observe/observed-route.js'
import { take, typeOf, type Taken } from '../observe/taken.js'
import { marksOf } from '../replies/one-reply.js'
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
    // A failure that is passed on is no reason to try what has failed once more, and what a HEAD or a part would be answered is no whole response.
    if (this.#shown !== undefined || this.followsOnly !== undefined || this.onlyIfCached || this.gone || isFailure(recording.status)) return false
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
  }

  override capture (payload: unknown, last: boolean): unknown {
    const shown = this.#shown
    const isFirst = this.#taken === undefined
    if (shown !== undefined && this.#before !== undefined) {
      const { failed, reply, route: { settings: { maxBodyBytes } } } = this
      this.#taken = isFirst ? take(reply, wholeBody(payload, reply.statusCode), failed, maxBodyBytes) : 'unfinished'
    }
    const passed = super.capture(payload, last)
    if (!isFirst || shown === undefined || this.#before === undefined || !isFailure(this.reply.statusCode) || this.replay !== undefined) return passed
    return this.replaceResponse(shown, passed, this.#before)
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
    const taken = this.#taken ?? 'unfinished'
    if (typeof taken === 'string') this.#observed.comparison.skip(taken)
    else this.#compare(shown, taken)
  }

  #compare (shown: Recording, { status, type, body }: Taken): void {
    const { boardedKey, conductor, key, reply } = this
    const observed = this.#observed
    let offered: Offered | undefined
    let client: string | undefined
    observed.compare(() => {
      const names = conductor.variants.namesOf(key)
      offered = offeredOf(shown, names)
      client = clientOf(this)
      return observed.comparison.pair(offered, {
        at: this.#at,
        key: boardedKey,
        parts: () => partsOf(this, names),
        outside: () => outsideOf(this, names),
        client,
        status,
        type,
        body,
        own: marksOf(reply)
      })
      // What one and the same client is answered at two times says nothing of others.
    }, () => client === undefined || client !== offered?.client)
  }
}

function offeredOf (recording: Recording, names: readonly string[]): Offered {
  const { body, headers: { set }, leaderId, status } = recording
  const runner = runners.get(recording)
  return {
    status,
    type: typeOf(set.find(([name]) => name === 'content-type')?.[1]),
    body: body as Exclude<typeof body, Broadcast>,
    client: runner === undefined ? undefined : clientOf(runner),
    outside: runner === undefined ? undefined : () => outsideOf(runner, names),
    own: runner === undefined ? leaderId === undefined ? [] : [leaderId] : marksOf(runner.reply)
  }
}
