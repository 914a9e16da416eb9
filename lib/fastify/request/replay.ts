/**
 * Sends a recording as a participant's own reply: the whole, or the part that its request asks for.
 *
 * Invariant: conditions are evaluated twice: on the recording before the reply's hooks run, and on the hooks' result after them.
 * Ranges are evaluated only after the hooks, and only if no hook has changed the body.
 */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Broadcast } from '../../http/broadcast.js'
import type { Span } from '../../http/range.js'
import { bytesOf, type Recording } from '../../http/recording.js'
import { asksForPart, represent, type Part } from '../../http/represent.js'
import { headersOf, serializerOf } from '../internals.js'
import { applyPart, asIs } from '../replies/payload.js'
import { takeHead } from './take-head.js'

/** Returns a reader of a body that is still being streamed, or of a span of it. */
export type Join = (broadcast: Broadcast, span?: Span) => Readable

export class Replay {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #recording: Recording
  readonly #join: Join
  /** The payload that the hooks get. */
  #payload: unknown
  /** The status of the part that is sent; undefined if the whole is sent. */
  #status: Part['status'] | undefined
  readonly #now: number
  /** The serializer that a hook set on the reply. It is put back after `send`. */
  #serializer: ReturnType<typeof serializerOf> | undefined
  /** Whether the reply must be sent without a `Content-Type`, because the recording has none. */
  #untyped = false

  /**
   * @param now in milliseconds since 1970
   * @param join not called if no body is sent
   */
  constructor (request: FastifyRequest, reply: FastifyReply, recording: Recording, now: number, join: Join) {
    this.#now = now
    this.#request = request
    this.#reply = reply
    this.#recording = recording
    this.#join = join
  }

  /** Sends the recording through the hooks of the reply. */
  start (): void {
    const reply = this.#reply
    const { body } = this.#recording
    takeHead(this.#reply, this.#recording, this.#now)
    // The body is already serialized; a hook's serializer would serialize it again.
    this.#serializer = serializerOf(reply)
    reply.serializer(asIs)
    // A `send` that a hook put on the reply is passed over: it already ran for the leader's reply.
    const { send } = Object.getPrototypeOf(reply) as FastifyReply
    const part = this.#part(undefined)
    if (part !== undefined) {
      this.#apply(part)
      send.call(reply)
    } else if (body instanceof Broadcast && this.#request.method === 'HEAD') {
      // The response to HEAD has headers only, and must not start to read the source.
      send.call(reply, Readable.from([]))
    } else {
      this.#untyped = !(body instanceof Broadcast) && !reply.hasHeader('content-type')
      send.call(reply, this.#take())
    }
  }

  /** Undoes what `start` set only for `send`. Runs first after `send`, because a hook may fail, and its error is then sent by this reply. */
  sent (): void {
    const reply = this.#reply
    if (this.#serializer !== undefined) reply.serializer(this.#serializer as typeof asIs)
    this.#serializer = undefined
    // Fastify has added one.
    if (this.#untyped) reply.removeHeader('content-type')
    this.#untyped = false
  }

  /** Fills a reply that is already being sent from the recording, which is complete. Returns the payload to send. */
  replace (): unknown {
    takeHead(this.#reply, this.#recording, this.#now)
    const part = this.#part(undefined)
    if (part === undefined) return this.#take()
    this.#apply(part)
    return null
  }

  /** Makes the payload that the hooks get. */
  #take (): unknown {
    const { body } = this.#recording
    this.#payload = body instanceof Broadcast ? this.#join(body) : body ?? undefined
    return this.#payload
  }

  /**
   * Evaluates conditions and ranges after the hooks of the reply. Returns the payload to send.
   *
   * @param last whether no other hook runs after this one
   */
  finish (payload: unknown, last: boolean): unknown {
    const { statusCode } = this.#reply
    // If the stream failed before the range came, an error is sent instead.
    if (this.#status === 206) this.#reply.removeHeader('content-range')
    if (this.#status === 304 && statusCode === 304) {
      // A hook may have replaced the missing payload by an empty one, and set the length to 0. Automatic HEAD routes do so.
      this.#reply.removeHeader('content-length')
      return null
    }
    if (!last || payload === undefined || payload === null || payload !== this.#payload) return payload
    const { body } = this.#recording
    const live = body instanceof Broadcast ? body : undefined
    const part = live === undefined ? this.#part(() => bytesOf(this.#recording)) : this.#part(undefined, live.length)
    if (part === undefined) return payload
    // Join before the reader of the whole is destroyed: if it is the last reader, the source would end.
    const slice = live === undefined || part.span === undefined ? part.body : this.#join(live, part.span)
    if (payload instanceof Readable) payload.destroy()
    this.#apply(part)
    return slice
  }

  #part (body: (() => Buffer) | undefined, length?: number): Part | undefined {
    const request = this.#request
    if (!asksForPart(request.headers)) return undefined
    const part = represent({ status: this.#reply.statusCode, headers: headersOf(this.#reply), body, length }, request, this.#now)
    return typeof part === 'string' ? undefined : part
  }

  #apply (part: Part): void {
    applyPart(this.#reply, part)
    this.#status = part.status
  }
}
