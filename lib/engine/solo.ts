/**
 * Runs beside flights: of those that do not board, find no place, run alone, or have lost the flight that they led. Each passes protection
 * by itself.
 *
 * Invariant: whoever comes here runs once, or is answered in the place of its run. While it waits for a permit its role is `queued`, and only
 * with that role it takes what it is given.
 */
import { NobodyWaitsError } from '../errors.js'
import type { Participant } from './participant.js'
import type { Arrivals, Parts } from './parts.js'
import { giveBack, NO_PROTECTION, type Permission, type Refusal } from '../protection/permits.js'
import { type Alone, LANDED, type Queued, type ServedAs } from './role.js'

/** Nobody waits for its turn. */
const VERIFIES: Alone = Object.freeze({ type: 'alone', finished () {} })

export class Solos<R> {
  readonly #parts: Pick<Parts<R>, 'outcomes'>
  readonly #arrivals: Pick<Arrivals<R>, 'parked'>

  constructor (parts: Pick<Parts<R>, 'outcomes'>, arrivals: Pick<Arrivals<R>, 'parked'>) {
    this.#parts = parts
    this.#arrivals = arrivals
  }

  /** Has one pass protection, and run in a role. `park`: it waits for that, or is answered in another way. */
  pass (participant: Participant<R>, until: Queued['until'], as: ServedAs | undefined): 'run' | 'park' {
    const { protection } = participant
    if (protection === NO_PROTECTION) return this.#begin(participant, until, as)
    const { flightTimeout: runTimeout, level, subject } = participant
    const role: Queued = { type: 'queued', until, as }
    participant.role = role
    const answered = (permission: Permission): void => { this.#later(participant, role, permission) }
    const answer = protection.ask({ level, subject, runTimeout, isRefresh: false, answered })
    if (answer.type !== 'waits') return this.#answered(participant, role, answer)
    participant.place = answer
    return 'park'
  }

  /** Whether one that would be given a result runs for itself instead. */
  verifies (participant: Participant<R>, recording: R): boolean {
    const verifies = participant.verifies(recording)
    if (verifies) this.goOn(participant, this.verify(participant))
    return verifies
  }

  /** Has one run that would be given a result. */
  verify (participant: Participant<R>): 'run' | 'park' {
    participant.runner = participant
    return this.pass(participant, VERIFIES, { outcome: 'alone', reason: 'verified' })
  }

  /** A leader has lost its flight before its run took off. Its own client may still wait. */
  runStranded (leader: Participant<R>, permission?: Permission): void {
    if (leader.gone) {
      giveBack(permission)
      leader.role = LANDED
      leader.cancel(new NobodyWaitsError())
      return
    }
    const place = permission === undefined
      ? this.pass(leader, LANDED, undefined)
      : this.#answered(leader, { type: 'queued', until: LANDED, as: undefined }, permission)
    this.goOn(leader, place)
  }

  /** A leader that has lost its flight, and whose client is gone, waits for no permit any more: nobody does. */
  leaveIfGone (leader: Participant<R>): void {
    if (leader.place === undefined || !leader.gone) return
    leavePlace(leader)
    this.runStranded(leader)
  }

  /** It runs, or can be answered from now on. */
  goOn (participant: Participant<R>, place: 'run' | 'park'): void {
    if (place === 'run') participant.run()
    else this.#arrivals.parked(participant)
  }

  /** It has waited for this. */
  #later (participant: Participant<R>, role: Queued, permission: Permission): void {
    if (participant.role !== role) {
      giveBack(permission)
      return
    }
    participant.place = undefined
    this.goOn(participant, this.#answered(participant, role, permission))
  }

  #answered (participant: Participant<R>, { as, until }: Queued, permission: Permission): 'run' | 'park' {
    if (permission.type === 'refused') return this.#refuse(participant, permission, until)
    participant.permit = permission
    return this.#begin(participant, until, as)
  }

  #begin (participant: Participant<R>, until: Queued['until'], as: ServedAs | undefined): 'run' {
    participant.role = until
    participant.tally.runs++
    if (as !== undefined) this.#parts.outcomes.report(participant, as.outcome, as.reason, as.detail)
    return 'run'
  }

  /** Has something else answer one whose run is refused. `run`: its fallback does. */
  #refuse (participant: Participant<R>, refusal: Refusal, until: Queued['until']): 'run' | 'park' {
    const cached = participant.cache.standIn(participant.missed?.fallback)
    if (cached === undefined && participant.hasFallback) {
      participant.refusal = refusal
      participant.role = until
      this.#parts.outcomes.report(participant, 'shed', 'fallback')
      return 'run'
    }
    if (until.type === 'alone') until.finished()
    participant.role = cached === undefined ? { type: 'refused', refusal } : { type: 'served', cached: { ...cached, reason: refusal.reason } }
    return 'park'
  }
}

/** Nobody needs the run any more that one waits for. */
export function leavePlace (participant: Pick<Participant<unknown>, 'place'>): void {
  participant.place?.leave()
  participant.place = undefined
}
