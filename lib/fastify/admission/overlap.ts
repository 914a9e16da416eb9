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
  const names = (): Iterable<string> => detail?.cause === 'cookie'
    ? cookiePairs(String(request.headers.cookie)).map(([name]) => name).filter(name => !settings.cookies.key.includes(name))
    : detail?.names ?? []
  const left = tally.watch.bypassed(request.log, reason, detail, names, `${request.method} ${request.url}`)
  if (left !== undefined) onClose(reply, left)
}
