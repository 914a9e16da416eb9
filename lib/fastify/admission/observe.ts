/**
 * Admission of requests of observed routes: none boards, and each runs for itself, once protection lets it.
 *
 * Invariant: a handler and its hooks see the request as the client sent it.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { RequestDirectives } from '../../http/request-directives.js'
import { asIfTaken } from '../dependencies/ignored-cookies.js'
import { showWhole } from '../dependencies/narrowing.js'
import { ObservedRequest } from '../request/observed-request.js'
import { RequestParticipant } from '../request/participant.js'
import type { CoalescedRoute } from '../request/route.js'
import { setParticipant } from '../request/view.js'
import { namesOf } from './overlap.js'
import { keyOrRefusal, type Refusal } from './question.js'

/** Why it does not board. */
export const OBSERVED: Refusal = Object.freeze<Refusal>({ reason: 'observed', detail: undefined, error: undefined, got: undefined })

/** Whether requests are only observed with this key, or with this reason for having none. */
export function isObserved (answer: string | Refusal): boolean {
  return typeof answer === 'string' || answer.reason !== 'disabled'
}

/** The key of a request of an observed route, without the cookies that the route ignores, or why it would not have boarded. */
export function keyOfObserved (
  route: CoalescedRoute, request: FastifyRequest, demands: RequestDirectives | undefined
): string | Refusal {
  const { setsCookiesAside, settings: { cookies: { ignores } } } = route
  const ask = (): string | Refusal => keyOrRefusal(route, request, demands)
  return setsCookiesAside && ignores !== undefined ? asIfTaken(request, ignores, ask) : ask()
}

/** @param answer its key, or why it would not have boarded */
export function observe (
  route: CoalescedRoute, request: FastifyRequest, reply: FastifyReply, answer: string | Refusal
): RequestParticipant {
  let participant: RequestParticipant
  if (typeof answer === 'string') {
    participant = new ObservedRequest(route, reply, answer)
  } else {
    participant = new RequestParticipant(route, reply)
    participant.bypasses = true
    const { detail, reason } = answer
    route.observed?.count('bypass', reason, detail, () => namesOf(route.settings, request, detail))
  }
  showWhole(request)
  setParticipant(request, participant)
  participant.runsNow = route.requests.conductor.passBy(participant, 'observed')
  if (participant.runsNow) participant.begin()
  return participant
}
