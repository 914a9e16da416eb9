/**
 * Handlers that forward to an upstream with `reply.from` of @fastify/reply-from, which @fastify/http-proxy uses as well.
 *
 * Invariant: the plugin is a shared cache to such an upstream. The copy of all request headers that is forwarded counts as no
 * read of theirs, for the upstream's `Vary` says which matter (RFC 9111 section 4.1), unless the app rewrites that copy: then
 * the upstream's names are not the client's. Reads by the app's own functions count as ever.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { directives, lines, type FieldValue } from './http/fields.js'
import type { Reads } from './http/reads.js'

type Call = (...args: unknown[]) => unknown
type From = (this: FastifyReply, source: unknown, options?: Readonly<Record<string, unknown>>) => unknown

/** A run, as far as forwarding goes. */
export interface Forwarding {
  readonly reply: FastifyReply
  readonly role: string
  readonly flight: { readonly followers: number } | undefined
  forwarded: boolean
}

/** Stands in for the `reply.from` of a run, if there is one. */
export function watchForwarding (run: Forwarding, reads: Reads | undefined): void {
  const reply = run.reply as unknown as { from?: From }
  const { from } = reply
  if (typeof from !== 'function') return
  reply.from = function forwardRecorded (source, options = {}) {
    run.forwarded = true
    outliveClient(run)
    if (reads === undefined || options.rewriteRequestHeaders !== undefined) return from.call(this, source, options)
    const own: Record<string, unknown> = { ...options }
    for (const name of ['getUpstream', 'queryString']) {
      const call = options[name]
      if (typeof call === 'function') own[name] = (...args: unknown[]) => reads.during(() => (call as Call)(...args), true)
    }
    return reads.during(() => from.call(this, source, own), false)
  }
}

/** `reply.from` drops the upstream's response once its client is gone, which it is told by `request.raw.aborted`. */
function outliveClient (run: Forwarding): void {
  const { raw } = run.reply.request
  let aborted = raw.aborted
  Object.defineProperty(raw, 'aborted', {
    configurable: true,
    enumerable: true,
    get: () => aborted && !(run.role === 'leader' && (run.flight?.followers ?? 0) > 0),
    set: (value: boolean) => { aborted = value }
  })
}

const SHARED_WITH_AUTHORIZATION = new Set(['public', 's-maxage', 'must-revalidate'])

/** Whether the response to a request may be shared even if that has Authorization (RFC 9111 section 3.5). */
export function allowsAuthorization (request: Pick<FastifyRequest, 'headers'>, cacheControl: FieldValue): boolean {
  if (request.headers.authorization === undefined) return true
  if (cacheControl === undefined) return false
  return lines(cacheControl).some(line => (directives(line) ?? []).some(([name]) => SHARED_WITH_AUTHORIZATION.has(name)))
}
