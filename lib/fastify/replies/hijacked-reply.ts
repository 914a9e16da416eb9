/**
 * Handlers that take the response into their own hands: no hook tells how it ends.
 *
 * Invariant: a reply is hijacked just as Fastify has it; that it is hijacked is noted.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { methodBelow } from '../internals.js'

type Hijack = FastifyReply['hijack']

export function noteHijackedReplies (fastify: FastifyInstance, hijacked: (reply: FastifyReply) => void): void {
  const hijack: Hijack = function (this: FastifyReply) {
    methodBelow(this, 'hijack', hijack).call(this)
    hijacked(this)
    return this
  }
  fastify.decorateReply('hijack', hijack as never)
}
