/**
 * Which requests write, and when what a write may have changed is told.
 *
 * Invariant: it is told before the client of a write that does well can know of it, as far as Fastify or the response tell how it
 * goes: before its headers leave, before the end of a response that is still being made then, and else as soon as it has been sent.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { flows, onEnd, onHeaders } from '../replies/payload.js'
import { bypassOf, participantOf } from '../request/view.js'

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])

/** The writes of which Fastify, or their handler, said how they are answered. */
const told = new WeakSet<FastifyReply>()

/** Whether a request may write. A POST that is coalesced is one that only reads: its route says so. */
export function isWrite (request: FastifyRequest): boolean {
  const { method } = request
  if (SAFE.has(method)) return false
  return method !== 'POST' || (participantOf(request) ?? bypassOf(request))?.route.settings.body === undefined
}

/** Whether there are writes among the requests of a request's route; where that cannot be told, there may be. */
export function mayWrite ({ routeOptions: { method } }: FastifyRequest): boolean {
  return method === undefined || [method].flat().some(each => !SAFE.has(each))
}

/** A write is being answered by `reply.send`. */
export function noteAnswer (reply: FastifyReply, payload: unknown, tell: () => void): void {
  told.add(reply)
  if (reply.statusCode >= 400) return
  tell()
  if (flows(payload)) onEnd(reply, tell)
}

/** A write takes its answer into its own hands: whatever it says, nobody can tell how it goes. */
export function noteHijackedWrite (reply: FastifyReply, tell: () => void): void {
  told.add(reply)
  onHeaders(reply, tell)
  onEnd(reply, tell)
}

/** A write has been answered. Told here is only what neither Fastify nor its handler said anything of: `reply.raw` was written to. */
export function noteAnswered (reply: FastifyReply, tell: () => void): void {
  if (!told.has(reply) && reply.statusCode < 400) tell()
}
