/**
 * What becomes of a participant whose client has left, or was answered by something past the engine.
 *
 * Invariant: it is off its flight, its place and its turn; nobody who waits for its run loses that.
 */
import type { Outcomes } from './outcome.js'
import type { Participant } from './participant.js'
import { ANSWERED } from './role.js'
import { leavePlace } from './solo.js'

export type LeaveReason = 'client-left' | 'answered-elsewhere'

/** @param abandon gives its flight, if it leads one, another leader */
export function leave<R> (participant: Participant<R>, reason: LeaveReason, outcomes: Pick<Outcomes, 'report'>, abandon: () => void): void {
  const { flight, role } = participant
  switch (role.type) {
    case 'follower':
    case 'awaiting-store':
      participant.role = ANSWERED
      outcomes.report(participant, 'follower', reason)
      flight?.leave(participant)
      return
    case 'preparing':
    case 'leader':
      if (reason === 'client-left') {
        flight?.leave(participant)
        return
      }
      abandon()
      leavePlace(participant)
      participant.role = ANSWERED
      return
    case 'stranded':
      leavePlace(participant)
      participant.role = ANSWERED
      return
    case 'queued':
      leavePlace(participant)
      participant.role = ANSWERED
      if (role.until.type === 'alone') role.until.finished()
      if (role.as?.outcome === 'bypass') outcomes.report(participant, 'bypass', role.as.reason, role.as.detail)
      else outcomes.report(participant, 'follower', reason)
      return
    case 'alone':
      role.finished()
      outcomes.report(participant, 'follower', reason)
      participant.role = ANSWERED
  }
}
