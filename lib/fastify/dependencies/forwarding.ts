/**
 * Handlers that forward to an upstream with `reply.from` of @fastify/reply-from, which @fastify/http-proxy uses as well.
 *
 * Invariant: for such an upstream the plugin is a shared cache. When `reply.from` copies all request headers, the copy does not
 * count as a read of the headers, because the upstream's `Vary` names those that matter (RFC 9111 section 4.1). If the app rewrites the
 * copy, it does count, because the upstream may name headers that the client did not send. Reads by the app's own functions always count.
 */
import type { FastifyReply } from 'fastify'
import { directives, lines, type FieldValue } from '../../http/fields.js'
import type { Reads } from '../../http/reads.js'

type Call = (...args: unknown[]) => unknown
type From = (this: FastifyReply, source: unknown, options?: Readonly<Record<string, unknown>>) => unknown

/** The part of a participant that this module needs. */
export interface Forwarding {
  readonly reply: FastifyReply
  /** Whether the participant leads a flight. */
  readonly leads: boolean
  readonly hasFollowers: boolean
}

/** Replaces the `reply.from` of a run's reply, if it has one. */
export function watchForwarding (run: { forwarded: Forwarded | undefined }, participant: Forwarding, reads: Reads | undefined): void {
  const reply = participant.reply as unknown as { from?: From }
  const { from } = reply
  if (typeof from !== 'function') return
  reply.from = function forwardRecorded (source, options = {}) {
    run.forwarded = new Forwarded(participant)
    if (reads === undefined || options.rewriteRequestHeaders !== undefined) return from.call(this, source, options)
    const own: Record<string, unknown> = { ...options }
    for (const name of ['getUpstream', 'queryString']) {
      const call = options[name]
      if (typeof call === 'function') own[name] = (...args: unknown[]) => reads.during(() => (call as Call)(...args), true)
    }
    // A hook may have changed the headers. The upstream's `Vary` does not need to name what the client did not send.
    reads.changed()
    return reads.during(() => from.call(this, source, own), false)
  }
}

const SHARED_WITH_AUTHORIZATION = new Set(['public', 's-maxage', 'must-revalidate'])

/** A request that was forwarded to an upstream. */
export class Forwarded {
  readonly #authorized: boolean
  #answered = false

  /**
   * Until the upstream has answered, hides from `reply.from` that the leader's client has left, as long as followers wait. Otherwise
   * `reply.from` would drop the upstream's response.
   */
  constructor (participant: Forwarding) {
    const { request } = participant.reply
    this.#authorized = request.headers.authorization !== undefined
    let { aborted } = request.raw
    Object.defineProperty(request.raw, 'aborted', {
      configurable: true,
      enumerable: true,
      get: () => aborted && (this.#answered || !participant.leads || !participant.hasFollowers),
      set: (value: boolean) => { aborted = value }
    })
  }

  /** Notes that the upstream has answered. Says whether other clients may get the response (RFC 9111 section 3.5). */
  answered (cacheControl: FieldValue): 'private' | 'shared' {
    this.#answered = true
    return !this.#authorized || allowsAuthorization(cacheControl) ? 'shared' : 'private'
  }
}

/** Whether a response may be shared although its request had an `Authorization` header. */
function allowsAuthorization (cacheControl: FieldValue): boolean {
  if (cacheControl === undefined) return false
  return lines(cacheControl).some(line => (directives(line) ?? []).some(([name]) => SHARED_WITH_AUTHORIZATION.has(name)))
}
