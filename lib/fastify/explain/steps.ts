/**
 * What is asked of a request, step by step, in words.
 *
 * Invariant: the order is that in which admission and the engine ask. It decides nothing: it is told what decided.
 */
import type { ExplainedStep } from '../../../types/index.js'
import { LOCAL, type Coordinator } from '../../engine/coordinators/coordinator.js'
import type { Foreseen } from '../../engine/foresight.js'
import type { Recording } from '../../http/recording.js'
import type { BypassReason, Detail } from '../../reasons.js'
import { isRefused, protectionSteps, waitText } from './protection-steps.js'
import type { RequestScout } from './scout.js'
import { decides, goesOn, inWords } from './words.js'

/** What is asked before a request boards: the reasons for which it does not, and what is said if it goes on. */
const ASKED: ReadonlyArray<readonly [step: ExplainedStep['step'], against: readonly BypassReason[], ok: string]> = [
  ['enabled', ['disabled', 'observed'], 'coalescing is on'],
  ['method', ['method'], 'it is a method that only reads'],
  ['body', ['request-body'], 'it has no body where there should be none'],
  ['range', ['range'], 'it is not for a part of what another method answers'],
  ['upgrade', ['upgrade'], 'it stays with HTTP'],
  ['method-override', ['method-override'], 'it means the method that it has'],
  ['connection', ['connection-header', 'connection-closed'], 'its connection is open, and names no other fields'],
  ['credentials', ['credentials'], 'it carries no credentials that the key does not cover'],
  ['request-directives', ['request-no-store'], 'it does not say no-store, or is not heard'],
  ['key', ['no-identity', 'identity-threw', 'no-key', 'key-threw', 'body-unknown'], 'it has a key']
]

/** What is told of these in another way. */
type ToldApart = 'credentials' | 'unshareable'
type Told = Exclude<BypassReason, ToldApart> | 'vary'

/** Why a request does not take part, or gets nothing. */
const WHY: Readonly<Record<Told, string>> = {
  disabled: 'app.coalesce.disable() has switched coalescing off, for this route or for all',
  observed: 'the route is observed: nothing of it is shared, and what it is answered is compared with what it would have been given',
  method: 'only GET and HEAD are coalesced, and QUERY and POST with body: true',
  'request-body': 'a GET or HEAD has a body',
  range: 'it is for a part (Range), and no whole response is in the air or cached; or its method is not GET or HEAD',
  upgrade: 'its Upgrade header asks for another protocol',
  'method-override': 'a header says that another method is meant',
  'connection-header': 'its Connection header names other fields',
  'connection-closed': 'its connection is closed, so that who is asking cannot be told any more',
  'request-no-store': 'it says Cache-Control: no-store, and the route has respectRequestCacheControl',
  'no-identity': 'identity answered nothing, or nothing that can be part of a key',
  'identity-threw': 'identity threw an error',
  'no-key': 'key answered nothing, or nothing that can be part of a key',
  'key-threw': 'key threw an error',
  'body-unknown': 'its body cannot be compared: it is too large, or is not what a parser has read whole',
  'only-if-cached': 'it says Cache-Control: only-if-cached, and nothing is cached or in the air that it may have; it gets 504',
  head: 'the response to a HEAD has no body that others could have, and no GET is in the air or cached',
  vary: 'what is cached says again and again that it depends on more',
  'max-flights': 'there are as many runs in the air as maxFlights allows',
  'max-waiters': 'there are as many followers as maxWaiters allows',
  'max-waiters-per-key': 'the run in the air has as many followers as maxWaitersPerKey allows'
}

const ASKED_FIRST = 'the coordinator is asked first whether another process runs for this key: if one does, it waits for that and gets its response (peer)'
const DOWN = 'the coordinator cannot be asked now whether another process runs for this key, and is not waited for'

/** The steps of a request that is not admitted. `foreseen`: what becomes of the run that it has for itself. */
export function stepsOfRefused (
  scout: RequestScout, foreseen: Pick<Foreseen, 'outcome' | 'reason'>, reason: BypassReason, detail: Detail | undefined
): ExplainedStep[] {
  const last = ASKED.findIndex(([, against]) => against.includes(reason))
  const text = detail === undefined ? WHY[reason as Told] : `it carries ${credentialOf(detail)}, which may say who is asking, and the key does not cover that`
  return ASKED.slice(0, last + 1).flatMap(([step, , ok], index) => index < last ? goesOn(step, ok) : alone(scout, foreseen, step, text))
}

/** The steps of a request that is admitted. */
export function stepsOf (scout: RequestScout, foreseen: Foreseen, coordinator: Coordinator<Recording>): ExplainedStep[] {
  return [...ASKED.map(([step, , ok]) => goesOn(step, ok)), ...boarding(scout, foreseen, coordinator)]
}

/** The steps from the one that decides that a request has a run for itself. */
function alone (scout: RequestScout, foreseen: Pick<Foreseen, 'outcome' | 'reason'>, step: ExplainedStep['step'], text: string): ExplainedStep[] {
  if (!isRefused(foreseen)) return [decides(step, text + waitText(scout))]
  return [goesOn(step, text), ...passing(scout, foreseen, LOCAL)]
}

/** What a run has to pass, and the coordinator, which is asked in between if it would lead. */
function passing (
  scout: RequestScout, foreseen: Pick<Foreseen, 'outcome' | 'reason'>, coordinator: Coordinator<Recording>
): ExplainedStep[] {
  const { breaker, queue } = protectionSteps(scout, foreseen, coordinator)
  const asked = coordinator === LOCAL ? undefined : goesOn('coordinator', coordinator.isDown ? DOWN : ASKED_FIRST)
  // Who may have no run leads for nobody.
  const order = breaker?.decides === true ? [breaker] : scout.alone === undefined ? [breaker, asked, queue] : [asked, breaker, queue]
  return order.filter(step => step !== undefined)
}

function boarding (scout: RequestScout, foreseen: Foreseen, coordinator: Coordinator<Recording>): ExplainedStep[] {
  const { flight, names, outcome, unshareableFor } = foreseen
  // Of a run that is refused: why it would have been for itself.
  const reason = isRefused(foreseen) ? scout.alone : foreseen.reason
  const steps = [goesOn('variant', names.length === 0
    ? 'no response of the key is known to depend on anything else'
    : 'responses of the key are known to depend on more')]
  if (unshareableFor !== undefined) {
    const known = `the last response could not be shared (${String(scout.unshareableFor)}), which is remembered for ${inWords(unshareableFor)} more`
    return [...steps, ...alone(scout, foreseen, 'unshareable', reason === 'unshareable' ? known : `${known}; ${WHY[reason as Told]}`)]
  }
  steps.push(goesOn('unshareable', 'it is not remembered as one whose responses cannot be shared'))
  if (outcome === 'follower') {
    const does = foreseen.isQueued ? 'waits for a slot to run' : 'runs'
    return [...steps, decides('flight', `request ${String(flight?.leaderId)} ${does} the handler for this key, and it waits for that`)]
  }
  if (outcome === 'peer') return [...steps, decides('flight', 'another process runs the handler for this key, and it waits for that')]
  steps.push(goesOn('flight', flight === undefined ? 'no run is in the air for this key' : 'a run is in the air for this key'))
  if (outcome === 'hit' || (outcome === 'stale' && !isRefused(foreseen))) return [...steps, decides('cached', `a response is cached, and is served (${String(reason)})`)]
  if (flight === undefined) {
    const text = cachedText(scout)
    if (reason === 'only-if-cached' || reason === 'vary') return [...steps, ...alone(scout, foreseen, 'cached', `${text}; ${WHY[reason]}`)]
    steps.push(goesOn('cached', text))
  }
  if (reason !== undefined && reason !== 'head' && reason !== 'range') return [...steps, ...alone(scout, foreseen, 'limits', WHY[reason as Told])]
  if (reason === undefined) steps.push(goesOn('limits', 'there is room'))
  steps.push(...passing(scout, foreseen, coordinator))
  return isRefused(foreseen) ? steps : [...steps, decides('lead', reason === undefined ? 'it runs the handler, and those who ask meanwhile wait for it' : WHY[reason])]
}

function cachedText ({ found, missed, route }: RequestScout): string {
  if (route.settings.ttl === undefined) return 'nothing is cached: the route has no ttl'
  return found === undefined ? 'nothing is cached for it' : `what is cached is not served (${String(missed?.reason)})`
}

function credentialOf ({ cause, names: [name] }: Detail): string {
  return name ?? `a client's ${cause}`
}
