/**
 * Handlers that forward to an upstream with `reply.from` of @fastify/reply-from, which @fastify/http-proxy uses as well.
 *
 * Invariant: the plugin is a shared cache to such an upstream. The copy of all request headers that is forwarded counts as no
 * read of theirs, for the upstream's `Vary` says which matter (RFC 9111 section 4.1), unless the app rewrites that copy: then
 * the upstream's names are not the client's. Reads by the app's own functions count as ever.
 */
import type { FastifyReply } from 'fastify'
import { directives, lines, type FieldValue } from '../../http/fields.js'
import type { Reads } from '../../http/reads.js'

type Call = (...args: unknown[]) => unknown
type From = (this: FastifyReply, source: unknown, options?: Readonly<Record<string, unknown>>) => unknown

/** Who runs a handler, as far as forwarding goes. */
export interface Forwarding {
  readonly reply: FastifyReply
  /** It runs for a flight. */
  readonly leads: boolean
  readonly hasFollowers: boolean
}

/** Stands in for the `reply.from` of a run, if there is one. */
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
    // What a hook put among the headers is not the client's, and no Vary need name it.
    reads.changed()
    return reads.during(() => from.call(this, source, own), false)
  }
}

const SHARED_WITH_AUTHORIZATION = new Set(['public', 's-maxage', 'must-revalidate'])

/** A request that is at an upstream, or was. */
export class Forwarded {
  readonly #authorized: boolean
  #answered = false

  /** From now on the client's leaving is hidden from `reply.from`, which would drop the upstream's response, while others wait. */
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

  /** The upstream has answered: may anybody else have it (RFC 9111 section 3.5)? */
  answered (cacheControl: FieldValue): 'private' | 'shared' {
    this.#answered = true
    return !this.#authorized || allowsAuthorization(cacheControl) ? 'shared' : 'private'
  }
}

/** Whether a response may be shared even if its request had Authorization. */
function allowsAuthorization (cacheControl: FieldValue): boolean {
  if (cacheControl === undefined) return false
  return lines(cacheControl).some(line => (directives(line) ?? []).some(([name]) => SHARED_WITH_AUTHORIZATION.has(name)))
}
