/**
 * Handlers that return their reply: they will answer later, by `reply.send`, and may do so after their client has left.
 *
 * Invariant: a reply is waited for just as Fastify has it; that it is waited for is noted.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { visitOf } from './request-visit.js'

type Then = FastifyReply['then']

export function noteReturnedReplies (fastify: FastifyInstance): void {
  const then: Then = function (this: FastifyReply, fulfilled, rejected) {
    const visit = visitOf(this.request)
    // When it settles, because the connection has closed, says nothing about the handler.
    if (visit !== undefined) visit.result = undefined
    nextThen(this, then).call(this, fulfilled, rejected)
  }
  fastify.decorateReply('then', then as never)
}

/** The one that `own` stands in front of. */
function nextThen (reply: FastifyReply, own: Then): Then {
  let object: object = reply
  while (!Object.hasOwn(object, 'then') || (object as FastifyReply).then !== own) object = Object.getPrototypeOf(object) as object
  return (Object.getPrototypeOf(object) as FastifyReply).then
}
