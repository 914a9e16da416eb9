/**
 * The fast lane: a whole recording is written to the connection in one go, past `reply.send` and the hooks that nobody has.
 *
 * Invariant: whoever takes it gets, byte for byte, what the road through `reply.send` would give. It is taken only if all of this holds:
 * - known once the app is ready (`isOpenFor`): no `onSend` hook of others stands between the recording and the client, and no header of ours
 *   is added there (`cacheStatus`);
 * - known of the request: it is not of HTTP/2, where Fastify writes large bodies in pieces, and has neither conditions nor ranges;
 * - known of the recording: it has a body, which is complete, and a status that may have one;
 * - known of the reply: no hook gave it trailers, or a header that cannot be sent.
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
export function mayBeWritten ({ headers, raw }: FastifyRequest, reply: FastifyReply, { body, status }: Recording): boolean {
  return (typeof body === 'string' || body instanceof Uint8Array) && status !== 204 && raw.httpVersionMajor === 1 && !asksForPart(headers) &&
    ownHeadersOf(reply) !== undefined && !hasTrailers(reply)
}

/**
 * Writes the head of a reply that may be a recording. False: that cannot be, for a header that a hook has set, or since it was written. The
 * other road answers with an error.
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
