/**
 * Asking the handler whether a kept response is still good (RFC 9111 section 4.3).
 *
 * Invariant: the question is there for the handler only: hooks before and after it see the request as its client made it. An
 * answer that says "not modified" to this question becomes the whole response, and is then treated like any other. No client that
 * did not ask is told "not modified".
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { conditionsFor, freshen, OF_THE_BYTES, validates } from '../../http/freshen.js'
import { headerDelta, type Headers } from '../../http/headers.js'
import type { Body, KeptRecording } from '../../http/recording.js'
import { asksForPart } from '../../http/represent.js'

/** What is kept, once it is known to be still good. */
interface Completed {
  readonly body: Body
  readonly labels: readonly string[]
  /** The request headers that it depends on: whoever says that it is still good need not look at them. */
  readonly varies: readonly string[]
}

export class Revalidation {
  readonly #request: FastifyRequest
  /** What is kept. */
  readonly stored: KeptRecording
  readonly #names: readonly string[]

  /**
   * Undefined where there is nothing to ask with, or the client has conditions of its own. A POST would be answered 412, to
   * whoever had not asked (RFC 9110 section 13.1.2). And 304 would never be about an error or a redirect (section 13.2.1), though
   * they may have the validator of what should have been there.
   */
  static begin (request: FastifyRequest, stored: KeptRecording | undefined, now: number): Revalidation | undefined {
    if (stored === undefined || stored.status >= 300 || request.method === 'POST' || asksForPart(request.headers)) return undefined
    const conditions = conditionsFor(stored.headers.set, now)
    const names = Object.keys(conditions)
    if (names.length === 0) return undefined
    Object.assign(request.raw.headers, conditions)
    return new Revalidation(request, stored, names)
  }

  /** The question is over as soon as something is sent, before any hook hears of that. */
  endWith (reply: FastifyReply): void {
    const { send } = reply
    Object.assign(reply, {
      send: (payload?: unknown): FastifyReply => {
        this.end()
        return send.call(reply, payload)
      }
    })
  }

  private constructor (request: FastifyRequest, stored: KeptRecording, names: readonly string[]) {
    this.#request = request
    this.stored = stored
    this.#names = names
  }

  /** Whether a header is of the question, and not of the client's. */
  asks (name: string): boolean {
    return this.#names.includes(name)
  }

  /** Takes the question back. */
  end (): void {
    const { headers } = this.#request.raw
    for (const name of this.#names) delete headers[name]
  }

  /**
   * Makes of the answer to the question what the handler would have answered without it; undefined if it is no such answer.
   * `'another'`: it says "not modified" of something else than what is kept.
   */
  complete (reply: FastifyReply, before: Headers, answer: Headers): Completed | 'another' | undefined {
    if (reply.statusCode !== 304) return undefined
    const { set } = headerDelta(before, answer)
    const { status, headers, body, kept, variant } = this.stored
    if (!validates(headers.set, set)) return 'another'
    // Of its own bytes, which are none.
    for (const [name] of set) if (OF_THE_BYTES.has(name)) reply.removeHeader(name)
    for (const [name, value] of freshen(headers.set, set)) reply.header(name, typeof value === 'string' ? value : [...value])
    reply.code(status)
    return { body: body as Body, labels: kept.labels, varies: variant.names }
  }
}
