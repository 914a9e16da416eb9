/**
 * A request as its client knows it: it waits, and is answered with a recording or an error, or is cut off in the middle of a stream.
 *
 * Invariant: whatever answers a request does so in the request's own asynchronous context, and only if nothing was sent yet.
 */
import type { Readable } from 'node:stream'
import { FellBehindError, OtherVariantError } from '../../errors.js'
import type { Cut, Listener } from '../../http/broadcast-reader.js'
import type { Relayed, Revived, RevivedListener } from '../../engine/relayed.js'
import type { Headers } from '../../http/headers.js'
import type { Recording } from '../../http/recording.js'
import { breakOff, discard, restoreHeaders } from '../replies/payload.js'
import { isEnded, onClose } from '../replies/queued-reply.js'
import { holdEncodings, shareEncodings } from '../replies/shared-zlib.js'
import { relayedOf, revive } from './relayed-stream.js'
import { RequestFacts } from './facts.js'
import { mayBeWritten, writeBody, writeHead } from './fast-lane.js'
import type { SourceEnd } from './capture.js'
import { isAnsweredAtOnce, ParkedRun, type Resume } from './parked-handler.js'
import { Replay, type Join } from './replay.js'

export abstract class AnsweredRequest extends RequestFacts implements Listener {
  /** What its client reads of a stream that others read as well. */
  declare reader: Readable | undefined
  /** How it is answered with a recording. */
  declare protected replay: Replay | undefined
  declare private parked: ParkedRun | undefined
  declare private isClosed: boolean
  declare private watchesClient: boolean

  static {
    Object.assign(this.prototype, { reader: undefined, replay: undefined, parked: undefined, isClosed: false, watchesClient: false })
  }

  /** The error of its handler. With it the response is a failure, whatever its status. */
  abstract readonly error: unknown
  /** Its handler, or a hook after it, ended in an error. */
  abstract readonly failed: boolean

  /** The response, or its connection, has been closed. */
  abstract closed (): void
  /** What makes its stream has ended it; `go` does what follows from that. */
  abstract sourceEnds (how: SourceEnd, go: () => void): void

  /**
   * Its run waits, until `resume` or an answer.
   *
   * @param over called once the request has been answered, or can no longer be
   */
  park (resume: Resume, over?: () => void): void {
    if (!isAnsweredAtOnce(this)) {
      this.parked = new ParkedRun(resume, over)
      this.watchClient()
    }
    this.conductor.parked(this)
  }

  protected resume (): void {
    this.parked?.resume()
    this.end()
  }

  give (recording: Recording): void {
    this.#answer(() => {
      const { reply, request, requests, route } = this
      const isFast = route.hasFastLane && mayBeWritten(request, reply, recording)
      if (isFast && writeHead(reply, recording, requests.guarded.now())) writeBody(reply, recording)
      else this.replayOf(recording).start()
    })
  }

  /** A body is compressed once for all who are given it. */
  override sharing ({ body }: Recording): (() => void) | undefined {
    return holdEncodings(body, this.requests.budget.hold)
  }

  override relayed (recording: Recording): Relayed<Recording> | undefined {
    return relayedOf(recording)
  }

  override revived (recording: Recording, body: Readable, listener: RevivedListener): Revived<Recording> {
    return revive(this, recording, body, listener)
  }

  /** Answers with a recording instead of the response of its own handler. `before`: the reply's headers when that began. */
  replaceResponse (recording: Recording, payload: unknown, before: Headers): unknown {
    discard(payload)
    restoreHeaders(this.reply, before)
    return this.replayOf(recording).replace()
  }

  /** From now on its answer is this recording. */
  protected replayOf (recording: Recording): Replay {
    shareEncodings(this.reply, recording.body, this.requests.budget.hold, recording.kept === undefined ? undefined : recording)
    const join: Join = (broadcast, span) => (this.reader = broadcast.join(this, span))
    return (this.replay = new Replay(this.request, this.reply, recording, this.requests.guarded.now(), join))
  }

  refuse (error: Error, retryAfter: number | undefined): void {
    this.#answer(() => {
      if (retryAfter !== undefined) this.reply.header('retry-after', String(Math.ceil(retryAfter / 1000)))
      this.reply.send(error)
    })
  }

  cutOff (reason: Cut, cause: Error | undefined): Error {
    this.conductor.cutOff(this, reason)
    breakOff(this.reply)
    return cause ?? (reason === 'vary' ? new OtherVariantError() : new FellBehindError())
  }

  /** Its reply was sent. Who has led until then was answered past what others could have: its place is free. */
  sent (): void {
    // One whose client has left may be answered yet, over HTTP/2.
    if (this.leads && isEnded(this.reply.raw)) this.closed()
  }

  /** From now on it is noticed when its client leaves. */
  watchClient (): void {
    if (this.watchesClient) return
    this.watchesClient = true
    onClose(this.reply, () => {
      this.closed()
      this.isClosed = true
      this.end()
    })
  }

  /** Settles its parked handler once the reply is closed. One whose leader run may yet begin is settled by that. */
  protected end (): void {
    if (this.isClosed && this.role.type !== 'preparing' && this.role.type !== 'stranded') this.parked?.end()
  }

  /** Answers in the request's own asynchronous context. */
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
    if (this.parked === undefined) answer()
    else this.parked.runInAsyncScope(answer)
    this.end()
  }
}
