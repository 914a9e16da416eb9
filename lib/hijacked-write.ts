/**
 * Requests with an unsafe method whose handler takes the response into its own hands: no hook tells how they end.
 *
 * Invariant: a reply is hijacked just as Fastify has it. As soon as its headers leave, whatever they say, it counts as a write.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { endHookReads } from './hook-reads.js'
import { methodBelow } from './internals.js'
import { onHeaders } from './payload.js'

type Hijack = FastifyReply['hijack']

/** @param wrote told of each reply, before its headers leave */
export function noteHijackedWrites (
  fastify: FastifyInstance, isWrite: (method: string) => boolean, wrote: (reply: FastifyReply) => void
): void {
  const hijack: Hijack = function (this: FastifyReply) {
    endHookReads(this.request)
    if (isWrite(this.request.method)) onHeaders(this, () => { wrote(this) })
    return methodBelow(this, 'hijack', hijack).call(this)
  }
  fastify.decorateReply('hijack', hijack as never)
}
