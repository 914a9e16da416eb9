/**
 * Admission: may a request join, and under which key?
 *
 * Invariant: a request that may not join bypasses, with a reason; one whose key cannot be made is never given a shared one.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { RefreshError } from '../../errors.js'
import { buildKey } from '../../http/key.js'
import { joinReason, uncoveredCredential } from '../../http/policy.js'
import { requestDirectives } from '../../http/request-directives.js'
import { credentialDetail, type BypassReason, type Detail } from '../../reasons.js'
import { quiet } from '../../observers/warn.js'
import { type RefreshRun, refreshOf } from '../cache/refresh-request.js'
import { endHookReads } from '../dependencies/hook-reads.js'
import { replacedByHooks } from '../dependencies/replaced-by-hooks.js'
import { narrow } from '../dependencies/narrowing.js'
import { Bypass, setParticipant } from '../request/view.js'
import { noteOverlap } from './overlap.js'
import { RequestParticipant } from '../request/participant.js'
import type { Requests } from '../request/requests.js'
import type { CoalescedRoute } from '../request/route.js'

/** Asks whether a request may board, and lets it. Undefined: it bypasses; null: it is answered. */
export function admit (
  requests: Requests, route: CoalescedRoute, request: FastifyRequest, reply: FastifyReply
): RequestParticipant | undefined | null {
  // It turns out now whether it leads.
  endHookReads(request)
  const run = refreshOf(request)
  const demands = route.settings.respectRequestCacheControl ? requestDirectives(request.headers) : undefined
  const told = narrow(request, route.settings)
  const replaced = replacedByHooks(request, route.settings)
  const reason = requests.conductor.disabled || route.disabled
    ? 'disabled'
    : joinReason(request as never, route.settings) ??
      (route.settings.identity === undefined && replaced.credential !== undefined ? 'credentials' : demands?.noStore === true ? 'request-no-store' : undefined)
  if (reason !== undefined) {
    if (run !== undefined) return turnAway(run, reply, `it may not board, because of ${reason}`)
    const detail = reason === 'credentials'
      ? credentialDetail(uncoveredCredential(request.headers, route.settings) ?? replaced.credential)
      : undefined
    bypass(requests, route, request, reply, reason, detail)
    return undefined
  }
  const isTold = told !== undefined && route.settings.key === undefined
  const key = buildKey(route.keyHead, request, route.settings, isTold ? JSON.stringify([replaced.text ?? null, told]) : replaced.text)
  if (typeof key !== 'string') {
    const { fault, error, got } = key
    if (got !== undefined && !route.warned.has(fault)) {
      route.warned.add(fault)
      const name = fault === 'no-key' ? 'key' : 'identity'
      quiet(request.log, requests.silenced).warn({ coalesce: { event: fault, route: route.url, got } },
        `coalesce: what the ${name} function of the route answers is ${got} and so no key, and its requests run by themselves; give a string, number, bigint or boolean`)
    }
    if (run !== undefined) return turnAway(run, reply, `it may not board, because of ${fault}`, error)
    if (error !== undefined) quiet(request.log, requests.silenced).warn({ err: error, coalesce: { event: fault, route: route.url } }, `coalesce: ${fault}`)
    bypass(requests, route, request, reply, fault, undefined)
    return undefined
  }
  const participant = new RequestParticipant(requests, route, request, reply)
  if (demands !== undefined) participant.directives = demands
  if (run !== undefined && !takesRefresh(participant, run, key)) {
    return turnAway(run, reply, 'it has another key than its client, which is made of what it does not carry')
  }
  setParticipant(request, participant)
  participant.runsNow = run !== undefined || requests.conductor.arrive(participant, key)
  if (participant.runsNow) participant.begin()
  return participant
}

/** A refresh that can bring nothing: nobody needs its handler's answer. */
function turnAway ({ refresh }: RefreshRun, reply: FastifyReply, why: string, error?: unknown): null {
  refresh.error ??= error ?? new RefreshError(why)
  reply.code(204).send()
  return null
}

function takesRefresh (participant: RequestParticipant, run: RefreshRun, key: string): boolean {
  const { conductor } = participant
  const { refresh } = run
  if (refresh.over || !conductor.takeRefresh(participant, refresh, key)) return false
  run.taken = true
  refresh.onCancel(error => {
    // What comes later is nobody's, and a stream that has no end would be read for ever.
    conductor.retire(participant)
    participant.cancel(error)
  })
  return true
}

function bypass (
  requests: Requests, route: CoalescedRoute, request: FastifyRequest, reply: FastifyReply, reason: BypassReason, detail: Detail | undefined
): void {
  setParticipant(request, new Bypass(route, reason, detail))
  if (route.tally.watch !== undefined) noteOverlap(route, request, reply, reason, detail)
  requests.conductor.bypass({ id: request.id, log: request.log, tally: route.tally, leaderId: request.id }, reason, detail)
}
