/**
 * Asking the handler whether a cached response is still good (RFC 9111 section 4.3).
 *
 * Invariant: only the handler sees the conditions: hooks before and after it see the request as its client made it. A 304 that
 * answers them becomes the whole response, and is then treated like any other. Only clients that sent a condition of their own
 * receive a 304.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { conditionsFor, freshen, OF_THE_BYTES, validates } from '../../http/freshen.js'
import { headerDelta, type Headers } from '../../http/headers.js'
import type { Body, KeptRecording } from '../../http/recording.js'
import { asksForPart } from '../../http/represent.js'

const NO_NAMES: readonly string[] = Object.freeze([])

export class Revalidation {
  readonly #request: FastifyRequest
  /** The cached response. */
  readonly cached: KeptRecording
  readonly #conditions: readonly string[]
  /** The handler said that the cached response is still good. */
  #isConfirmed = false

  /**
   * Adds conditions to the headers that the handler sees. Undefined where the cached response has no validators, or the client sent
   * conditions. A POST would be answered 412, to clients that had not asked (RFC 9110 section 13.1.2). A 304 never confirms an error or
   * a redirect (section 13.2.1), though they may carry a validator.
   */
  static begin (request: FastifyRequest, cached: KeptRecording | undefined, now: number): Revalidation | undefined {
    if (cached === undefined || cached.status >= 300 || request.method === 'POST' || asksForPart(request.headers)) return undefined
    const conditions = conditionsFor(cached.headers.set, now)
    const names = Object.keys(conditions)
    if (names.length === 0) return undefined
    Object.assign(request.raw.headers, conditions)
    return new Revalidation(request, cached, names)
  }

  /** Removes the conditions as soon as the handler sends something, before any hook is called. */
  endWith (reply: FastifyReply): void {
    const { send } = reply
    Object.assign(reply, {
      send: (payload?: unknown): FastifyReply => {
        this.end()
        return send.call(reply, payload)
      }
    })
  }

  private constructor (request: FastifyRequest, cached: KeptRecording, conditions: readonly string[]) {
    this.#request = request
    this.cached = cached
    this.#conditions = conditions
  }

  /** Whether a header is a condition that was added here, and not the client's. */
  isOwnCondition (name: string): boolean {
    return this.#conditions.includes(name)
  }

  /** Removes the conditions. */
  end (): void {
    const { headers } = this.#request.raw
    for (const name of this.#conditions) delete headers[name]
  }

  /**
   * Turns a 304 that confirms the cached response into the response that it stands for.
   *
   * @returns the body; `'another'` if the 304 is about something else than the cached response; undefined if there is no 304
   */
  complete (reply: FastifyReply, before: Headers, answer: Headers): { readonly body: Body } | 'another' | undefined {
    if (reply.statusCode !== 304) return undefined
    const { set } = headerDelta(before, answer)
    const { status, headers, body } = this.cached
    if (!validates(headers.set, set)) return 'another'
    this.#isConfirmed = true
    // These describe the body of the 304, which is empty.
    for (const [name] of set) if (OF_THE_BYTES.has(name)) reply.removeHeader(name)
    for (const [name, value] of freshen(headers.set, set)) reply.header(name, typeof value === 'string' ? value : [...value])
    reply.code(status)
    return { body: body as Body }
  }

  /** The labels of a cached response that is confirmed. */
  get labels (): readonly string[] {
    return this.#isConfirmed ? this.cached.kept.labels : NO_NAMES
  }

  /** The request headers that a confirmed response depends on. The handler need not read them to confirm it. */
  get varies (): readonly string[] {
    return this.#isConfirmed ? this.cached.variant.names : NO_NAMES
  }
}
