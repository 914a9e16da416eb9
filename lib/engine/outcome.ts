/**
 * The outcome of a participant, and who is told of it.
 *
 * Invariant: each participant has one outcome, reported once. Leaders and bypasses have not waited for anybody.
 */
import type { Clock, Outcome } from '../../types/index.js'
import type { Observer } from '../observers/observer.js'
import { detailOf, type Detail, type Reason } from '../reasons.js'
import type { Cached } from './cache/lookup.js'
import type { Participant } from './participant.js'

export class Outcomes {
  readonly #clock: Clock
  readonly #observer: Observer

  constructor (clock: Clock, observer: Observer) {
    this.#clock = clock
    this.#observer = observer
  }

  /** @param more what a reason says besides; of `unshareable` the participant knows it */
  report (participant: Participant<unknown>, outcome: Outcome, reason: Reason, more?: Detail): void {
    if (participant.outcome !== undefined) return
    // What answers in the place of a refused run is nobody's run.
    if (participant.refusal !== undefined) [outcome, reason, more] = ['shed', 'fallback', undefined]
    const { unshareableFor } = participant
    const detail = reason === 'unshareable' && unshareableFor !== undefined ? detailOf(unshareableFor) : more
    participant.outcome = outcome
    participant.outcomeReason = reason
    if (detail !== undefined) participant.outcomeDetail = detail
    participant.company?.leave()
    const { waitedBefore, waitingSince } = participant
    const waits = outcome !== 'leader' && outcome !== 'bypass'
    this.#observer.settled(participant, outcome, reason, waits ? waitedBefore + this.#clock.now() - waitingSince : 0, detail)
  }
}

export function outcomeOf ({ reason }: Cached<unknown>): 'hit' | 'stale' {
  return reason === 'fresh' ? 'hit' : 'stale'
}
