/**
 * Admission for show: what would happen to a request is told in the place of letting it board.
 *
 * Invariant: it is told what admission has found, and asks the engine for the rest. It changes nothing.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ExplainedEntry, Explanation, KeptEntry } from '../../../types/index.js'
import type { Found } from '../../engine/cache/guarded-store.js'
import { foresee, foreseeAlone } from '../../engine/foresight.js'
import { partsOf } from '../../http/explained-key.js'
import { NO_REQUEST_DIRECTIVES, type RequestDirectives } from '../../http/request-directives.js'
import type { BypassReason, Detail } from '../../reasons.js'
import { inventory } from '../cache/inventory.js'
import type { CoalescedRoute } from '../request/route.js'
import type { Inquiry } from './inquiry.js'
import { outsideOf, variantOf } from './outside.js'
import { RequestScout } from './scout.js'
import { stepsOf, stepsOfRefused } from './steps.js'

/** A request that has come as far as admission. */
export interface Shown {
  readonly route: CoalescedRoute
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** What it asks of a cache, on routes that heed that. */
  readonly demands: RequestDirectives | undefined
}

/** Why a request does not board. */
interface Refusal {
  readonly reason: BypassReason
  readonly detail: Detail | undefined
}

/**
 * Answers a request that is made only to be explained.
 *
 * @param key its key, or why it has none
 * @param answer the same, or why it does not board although it has a key
 */
export function show (inquiry: Inquiry, shown: Shown, key: string | Refusal, answer: string | Refusal): void {
  const { demands, reply, request, route } = shown
  const scout = new RequestScout(route, reply, demands ?? NO_REQUEST_DIRECTIVES)
  const end = (): void => { reply.code(204).send() }
  inquiry.admitted = true
  if (typeof answer === 'string') {
    tellKey(inquiry, scout, answer).then(end, end)
    return
  }
  const { reason, detail } = answer
  const foreseen = foreseeAlone(scout, reason, detail, route.requests.conductor)
  inquiry.tell(summed({
    steps: stepsOfRefused(scout, foreseen, reason, detail),
    outcome: foreseen.outcome,
    reason: foreseen.reason,
    cause: foreseen.detail?.cause,
    key: typeof key === 'string' ? partsToTell(inquiry, key, route) : undefined,
    outside: outsideOf(request, route.settings, [])
  }))
  end()
}

async function tellKey (inquiry: Inquiry, scout: RequestScout, key: string): Promise<void> {
  const { request, requests, route } = scout
  const { settings } = route
  const foreseen = await foresee(scout, key, requests.conductor)
  const { coordinator } = requests
  const steps = stepsOf(scout, foreseen, coordinator)
  const { detail, flight, names, outcome, reason, unshareableFor } = foreseen
  inquiry.tell(summed({
    steps,
    outcome,
    reason,
    cause: detail?.cause,
    key: partsToTell(inquiry, key, route),
    outside: outsideOf(request, settings, names),
    variant: variantOf(names, route.learned.all, inquiry.values ? name => scout.value(name) : undefined),
    unshareable: unshareableFor === undefined ? undefined : { cause: String(scout.unshareableFor), remaining: unshareableFor },
    flight,
    coordinator: steps.some(({ step }) => step === 'coordinator') ? { isDown: coordinator.isDown } : undefined,
    cached: scout.found === undefined ? undefined : entryOf(scout.found, requests.guarded.now())
  }))
}

function partsToTell ({ values }: Inquiry, key: string, { settings }: CoalescedRoute): Explanation['key'] {
  return partsOf(key, settings).map(({ value, ...part }) => values ? { ...part, value } : part)
}

function summed (told: Partial<Explanation> & Pick<Explanation, 'steps' | 'outcome' | 'reason' | 'cause'>): Partial<Explanation> {
  const { cause, outcome, reason, steps } = told
  const name = [outcome, reason, cause].filter(part => part !== undefined).join('/')
  return { ...told, summary: `${name}: ${String(steps.at(-1)?.text)}` }
}

function entryOf (found: Found, now: number): ExplainedEntry {
  const { entry } = found
  const [{ status, bytes, tags, age, fresh }] = inventory([found], false, now) as [KeptEntry]
  const { staleIfError, staleWhileRevalidate } = entry
  return { status, bytes, tags, age, fresh, staleWhileRevalidate, staleIfError }
}
