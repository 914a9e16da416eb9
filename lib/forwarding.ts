/**
 * Handlers that forward to an upstream with `reply.from` of @fastify/reply-from, which @fastify/http-proxy uses as well.
 *
 * Invariant: the plugin is a shared cache to such an upstream. The copy of all request headers that is forwarded counts as no
 * read of theirs, for the upstream's `Vary` says which matter (RFC 9111 section 4.1), unless the app rewrites that copy: then
 * the upstream's names are not the client's. Reads by the app's own functions count as ever.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { directives, lines, type FieldValue } from './http/fields.js'

type Call = (...args: unknown[]) => unknown
type From = (this: FastifyReply, source: unknown, options?: Readonly<Record<string, unknown>>) => unknown

/** What it needs of the run that it watches. */
export interface Forwarding {
  /** Called when the request is forwarded. */
  forwarded (): void
  /** Whether somebody waits for this run. */
  awaited (): boolean
  /** Calls `action` without noting what it reads. */
  unwatched<T> (action: () => T): T
  /** Calls `action` and notes what it reads. */
  watched<T> (action: () => T): T
}

/** Stands in for the `reply.from` of a run, if there is one. */
export function watchForwarding (reply: FastifyReply, run: Forwarding): void {
  const replyWithFrom = reply as unknown as { from?: From }
  const { from } = replyWithFrom
  if (typeof from !== 'function') return
  replyWithFrom.from = function forwardRecorded (source, options = {}) {
    run.forwarded()
    outliveClient(reply.request, run)
    if (options.rewriteRequestHeaders !== undefined) return from.call(this, source, options)
    const own: Record<string, unknown> = { ...options }
    for (const name of ['getUpstream', 'queryString']) {
      const call = options[name]
      if (typeof call === 'function') own[name] = (...args: unknown[]) => run.watched(() => (call as Call)(...args))
    }
    return run.unwatched(() => from.call(this, source, own))
  }
}

/** `reply.from` drops the upstream's response once its client is gone, which it is told by `request.raw.aborted`. */
function outliveClient ({ raw }: FastifyRequest, run: Forwarding): void {
  let aborted = raw.aborted
  Object.defineProperty(raw, 'aborted', {
    configurable: true,
    enumerable: true,
    get: () => aborted && !run.awaited(),
    set: (value: boolean) => { aborted = value }
  })
}

const SHARED_WITH_AUTHORIZATION = new Set(['public', 's-maxage', 'must-revalidate'])

/** Whether a response to a request with Authorization may be shared (RFC 9111 section 3.5). */
export function allowsAuthorization (cacheControl: FieldValue): boolean {
  if (cacheControl === undefined) return false
  return lines(cacheControl).some(line => (directives(line) ?? []).some(([name]) => SHARED_WITH_AUTHORIZATION.has(name)))
}
