/**
 * A response that is a stream, while a run's own client and its followers read it.
 *
 * Invariant: the stream is read by its broadcast only. Its own client, or a hook that changes it for that client, reads a copy. A
 * dependency that shows after the first bytes cuts off all followers that differ in it. If the source fails before anything was sent, the flight
 * goes on with a fallback or another leader (`over`); after that, all readers are cut off (`http/broadcast.ts`).
 */
import type { Readable } from 'node:stream'
import { NobodyWaitsError } from '../../errors.js'
import { Broadcast, type BroadcastEvents } from '../../http/broadcast.js'
import { type Dependencies, NO_NAMES } from '../dependencies/dependencies.js'
import { isResponse, isStream } from '../replies/payload.js'
import { type StandIn, standInFor } from '../replies/stand-in.js'
import type { AnsweredRequest } from './answered-request.js'
import type { SourceEnd } from './capture.js'
import { broadcastLimits, isRelay } from './relayed-stream.js'

/** The run that made the stream. */
export interface StreamingRun {
  readonly dependencies: Dependencies
  /** Lets followers have the response: its first bytes are here. */
  land (): void
  /** The last byte is here. */
  completed (): void
  markUnshareable (reason: string, remember: boolean): void
  variesOn (names: readonly string[]): readonly string[]
}

export class SharedStream implements BroadcastEvents {
  readonly broadcast: Broadcast
  /** Its own client is sent a stream as well, and not something else that a hook has made of it. */
  flows = false
  readonly #run: StreamingRun
  readonly #participant: AnsweredRequest
  /** What hooks get instead of the stream; undefined if there are no hooks. */
  readonly #standIn: StandIn | undefined

  /**
   * @param length the value of Content-Length
   * @param payload what hooks would get; undefined if there are none
   */
  constructor (run: StreamingRun, participant: AnsweredRequest, source: Readable, length: unknown, payload: unknown) {
    this.#run = run
    this.#participant = participant
    participant.watchClient()
    // The body of an answer to HEAD is not sent, and Content-Length may tell another length.
    const declared = participant.request.method !== 'HEAD' && length
    this.broadcast = new Broadcast(source, broadcastLimits(participant, declared), this)
    const reader = participant.reader = this.broadcast.join(participant)
    if (payload === undefined) return
    this.#standIn = standInFor(payload instanceof Response || !isResponse(payload) ? payload : payload.body, reader)
  }

  /** The payload that hooks get. */
  get payload (): unknown {
    return this.#standIn === undefined ? this.#participant.reader : this.#standIn.given
  }

  /** Its last byte is not here yet. */
  get isLive (): boolean {
    return !this.broadcast.complete
  }

  /** Notes what hooks have made of it. Returns the payload to send, if no other hook comes. */
  passed (payload: unknown): unknown {
    this.flows = isStream(isResponse(payload) ? payload.body : payload)
    return payload === this.#standIn?.given && this.#standIn?.untouched() === true ? this.#participant.reader : payload
  }

  /** Everybody who may have it is known: reads the source. */
  start (): void {
    // The code that makes the chunks may read the request as well.
    this.#run.dependencies.reads?.start()
    if (this.#participant.gone) this.#participant.reader?.destroy()
    this.broadcast.start()
  }

  /** Notices what the code that makes the rest of the stream reads. `known`: what the response is known to depend on. */
  watchLateReads (known: readonly string[]): void {
    this.#run.dependencies.follow(() => { this.#readLate(known) })
  }

  /** A hook reads the stream before it is decided who may have it. */
  early (): void {
    this.#run.dependencies.reads?.start()
  }

  begun (): void {
    this.#run.land()
  }

  tooLarge (): void {
    const participant = this.#participant
    if (participant.runsForOthers) this.#run.markUnshareable('too-large', true)
    else participant.conductor.live.outgrown(participant, this.#run.variesOn(NO_NAMES))
  }

  over (how: SourceEnd): void {
    this.#participant.sourceEnds(how, () => { this.#end(how) })
  }

  #end (how: SourceEnd): void {
    const participant = this.#participant
    const { conductor } = participant
    this.#run.dependencies.stop()
    if (how === 'complete') this.#run.completed()
    if (!participant.runsForOthers) {
      if (how === 'complete') conductor.live.close(participant)
      // Some followers may not have had their turn to join.
      else conductor.live.cutShort(participant, how)
    // Nothing was sent to followers yet: the run failed as one does whose handler throws.
    } else if (how === 'unheard' || (how === 'cut-off' && conductor.fallBack(participant) === undefined)) conductor.abandon(participant, how)
    if (how === 'unheard') participant.cancel(new NobodyWaitsError())
  }

  /**
   * After followers got the first bytes, the code that makes the stream reads more of the request, or declares a dependency. Followers
   * that differ in it must not get the rest.
   */
  #readLate (known: readonly string[]): void {
    const participant = this.#participant
    const { conductor } = participant
    const { reads, unknownReason } = this.#run.dependencies
    reads?.stop()
    const names = this.#run.variesOn(NO_NAMES).filter(name => !known.includes(name))
    if (unknownReason !== undefined || names.length > 0) {
      conductor.variants.readLate(participant, names)
      conductor.variants.learn(participant, [...new Set([...known, ...names])])
      conductor.live.readLate(participant, unknownReason === undefined)
      this.broadcast.cut(listener => listener !== participant && !isRelay(listener) &&
        (unknownReason !== undefined || names.some(name => (listener as AnsweredRequest).value(name) !== participant.value(name))))
    }
    reads?.start()
  }
}
