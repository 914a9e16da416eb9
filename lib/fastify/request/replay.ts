/**
 * A recording as one follower's own reply: all of it, or the part that its request asks for.
 *
 * Invariant: conditions are evaluated before the reply's hooks run, on what the recording says, and once more after them, with
 * the ranges, on what the hooks made of it. Ranges are taken only of bytes that every hook has let pass as they are.
 */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Broadcast } from '../../http/broadcast.js'
import { deltaSecondsText } from '../../http/delta-seconds.js'
import type { Span } from '../../http/range.js'
import { bytesOf, type Recording } from '../../http/recording.js'
import { asksForPart, represent, type Part } from '../../http/represent.js'
import { headersOf, serializerOf } from '../internals.js'
import { applyPart, asIs } from '../replies/payload.js'

/** Gives a reader of a body that is still being made, or of a span of it. */
export type Join = (broadcast: Broadcast, span?: Span) => Readable

export class Replay {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #recording: Recording
  readonly #join: Join
  /** What was handed to the hooks. */
  #payload: unknown
  /** What it was turned into. */
  #status: Part['status'] | undefined
  readonly #now: number
  /** What a hook had chosen to serialize the reply with, while it is sent as it is. */
  #serializer: ReturnType<typeof serializerOf> | undefined
  /** It is sent without a `Content-Type`, as the recording has none. */
  #untyped = false

  /**
   * @param now in milliseconds since 1970
   * @param join not called where no body is sent
   */
  constructor (request: FastifyRequest, reply: FastifyReply, recording: Recording, now: number, join: Join) {
    this.#now = now
    this.#request = request
    this.#reply = reply
    this.#recording = recording
    this.#join = join
  }

  /** Sends the reply on its way through its hooks. */
  start (): void {
    const reply = this.#reply
    const { body } = this.#recording
    this.#takeHead()
    // The body is serialized already; a serializer that a hook chose would do it again.
    this.#serializer = serializerOf(reply)
    reply.serializer(asIs)
    // What a hook put in front of it has had its turn with the leader's.
    const { send } = Object.getPrototypeOf(reply) as FastifyReply
    const part = this.#part(undefined)
    if (part !== undefined) {
      this.#apply(part)
      send.call(reply)
    } else if (body instanceof Broadcast && this.#request.method === 'HEAD') {
      // An answer to HEAD is its headers, and must not drive the source.
      send.call(reply, Readable.from([]))
    } else {
      this.#untyped = !(body instanceof Broadcast) && !reply.hasHeader('content-type')
      send.call(reply, this.#take())
    }
  }

  /** The first moment after it was sent: what Fastify needed to be told is taken back, as its hooks may fail and their error is sent. */
  sent (): void {
    const reply = this.#reply
    if (this.#serializer !== undefined) reply.serializer(this.#serializer as typeof asIs)
    this.#serializer = undefined
    // Fastify has given it one.
    if (this.#untyped) reply.removeHeader('content-type')
    this.#untyped = false
  }

  /** Makes a reply that is on its way already one with this recording, which is complete. Returns the payload to go on with. */
  replace (): unknown {
    this.#takeHead()
    const part = this.#part(undefined)
    if (part === undefined) return this.#take()
    this.#apply(part)
    return null
  }

  #takeHead (): void {
    const reply = this.#reply
    const { headers, status, kept } = this.#recording
    for (const [name, value] of headers.set) reply.header(name, typeof value === 'string' ? value : [...value])
    for (const name of headers.removed) reply.removeHeader(name)
    reply.code(status)
    if (kept === undefined) return
    reply.header('age', deltaSecondsText(kept.age + this.#now - kept.storedAt))
    // What is fresh for how long counts from then.
    reply.header('date', kept.date)
  }

  /** The payload that the hooks are given. */
  #take (): unknown {
    const { body } = this.#recording
    this.#payload = body instanceof Broadcast ? this.#join(body) : body ?? undefined
    return this.#payload
  }

  /**
   * After its hooks. Returns the payload to go on with.
   *
   * @param last no other hook comes before it is sent
   */
  finish (payload: unknown, last: boolean): unknown {
    const { statusCode } = this.#reply
    // An error took its place, of a stream that failed before the range came.
    if (this.#status === 206) this.#reply.removeHeader('content-range')
    if (this.#status === 304 && statusCode === 304) {
      // Hooks that make an empty payload of none, as that of an automatic HEAD route does, say that it has no bytes.
      this.#reply.removeHeader('content-length')
      return null
    }
    if (!last || payload === undefined || payload === null || payload !== this.#payload) return payload
    const { body } = this.#recording
    const live = body instanceof Broadcast ? body : undefined
    const part = live === undefined ? this.#part(() => bytesOf(this.#recording)) : this.#part(undefined, live.length)
    if (part === undefined) return payload
    // Before the reader of the whole leaves, which may be the last.
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
