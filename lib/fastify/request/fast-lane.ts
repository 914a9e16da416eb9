/**
 * The fast lane: a whole recording is written to the connection in one go, past `reply.send` and the hooks that nobody has.
 *
 * Invariant: whoever takes it gets, byte for byte, what the road through `reply.send` would give. It is taken only if all of this holds:
 * - known once the app is ready (`isOpenFor`): no `onSend` hook of others stands between the recording and the client, and no header of ours
 *   is added there (`cacheStatus`);
 * - known of the request: it is no HEAD and no HTTP/2, and has neither conditions nor ranges;
 * - known of the recording: its body is complete, and is not empty;
 * - known of the reply: nothing of it has been sent, and no hook gave it trailers.
 * Whatever else there is comes as ever: headers that hooks have set, `onResponse` hooks, the log, and the recording's headers in
 * `reply.getHeader`. What cannot be told takes the other road.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Recording } from '../../http/recording.js'
import { asksForPart } from '../../http/represent.js'
import { widen } from '../dependencies/narrowing.js'
import { hasTrailers, ownHeadersOf } from '../internals.js'
import type { CoalescedRoute } from './route.js'
import { takeHead } from './take-head.js'

/** Whether replays of a route may take it. */
export function isOpenFor ({ decidesAtOnce, decidesLast, observed, settings }: Gates): boolean {
  return decidesAtOnce && decidesLast && observed === undefined && settings.cacheStatus === undefined
}

type Gates = Pick<CoalescedRoute, 'decidesAtOnce' | 'decidesLast' | 'observed' | 'settings'>

/** Whether a reply may be this recording, written in one go. */
export function mayBeWritten (request: FastifyRequest, reply: FastifyReply, { body, bytes, status }: Recording): boolean {
  const { raw } = request
  return (typeof body === 'string' || body instanceof Uint8Array) && bytes !== undefined && status >= 200 && status !== 204 && status !== 304 &&
    raw.httpVersionMajor === 1 && raw.method !== 'HEAD' && !asksForPart(request.headers) &&
    ownHeadersOf(reply) !== undefined && !hasTrailers(reply) && !reply.raw.headersSent
}

/**
 * Writes the head of a reply that may be a recording. False: a header that a hook has set cannot be sent, which the other road answers with an
 * error.
 *
 * @param now in milliseconds since 1970
 */
export function writeHead (reply: FastifyReply, recording: Recording, now: number): boolean {
  takeHead(reply, recording, now)
  const headers = ownHeadersOf(reply) as Record<string, string>
  if (Number(headers['content-length']) !== recording.bytes) headers['content-length'] = String(recording.bytes)
  try {
    reply.raw.writeHead(recording.status, headers)
    return true
  } catch {
    return false
  }
}

/** Writes the body after that. */
export function writeBody ({ raw, request }: FastifyReply, { body }: Recording): void {
  // Hooks that come after the response see what the client sent.
  widen(request)
  raw.end(body)
}
