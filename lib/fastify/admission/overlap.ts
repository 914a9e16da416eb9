/**
 * Tells a route's watch of requests that bypass: which of them come while an identical one is being answered.
 *
 * Invariant: only while there is a watch. Of cookies the names are told that the key does not cover, and of nothing the value.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { cookiePairs } from '../../http/cookies.js'
import type { BypassReason, Detail } from '../../reasons.js'
import { onClose } from '../replies/queued-reply.js'
import type { CoalescedRoute } from '../request/route.js'

export function noteOverlap (
  { settings, tally, warned }: CoalescedRoute, request: FastifyRequest, reply: FastifyReply,
  reason: BypassReason, detail: Detail | undefined
): void {
  // What the function answers was warned of already.
  if (tally.watch === undefined || warned.has(reason)) return
  const names = (): Iterable<string> => namesOf(settings, request, detail)
  const left = tally.watch.bypassed(request.log, reason, detail, names, `${request.method} ${request.url}`)
  if (left !== undefined) onClose(reply, left)
}

/** What a detail is of: of cookies those that count, which neither the key covers nor the route ignores. */
export function namesOf (
  { cookies: { ignores, key } }: CoalescedRoute['settings'], { headers }: FastifyRequest, detail: Detail | undefined
): readonly string[] {
  if (detail?.cause !== 'cookie') return detail?.names ?? []
  return cookiePairs(String(headers.cookie)).map(([name]) => name).filter(name => !key.includes(name) && ignores?.(name) !== true)
}
