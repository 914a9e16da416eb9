/**
 * What requests and replies of an app have of ours: `coalesce`, a leader's signal, and getters that notice what is read of a connection.
 *
 * Invariant: for requests that never boarded each getter gives what Fastify's own does.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { hookReadsOf, prepareHookReads } from '../dependencies/hook-reads.js'
import { noteHijackedReplies } from '../replies/hijacked-reply.js'
import { noteReturnedReplies } from '../replies/returned-reply.js'
import { overrideGetter, watchCopies } from './getters.js'
import { noteHijack, noteReturned } from './hooks.js'
import { replyViewOf, viewOf, participantOf } from '../request/view.js'

/** Gives requests their `coalesce`, and a leader the signal of its flight. */
export function decorateRequests (fastify: FastifyInstance): void {
  prepareHookReads(fastify)
  fastify.decorateReply('coalesce', { getter (this: FastifyReply) { return replyViewOf(this.request) } } as never)
  fastify.decorateRequest('coalesce', { getter (this: FastifyRequest) { return viewOf(this) } } as never)
  noteReturnedReplies(fastify, noteReturned)
  noteHijackedReplies(fastify, noteHijack)
  overrideGetter(fastify, 'signal', (request, own: () => AbortSignal) => {
    const participant = participantOf(request)
    return participant?.led === true ? participant.signal(own.call(request)) : own.call(request)
  })
  // Fastify reads it from `socket`, which is watched as well; should it ever read it elsewhere, this one stands.
  overrideGetter(fastify, 'ip', (request, own: () => string) => {
    participantOf(request)?.readAddress()
    return own.call(request)
  })
  // The key covers the protocol, which Fastify reads from the socket.
  let asksProtocol = false
  overrideGetter(fastify, 'protocol', (request, own: () => string) => {
    asksProtocol = true
    try {
      return own.call(request)
    } finally {
      asksProtocol = false
    }
  })
  // Fastify remembers it, and who asks once more does not come by the headers.
  overrideGetter(fastify, 'mediaType', (request, own: () => string | undefined) => {
    participantOf(request)?.reads?.note('content-type')
    return own.call(request)
  })
  watchCopies(fastify, request => participantOf(request)?.reads ?? hookReadsOf(request))
  // What there is to know of the connection of one client is its own, the address first of all.
  overrideGetter(fastify, 'socket', (request, own: () => unknown) => {
    if (!asksProtocol) participantOf(request)?.readSocket()
    return own.call(request)
  })
}
