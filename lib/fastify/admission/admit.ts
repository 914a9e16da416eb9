/**
 * Admission: lets a request board, or not.
 *
 * Invariant: a request that may not join bypasses, with a reason. One that is made to be explained never boards.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { NO_PROTECTION } from '../../protection/permits.js'
import { RefreshError } from '../../errors.js'
import { NO_REQUEST_DIRECTIVES, requestDirectives } from '../../http/request-directives.js'
import type { BypassReason, Detail } from '../../reasons.js'
import { quiet } from '../../observers/warn.js'
import { type RefreshRun, refreshOf } from '../cache/refresh-request.js'
import { endHookReads } from '../dependencies/hook-reads.js'
import { inquiryOf } from '../explain/inquiry.js'
import { show } from '../explain/show.js'
import { Bypass, setParticipant, setStandIn } from '../request/view.js'
import { noteOverlap } from './overlap.js'
import { isObserved, keyOfObserved, observe, OBSERVED } from './observe.js'
import { serveAtOnce } from './serve-at-once.js'
import { RequestParticipant } from '../request/participant.js'
import type { CoalescedRoute } from '../request/route.js'
import { VerifiedRequest } from '../request/verified-request.js'
import { keyOrRefusal } from './question.js'

/** Asks whether a request may board, and lets it. Undefined: it bypasses; null: it is answered. */
export function admit (route: CoalescedRoute, request: FastifyRequest, reply: FastifyReply): RequestParticipant | undefined | null {
  const { requests } = route
  // It turns out now whether it leads.
  endHookReads(request)
  const run = refreshOf(request)
  const demands = route.settings.respectRequestCacheControl ? requestDirectives(request.headers) : undefined
  const observes = route.observed?.mode === 'observe'
  const key = observes ? keyOfObserved(route, request, demands) : keyOrRefusal(route, request, demands)
  const onlyObserves = observes && isObserved(key)
  const inquiry = inquiryOf(request)
  if (inquiry !== undefined) {
    show(inquiry, { route, request, reply, demands }, key, onlyObserves ? OBSERVED : key)
    return null
  }
  if (typeof key !== 'string') {
    const { detail, error, got, reason } = key
    if (got !== undefined && !route.warned.has(reason)) {
      route.warned.add(reason)
      quiet(request.log, requests.silenced).warn({ coalesce: { event: reason, route: route.url, got } },
        `coalesce: what the ${nameOf(reason)} function of the route answers is ${got} and so no key, and its requests run by themselves; give a string, number, bigint or boolean`)
    }
    if (run !== undefined) return turnAway(run, reply, `it may not board, because of ${reason}`, error)
    if (error !== undefined && !route.warned.has(reason)) {
      route.warned.add(reason)
      quiet(request.log, requests.silenced).warn({ err: error, coalesce: { event: reason, route: route.url } },
        `coalesce: the ${nameOf(reason)} function of the route throws, and such requests run by themselves (fastify-coalesce/docs/why-is-nothing-shared.md#${reason})`)
    }
    if (onlyObserves) return observe(route, request, reply, key)
    if (route.tally.watch !== undefined) noteOverlap(route, request, reply, reason, detail)
    if (route.protection !== NO_PROTECTION) return passBy(route, request, reply, reason, detail)
    setStandIn(request, new Bypass(route, reason, detail))
    const { id, log } = request
    requests.conductor.bypass({ id, log, request, tally: route.tally, leaderId: id, leaderRequest: request }, reason, detail)
    return undefined
  }
  if (onlyObserves) return observe(route, request, reply, key)
  const isPlain = (demands === undefined || demands === NO_REQUEST_DIRECTIVES) && run === undefined
  if (isPlain && route.hasFastLane && route.cache.stores && serveAtOnce(route, request, reply, key)) return null
  const Participant = route.observed === undefined ? RequestParticipant : VerifiedRequest
  const participant = new Participant(route, reply)
  if (demands !== undefined) participant.directives = demands
  if (run !== undefined && !takesRefresh(participant, run, key)) {
    return turnAway(run, reply, 'it has another key than its client, which is made of what it does not carry')
  }
  setParticipant(request, participant)
  participant.runsNow = run !== undefined || requests.conductor.arrive(participant, key)
  if (participant.runsNow) participant.begin()
  return participant
}

function nameOf (fault: BypassReason): 'key' | 'identity' {
  return fault === 'no-key' || fault === 'key-threw' ? 'key' : 'identity'
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

/** One that does not board runs for itself, once protection lets it. */
function passBy (
  route: CoalescedRoute, request: FastifyRequest, reply: FastifyReply, reason: BypassReason, detail: Detail | undefined
): RequestParticipant {
  const participant = new RequestParticipant(route, reply)
  participant.bypasses = true
  setParticipant(request, participant)
  participant.runsNow = route.requests.conductor.passBy(participant, reason, detail)
  if (participant.runsNow) participant.begin()
  return participant
}
