/**
 * Handlers that hijack their reply: no hook tells how it ends.
 *
 * Invariant: Fastify's own `hijack` runs first, unchanged; then the caller is told.
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
