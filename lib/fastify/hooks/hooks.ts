/**
 * The hooks that see what becomes of requests, coalesced or not.
 *
 * Invariant: a route that is not coalesced and only reads has nothing of ours from its second request on.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { appendCacheStatus } from '../../http/cache-status.js'
import { invalidatedBy } from '../../http/invalidated-by.js'
import { queryStart } from '../../http/query.js'
import type { Reads } from '../../http/reads.js'
import { completeCacheControl } from '../cache/cache-control-headers.js'
import { bypassStatus, cacheStatusOf } from './cache-status.js'
import { refreshOf } from '../cache/refresh-request.js'
import { isWrite, mayWrite, noteAnswer, noteAnswered, noteHijackedWrite } from './writes.js'
import { inquiryOf } from '../explain/inquiry.js'
import { endHookReads, isOfCoalescedRoute } from '../dependencies/hook-reads.js'
import { originalUrlOf } from '../dependencies/replaced-by-hooks.js'
import { widen } from '../dependencies/narrowing.js'
import { dropHook, headersOf, unbound } from '../internals.js'
import { flows } from '../replies/payload.js'
import { scopeOf } from '../scope.js'
import { Bypass, bypassOf, participantOf } from '../request/view.js'
import { RequestParticipant } from '../request/participant.js'

type Done = (error?: Error | null, value?: unknown) => void

export function captureResponse (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): void {
  const participant = participantOf(request)
  if (participant !== undefined) {
    const passed = participant.capture(payload, participant.route.decidesAtOnce)
    // What makes a stream is the handler's.
    if (!flows(passed)) widen(request)
    if (participant.bypasses && isWrite(request)) fenceOnAnswer(request, reply, passed)
    done(null, passed)
    return
  }
  endHookReads(request)
  if (!flows(payload)) widen(request)
  if (isWrite(request)) {
    fenceOnAnswer(request, reply, payload)
  } else if (!isOfCoalescedRoute(request) && !mayWrite(request)) {
    dropHook(request, 'onSend', captureResponse)
  }
  done()
}
unbound(captureResponse)

export function endResponse (request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  if (!mayWrite(request)) dropHook(request, 'onResponse', endResponse)
  else if (isWrite(request)) noteAnswered(reply, () => { fence(request, reply) })
  done()
}
unbound(endResponse)

/** Apart from the hooks, whose calls would make room for what its function needs. */
function fenceOnAnswer (request: FastifyRequest, reply: FastifyReply, payload: unknown): void {
  noteAnswer(reply, payload, () => { fence(request, reply) })
}

/** A write that did well: nobody who comes now is answered with what was read before it. */
function fence (request: FastifyRequest, reply: FastifyReply): void {
  const { allRequests, settings } = scopeOf(request.server)
  const { protocol, host, url } = request
  const path = originalUrlOf(request)
  const paths = [...new Set([url, path]), ...invalidatedBy({ protocol, host, path }, headersOf(reply))]
    .map(each => each.slice(0, queryStart(each, settings.routes.router.semicolonDelimits)))
  for (const { barrier } of allRequests) for (const path of paths) barrier.fence(path)
}

export function noteHijack (reply: FastifyReply): void {
  const { request } = reply
  const participant = participantOf(request)
  if (participant !== undefined) {
    participant.hijacked()
    if (participant.bypasses && isWrite(request)) noteHijackedWrite(reply, () => { fence(request, reply) })
    return
  }
  endHookReads(request)
  inquiryOf(request)?.hijacked()
  if (isWrite(request)) noteHijackedWrite(reply, () => { fence(request, reply) })
}

/** The handler returned its reply: when that settles, because the connection has closed, says nothing about the handler. */
export function noteReturned ({ request }: FastifyReply): void {
  const participant = participantOf(request)
  if (participant !== undefined) participant.result = undefined
}

export function noteError (request: FastifyRequest, _reply: FastifyReply, error: Error, done: () => void): void {
  const participant = participantOf(request)
  if (participant === undefined) {
    endHookReads(request)
    const run = refreshOf(request)
    if (run !== undefined) run.refresh.error ??= error
    inquiryOf(request)?.failed(error)
  } else {
    participant.fail(error)
  }
  done()
}

export function noteSent (request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  participantOf(request)?.sent()
  done()
}

export function decideResponse (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): void {
  const participant = participantOf(request)
  const passed = participant === undefined ? payload : participant.decide(payload, participant.route.decidesLast)
  const served = participant ?? bypassOf(request)
  const cacheStatus = served?.route.settings.cacheStatus
  if (served !== undefined && cacheStatus !== undefined) sayStatus(served, reply, cacheStatus)
  completeCacheControl(request, reply)
  const reads = participant?.reads
  if (reads?.on === true) doneApart(reads, done, passed)
  else done(null, passed)
}

/** What makes a stream's chunks is watched from now on, and what other plugins' hooks make of them for this client is not. */
function doneApart (reads: Reads, done: Done, passed: unknown): void {
  reads.apart(() => { done(null, passed) })
}

/** Says in the response how it was served (RFC 9211). */
function sayStatus (served: RequestParticipant | Bypass, reply: FastifyReply, name: string): void {
  const member = served instanceof Bypass
    ? bypassStatus(name, served.reason)
    : cacheStatusOf(name, served, served.requests.guarded.now())
  reply.header('cache-status', appendCacheStatus(headersOf(reply)['cache-status'], member))
}
