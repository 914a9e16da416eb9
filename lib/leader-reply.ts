/**
 * What stands in front of a leader's own reply, where hooks come before the response is captured: they see no conditions, so
 * that what they make of it is everybody's.
 *
 * Invariant: the leader's client is answered by its own conditions in the end, as its followers are by theirs.
 */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { represent } from './http/represent.js'
import { headersOf } from './internals.js'
import { applyPart } from './replay.js'
import { visitOf } from './request-visit.js'

/**
 * Puts itself in front of `reply.send`, where hooks come before the response is captured: from then on they look, not the
 * handler. After an error a handler of errors does, whose turn to send is then.
 */
export function sendUnconditionally (reply: FastifyReply): void {
  const { send } = reply
  reply.send = function (payload?: unknown): FastifyReply {
    if (!(payload instanceof Error)) visitOf(reply.request)?.hideConditions()
    return send.call(reply, payload)
  }
}

/** A leader's response by the conditions that hooks did not see. Returns the payload to go on with. */
export function conditioned (request: FastifyRequest, reply: FastifyReply, payload: unknown): unknown {
  const part = represent({ status: reply.statusCode, headers: headersOf(reply), body: undefined }, request, Date.now())
  if (typeof part === 'string') return payload
  if (payload instanceof Readable) payload.destroy()
  applyPart(reply, part)
  return null
}
