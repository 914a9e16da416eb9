/**
 * One request or call that is traced: its span, and its wait.
 *
 * Invariant: a wait has ended before the next one begins, and when its participant has its outcome. The span of a request is somebody
 * else's: it is given attributes and links, and ended only where nobody else would.
 */
import type { BoardMessage, LandMessage, SettleMessage, TraceOptions, Tracing, TracingApi, TracingLink, TracingSpan, TracingSpanContext } from '../../types/tracing.js'
import type { Own } from './request-span.js'

type Attributes = Record<string, string | number | boolean>

const NAME = 'coalesce wait'
const LEADER = Object.freeze({ 'coalesce.role': 'leader' })
const FOLLOWER = Object.freeze({ 'coalesce.role': 'follower' })

/** What all have in common. */
export interface Means {
  readonly api: TracingApi
  readonly options: Required<TraceOptions>
  readonly tracer: Tracing
  /** The waits that have not ended. */
  readonly waiting: Set<TracingSpan>
}

export class Traced {
  readonly #means: Means
  readonly #own: Own
  /** The function that this is a call of. Its caller's span is not told about it. */
  readonly #called: string | undefined
  #wait: TracingSpan | undefined
  /** The id of the span that it was linked to last. */
  #linked: string | undefined
  /** Its own run has begun. */
  #runs = false

  constructor (means: Means, own: Own, called: string | undefined) {
    this.#means = means
    this.#own = own
    this.#called = called
  }

  get spanContext (): TracingSpanContext | undefined {
    return this.#own.span?.spanContext()
  }

  /** Its run begins. */
  leads (): void {
    this.#runs = true
    this.#endWait()
    // The reason is known when its response is, which may be past the end of its span.
    this.#say({ 'coalesce.role': 'leader', 'coalesce.outcome': 'leader' })
  }

  /** It waits for the run of `leader`; undefined: that is not known, or in another process. */
  follows (leader: Traced | undefined, { waiters }: BoardMessage): void {
    this.#endWait()
    this.#say({ 'coalesce.role': 'follower' })
    leader?.isFollowedBy(waiters)
    const link = this.#linkTo(leader)
    this.#link(link)
    const { options, tracer, waiting } = this.#means
    const { context, span } = this.#own
    // A wait of who is not traced would be a trace of its own.
    if (!options.waits || span === undefined) return
    const attributes = this.#called === undefined ? FOLLOWER : { ...FOLLOWER, 'coalesce.function': this.#called }
    this.#wait = tracer.startSpan(NAME, { attributes, links: link === undefined ? [] : [link] }, context)
    waiting.add(this.#wait)
  }

  /** So many wait for its run. It is said at once: its span may have ended when its run has. */
  isFollowedBy (waiters: number): void {
    this.#say({ 'coalesce.followers': waiters })
  }

  /** Its flight has landed. */
  landed ({ followers, landing }: LandMessage): void {
    if (landing !== 'timed-out') this.#say({ 'coalesce.followers': followers })
  }

  /** It has its outcome; `leader` ran for it. */
  settled (leader: Traced | undefined, { cause, gone, outcome, reason }: SettleMessage): void {
    const attributes: Attributes = { 'coalesce.outcome': outcome, 'coalesce.reason': reason }
    if (cause !== undefined) attributes['coalesce.cause'] = cause
    if (outcome === 'hit' || outcome === 'stale') attributes['http.cache.hit'] = true
    const link = this.#linkTo(leader)
    // Another one may have taken over while it waited.
    if (link !== undefined && this.#link(link)) this.#wait?.addLink?.(link)
    this.#wait?.setAttributes(attributes)
    this.#endWait()
    this.#say(attributes)
    const { endsWithResponse, span } = this.#own
    // There is no response, and so nobody else to end it.
    const isUnanswered = gone === true && !this.#runs && (reason === 'client-left' || outcome === 'bypass')
    if (isUnanswered && endsWithResponse && span?.isRecording() === true) span.end()
  }

  #endWait (): void {
    const wait = this.#wait
    if (wait === undefined) return
    this.#wait = undefined
    this.#means.waiting.delete(wait)
    wait.end()
  }

  /** Says it of a request, as long as its span has not ended. */
  #say (attributes: Attributes): void {
    const { span } = this.#own
    if (this.#called === undefined && span?.isRecording() === true) span.setAttributes(attributes)
  }

  #linkTo (leader: Traced | undefined): TracingLink | undefined {
    const { api, options } = this.#means
    const context = leader?.spanContext
    const isOther = context !== undefined && context.spanId !== this.spanContext?.spanId
    return options.links && isOther && api.trace.isSpanContextValid(context) ? { context, attributes: LEADER } : undefined
  }

  /** Links a request's own span. False if it has that link. */
  #link (link: TracingLink | undefined): boolean {
    if (link === undefined || link.context.spanId === this.#linked) return false
    this.#linked = link.context.spanId
    const { span } = this.#own
    if (this.#called === undefined && span?.isRecording() === true) span.addLink?.(link)
    return true
  }
}
