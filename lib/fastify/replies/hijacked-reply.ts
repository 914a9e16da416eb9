/**
 * Tells when a handler hijacks its reply. Fastify then runs no `onSend` hook for it.
 *
 * Invariant: Fastify's own `hijack` runs first, unchanged; then `hijacked` is called.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { methodBelow } from '../internals.js'

type Hijack = FastifyReply['hijack']

/** @param hijacked called after Fastify has marked the reply as hijacked */
export function noteHijackedReplies (fastify: FastifyInstance, hijacked: (reply: FastifyReply) => void): void {
  const hijack: Hijack = function (this: FastifyReply) {
    methodBelow(this, 'hijack', hijack).call(this)
    hijacked(this)
    return this
  }
  fastify.decorateReply('hijack', hijack as never)
}
