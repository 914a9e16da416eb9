/**
 * Hooks of others that run while a run goes on: because its client has left.
 *
 * Invariant: what they look at is for logs, and neither the handler's doing nor that of a stream that flows to others. That holds
 * as far as they do it at once: what they look at after a wait cannot be told apart, and counts.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { dropHook, dropLoneHook, prependHook, unbound } from './internals.js'
import { visitOf } from './request-visit.js'

/** Goes on to hooks whose looks do not count. */
export function goOnApart (request: FastifyRequest, done: () => void): void {
  const reads = visitOf(request)?.reads
  if (reads === undefined) done()
  else reads.apart(done)
}

function onRequestAbort (request: FastifyRequest, done: () => void): void {
  goOnApart(request, done)
}

unbound(onRequestAbort)

/** Comes before all such hooks of an instance's routes. */
export function precedePartingHooks (fastify: FastifyInstance): void {
  prependHook(fastify, 'onRequestAbort', onRequestAbort)
}

/** Leaves the route of a request alone that is not coalesced, or has no such hooks of others: each costs its requests a listener. */
export function leaveIdle (request: FastifyRequest, coalesced: boolean): void {
  const drop = coalesced ? dropLoneHook : dropHook
  drop(request, 'onRequestAbort', onRequestAbort)
}
