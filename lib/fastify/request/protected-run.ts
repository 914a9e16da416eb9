/**
 * A run of a request's that protection has let take off: when it is over, and what it came to.
 *
 * Invariant: protection is told once, by what comes first: the response that is captured, the end of what makes its stream, a reply that is
 * hijacked or ended by hand, a handler that has ended without an answer. What none of these ends, the permit itself ends when its time is over.
 */
import { finished, type Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { Permit, RunEnd } from '../../protection/permits.js'
import { flows, onDestroy, statusOf } from '../replies/payload.js'
import { isEnded, onClose } from '../replies/queued-reply.js'
import type { SourceEnd } from './capture.js'

/** A request whose run it is. */
interface Runner {
  readonly permit: Permit
  readonly reply: FastifyReply
  readonly error: unknown
  readonly failed: boolean
  readonly gone: boolean
  /** Its run is ended because nobody waits for it. */
  readonly isUnwanted: boolean
  /** The promise of its handler, if that is not its reply. */
  readonly result: PromiseLike<unknown> | undefined
  /** Set once its handler has forwarded the request to an upstream. */
  readonly forwarded: unknown
  /** What its client reads of a stream that others read as well. */
  readonly reader: Readable | undefined
  watchClient (): void
}

export class ProtectedRun {
  readonly #run: Runner
  readonly #permit: Permit
  #isHandled = false
  #isAnswered = false
  #status: number | undefined

  constructor (run: Runner) {
    this.#run = run
    this.#permit = run.permit
    this.#permit.excuse(true)
    run.watchClient()
  }

  /** Its handler is called. Before that, whatever ends it tells nothing, nor does it if nothing does: its client may take long to send its body. */
  handled (): void {
    this.#isHandled = true
    this.#permit.excuse(this.#run.isUnwanted)
  }

  /** The response is there, or the head of one that is a stream. Says what is known; the run keeps its slot. */
  answered (payload: unknown): void {
    if (this.#isAnswered) return
    this.#status = statusOf(this.#run.reply, payload)
    // Nothing that comes after an error makes it a success, and whoever may be promoted asks at once.
    if (!flows(payload) || this.#status >= 500) this.#responded()
    else this.#permit.streams()
  }

  /** What follows from the response has been done. The run is over, unless it still makes the stream that is passed on. */
  captured (passed: unknown): void {
    if (this.#isAnswered) return
    this.#isAnswered = true
    if (!flows(passed)) {
      this.#responded()
      this.over()
    } else if (this.#run.reader === undefined) {
      if (isNodeReadable(passed)) finished(passed, { writable: false }, error => { this.#sourceEnded(error ?? undefined, this.#run.gone) })
      else this.#watchReply()
    }
  }

  /** It makes a web stream, of which only Fastify knows how it ends. */
  #watchReply (): void {
    const { reply } = this.#run
    let isBrokenOff = false
    onDestroy(reply, () => { isBrokenOff = true })
    onClose(reply, () => { this.#sourceEnded(isEnded(reply.raw) ? undefined : new Error('cut off'), !isBrokenOff) })
  }

  /** A stream that others read as well is at its end. */
  sourceEnds (how: SourceEnd): void {
    this.#permit.tell(how === 'unheard' ? undefined : this.#end(how === 'complete' ? undefined : this.#run.error ?? new Error('cut off')))
  }

  hijacked (): void {
    this.#isAnswered = true
    this.#permit.tell(undefined)
    onClose(this.#run.reply, () => { this.over() })
  }

  /** The reply was ended past `reply.send`, if that was not called. */
  endedByHand (): void {
    if (!this.#isAnswered) this.over()
  }

  /** Its client has left. */
  clientLeft (): void {
    const { forwarded, result } = this.#run
    if (this.#isAnswered || forwarded !== undefined) return
    if (result === undefined) return this.#goesOn()
    const over = (): void => {
      setImmediate(() => {
        // What the handler has answered, if it did, is captured by now. If it has returned its reply, it answers later.
        if (this.#isAnswered) return
        if (this.#run.result === undefined) return this.#goesOn()
        if (!this.#run.isUnwanted) this.#permit.tell(this.#end(new Error('no reply')))
        this.over()
      })
    }
    result.then(over, over)
  }

  /** Nobody knows whether its handler will answer, or has noticed that its client has left. */
  #goesOn (): void {
    if (this.#run.isUnwanted) this.#permit.excuse(true)
  }

  over (): void {
    this.#permit.release()
  }

  #responded (): void {
    const { error, failed } = this.#run
    this.#permit.tell(this.#end(failed ? error : undefined))
  }

  /** @param isLeft if it is cut off, that is because its client has left */
  #sourceEnded (error: unknown, isLeft: boolean): void {
    this.#permit.tell(error !== undefined && isLeft ? undefined : this.#end(error, false))
    this.over()
  }

  /** A run that was given up fails for that reason alone. */
  #end (error: unknown, isUnwanted = this.#run.isUnwanted): RunEnd {
    const status = this.#status
    if (!this.#isHandled || (isUnwanted && (error !== undefined || status as number >= 500))) return undefined
    return { status: error === undefined || this.#run.failed ? status : undefined, error }
  }
}

function isNodeReadable (payload: unknown): payload is Readable {
  return typeof (payload as Partial<Readable> | null)?.pipe === 'function'
}
