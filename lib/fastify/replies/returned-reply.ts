/**
 * Handlers that return their reply: they will answer later, by `reply.send`, and may do so after their client has left.
 *
 * Invariant: a reply is waited for just as Fastify has it; that it is waited for is noted.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { methodBelow } from '../internals.js'
import { visitOf } from '../request/view.js'

type Then = FastifyReply['then']

export function noteReturnedReplies (fastify: FastifyInstance): void {
  const then: Then = function (this: FastifyReply, fulfilled, rejected) {
    const visit = visitOf(this.request)
    // When it settles, because the connection has closed, says nothing about the handler.
    if (visit !== undefined) visit.result = undefined
    methodBelow(this, 'then', then).call(this, fulfilled, rejected)
  }
  fastify.decorateReply('then', then as never)
}
