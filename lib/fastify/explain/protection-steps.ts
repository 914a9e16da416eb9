/**
 * What a run has to pass before it takes off, in words: the circuit breaker, and the queue.
 *
 * Invariant: it decides nothing: it tells what protection has said, and what answers in the place of a run that is refused. Nothing that
 * `by` answers is in it.
 */
import type { CircuitBreaker, ExplainedStep, RunQueue } from '../../../types/index.js'
import { LOCAL, type Coordinator } from '../../engine/coordinators/coordinator.js'
import type { Foreseen } from '../../engine/foresight.js'
import type { Recording } from '../../http/recording.js'
import { REASONS } from '../../reasons.js'
import type { RequestScout } from './scout.js'
import { decides, goesOn, inWords } from './words.js'

/** Whether the run of a request is refused, whatever answers it instead. */
export function isRefused ({ outcome, reason }: Pick<Foreseen, 'outcome' | 'reason'>): boolean {
  return reason !== undefined && (outcome === 'shed' || (outcome === 'stale' && REASONS.shed.includes(reason)))
}

/** The steps of a run that passes protection, or is refused by it. Undefined: there is no such protection, or it comes to none. */
export interface ProtectionSteps {
  readonly breaker: ExplainedStep | undefined
  readonly queue: ExplainedStep | undefined
}

export function protectionSteps (
  scout: RequestScout, foreseen: Pick<Foreseen, 'outcome' | 'reason'>, coordinator: Coordinator<Recording>
): ProtectionSteps {
  const { permission, route: { breaker, queue } } = scout
  const instead = insteadOf(scout, foreseen, coordinator)
  const refused = isRefused(foreseen)
  const byQueue = permission !== undefined && typeof permission !== 'string' && permission.reason === 'queue-full'
  return {
    breaker: breaker === undefined ? undefined : breakerStep(breaker, scout, refused && !byQueue, instead),
    queue: queue === undefined || (refused && !byQueue)
      ? undefined
      : byQueue
        ? decides('queue', `the queue ${queue.name} is full: ${queue.waiting} runs wait, none of them less urgent than this one (${levelOf(queue, scout)}); ${instead}`)
        : goesOn('queue', queueText(queue, scout))
  }
}

/** How a run that passes waits for a slot; nothing if it does not. */
export function waitText (scout: RequestScout): string {
  const { permission, route: { queue } } = scout
  return queue !== undefined && permission === 'waits' ? `; ${queueText(queue, scout)}` : ''
}

function breakerStep (
  { name }: CircuitBreaker, { permission, protection, subject }: RequestScout, refuses: boolean, instead: string
): ExplainedStep {
  if (!refuses) {
    return goesOn('breaker', protection.wouldProbe(subject)
      ? `the circuit breaker ${name} is half open: this run tries whether it can be closed`
      : `the circuit breaker ${name} is closed`)
  }
  if (permission === undefined || typeof permission === 'string') {
    return decides('breaker', `the circuit breaker ${name} is half open, and a refresh in the background tries whether it can be closed; ${instead}`)
  }
  return decides('breaker', permission.reason === 'breaker-probing'
    ? `the circuit breaker ${name} is half open, and another run tries whether it can be closed; ${instead}`
    : `the circuit breaker ${name} is open, and lets no run begin for about ${inWords(permission.retryAfter)} more; ${instead}`)
}

function queueText (queue: RunQueue, scout: RequestScout): string {
  const { limit, name, running, waiting } = queue
  return scout.permission === 'waits'
    ? `its run waits for a slot of the queue ${name}: ${running} of at most ${limit} are under way, and ${waiting} wait already; its level is ${levelOf(queue, scout)}`
    : `the queue ${name} has a slot for it: ${running} of at most ${limit} are under way`
}

function levelOf ({ levels }: RunQueue, { level }: RequestScout): string {
  return String(levels[level])
}

function insteadOf ({ alone, refusal }: RequestScout, { outcome }: Pick<Foreseen, 'outcome'>, coordinator: Coordinator<Recording>): string {
  if (outcome === 'stale') return 'what is cached is served, though it is not fresh any more'
  const text = refusal === undefined ? 'it is answered 503' : 'the fallback of the route answers'
  return coordinator === LOCAL || alone !== undefined ? text : `${text}, unless another process runs for this key: then it waits for that`
}
