/**
 * Handlers that return their reply: they will answer later, by `reply.send`, and may do so after their client has left.
 *
 * Invariant: the caller is told first; then Fastify's own `then` runs, unchanged.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { methodBelow } from '../internals.js'

type Then = FastifyReply['then']

/** @param returned told before Fastify waits for a reply */
export function noteReturnedReplies (fastify: FastifyInstance, returned: (reply: FastifyReply) => void): void {
  const then: Then = function (this: FastifyReply, fulfilled, rejected) {
    returned(this)
    methodBelow(this, 'then', then).call(this, fulfilled, rejected)
  }
  fastify.decorateReply('then', then as never)
}
