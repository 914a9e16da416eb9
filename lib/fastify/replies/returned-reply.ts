/**
 * Tells when a handler returns its reply. Such a handler answers later by `reply.send`, perhaps after its client has left.
 *
 * Invariant: `returned` is called first; then Fastify's own `then` runs, unchanged.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { methodBelow } from '../internals.js'

type Then = FastifyReply['then']

/** @param returned called before Fastify waits for the reply */
export function noteReturnedReplies (fastify: FastifyInstance, returned: (reply: FastifyReply) => void): void {
  const then: Then = function (this: FastifyReply, fulfilled, rejected) {
    returned(this)
    methodBelow(this, 'then', then).call(this, fulfilled, rejected)
  }
  fastify.decorateReply('then', then as never)
}
