/**
 * Which requests are writes, and when a successful write is reported.
 *
 * Invariant: a successful write is reported before its client can know of the success, if Fastify or the response shows it in time:
 * before the headers are sent, and again before the end of a streamed response. Otherwise it is reported as soon as the response is sent.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isSafe } from '../../http/policy.js'
import { inquiryOf } from '../explain/inquiry.js'
import { flows, onEnd, onHeaders } from '../replies/payload.js'
import { bypassOf, participantOf } from '../request/view.js'

/** The replies of writes that went through `noteAnswer` or `noteHijackedWrite`. */
const told = new WeakSet<FastifyReply>()

/** Whether a request may write. A POST of a route with the `body` option only reads: the option says so. So does one that is only explained. */
export function isWrite (request: FastifyRequest): boolean {
  const { method } = request
  if (isSafe(method) || inquiryOf(request) !== undefined) return false
  return method !== 'POST' || (participantOf(request) ?? bypassOf(request))?.route.settings.body === undefined
}

/** Whether a request's route has a method that may write. True if the methods are not known. */
export function mayWrite ({ routeOptions: { method } }: FastifyRequest): boolean {
  return method === undefined || [method].flat().some(each => !isSafe(each))
}

/** Calls `tell` for a write that is answered by `reply.send`, unless its status is an error. If the payload is a stream, calls `tell` again at its end. */
export function noteAnswer (reply: FastifyReply, payload: unknown, tell: () => void): void {
  told.add(reply)
  if (reply.statusCode >= 400) return
  tell()
  if (flows(payload)) onEnd(reply, tell)
}

/** Calls `tell` for a write that hijacks its reply, before its headers and before its end, whatever its status: its result is not known. */
export function noteHijackedWrite (reply: FastifyReply, tell: () => void): void {
  told.add(reply)
  onHeaders(reply, tell)
  onEnd(reply, tell)
}

/** Calls `tell` for a successful write that was answered by `reply.raw` without `hijack`. Runs once the response has been sent. */
export function noteAnswered (reply: FastifyReply, tell: () => void): void {
  if (!told.has(reply) && reply.statusCode < 400) tell()
}
