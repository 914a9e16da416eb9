/**
 * The outcome of a participant, and who is told of it.
 *
 * Invariant: each participant has one outcome, reported once. Leaders and bypasses have not waited for anybody.
 */
import type { Clock, Outcome } from '../../types/index.js'
import type { Observer } from '../observers/observer.js'
import type { Cached } from './cache/lookup.js'
import type { Participant } from './participant.js'

export class Outcomes {
  readonly #clock: Clock
  readonly #observer: Observer

  constructor (clock: Clock, observer: Observer) {
    this.#clock = clock
    this.#observer = observer
  }

  report (participant: Participant<unknown>, outcome: Outcome, reason: string): void {
    participant.outcome = outcome
    participant.outcomeReason = reason
    const { waitedBefore, waitingSince } = participant
    const waits = outcome !== 'leader' && outcome !== 'bypass'
    this.#observer.settled(participant, outcome, reason, waits ? waitedBefore + this.#clock.now() - waitingSince : 0)
  }
}

export function outcomeOf ({ reason }: Cached<unknown>): 'hit' | 'stale' {
  return reason === 'fresh' ? 'hit' : 'stale'
}
