/**
 * From the place of a leader to its run: which process leads its key, and whether protection lets it take off. In this order, because who
 * waits for another process needs no place among those that run.
 *
 * Invariant: while a leader waits for an answer, its flight may end. The leader is then stranded, and runs for its own client; what it
 * had asked for is given up.
 */
import { EVERY_FLIGHT, LEADS, LOCAL, type Claim, type Claiming, type Peer } from './coordinators/coordinator.js'
import { NO_LEASE } from './coordinators/lease.js'
import { PeerLeader } from './peer-leader.js'
import type { Flight } from './flights/flight.js'
import type { Participant } from './participant.js'
import type { Arrivals, Parts } from './parts.js'
import { Passage } from './passage.js'
import { ANSWERED, AWAITING_STORE, FOLLOWER, NEW, type Preparing } from './role.js'
import type { Solos } from './solo.js'

export class TakeOffs<R> {
  readonly #parts: Parts<R>
  readonly #arrivals: Arrivals<R>
  readonly #solos: Solos<R>
  readonly #passage: Passage<R>

  constructor (parts: Parts<R>, arrivals: Arrivals<R>, solos: Solos<R>) {
    this.#parts = parts
    this.#arrivals = arrivals
    this.#solos = solos
    this.#passage = new Passage(parts, solos, (leader, otherwise) => this.#followInstead(leader, otherwise))
  }

  /** Starts the run of a leader, if no other process leads its key, and protection lets it. */
  begin (leader: Participant<R>, claim = this.claim(leader)): 'run' | 'park' {
    if (claim === LEADS) return this.#passage.pass(leader)
    return this.wait<Claim<R>>(leader, claim, LEADS, later => { this.#claimed(leader, later) }, giveUp)
  }

  /** Asks which process leads the key of a leader. One that may not run does not lead for others. */
  claim (leader: Participant<R>): Claim<R> | Promise<Claim<R>> {
    const { coordinator, protection } = leader
    return coordinator === LOCAL || protection.refusalFor(leader.subject) !== undefined ? LEADS : coordinator.claim(claimingOf(leader))
  }

  #claimed (leader: Participant<R>, claim: Claim<R>): void {
    switch (claim.type) {
      case 'leads':
        leader.lease = claim.lease
        this.#solos.goOn(leader, this.#passage.pass(leader))
        return
      case 'follows':
        this.#follow(leader, claim.peer)
        return
      case 'told':
        this.#arrivals.heed(leader, claim.note)
    }
  }

  /** Another process runs for a leader's key: the leader waits as its followers do. */
  #follow (leader: Participant<R>, peer: Peer<R>): void {
    const flight = leader.flight as Flight<R, Participant<R>>
    const standIn = PeerLeader.of(leader, peer)
    const { gone } = leader
    leader.heldFor = 0
    leader.runner = undefined
    leader.role = gone ? ANSWERED : FOLLOWER
    if (gone) this.#parts.outcomes.report(leader, 'follower', 'client-left')
    this.#listen(standIn, peer)
    flight.handOver(leader, standIn, !gone)
    if (!gone) this.#parts.observer.joined(leader, flight.followers, true)
  }

  /** Lets one that may not lead follow a run of another process, if there is one; false if that cannot be. */
  seek (participant: Participant<R>): boolean {
    const { clock, flights } = this.#parts
    const { coordinator } = participant
    // A slow run, such as it has waited for already, is all that there may be.
    if (participant.onlyIfCached || participant.retried || coordinator === LOCAL) return false
    const asked = coordinator.find(claimingOf(participant))
    if (asked === undefined) return false
    participant.role = AWAITING_STORE
    const go = (peer: Peer<R> | undefined): void => {
      if (participant.role !== AWAITING_STORE) {
        peer?.leave()
      } else if (peer === undefined) {
        this.#solos.goOn(participant, this.#arrivals.runSolo(participant, 'no-flight'))
      } else {
        const standIn = PeerLeader.of(participant, peer)
        const { boardedKey } = participant
        const leads = !flights.has(boardedKey) && flights.board(boardedKey, standIn, 0, clock.now()) === 'leader'
        if (leads) this.#listen(standIn, peer)
        else peer.leave()
        participant.role = NEW
        this.#arrivals.boardAgain(participant, undefined)
        standIn.flight?.leave(standIn)
      }
    }
    asked.then(go, () => { go(undefined) })
    return true
  }

  #listen (standIn: Participant<R>, peer: Peer<R>): void {
    peer.follow({
      landed: result => {
        standIn.lease = NO_LEASE
        this.#arrivals.landPeer(standIn, result)
      },
      opened: (result, body) => {
        // Those who read it read on, whoever leads. It is left when nobody does.
        standIn.lease = NO_LEASE
        if (!this.#arrivals.landPeer(standIn, result, body)) body.destroy()
      },
      lost: reason => {
        standIn.lease = NO_LEASE
        this.#arrivals.losePeer(standIn, reason)
      }
    })
  }

  /** The run of a leader is refused here: another process may run for its key. */
  #followInstead (leader: Participant<R>, otherwise: () => void): boolean {
    const { coordinator, lease } = leader
    const asked = coordinator === LOCAL || lease !== NO_LEASE ? undefined : coordinator.find(claimingOf(leader))
    if (asked === undefined) return false
    this.wait<Peer<R> | undefined>(leader, asked, undefined, peer => {
      if (peer === undefined) otherwise()
      else this.#follow(leader, peer)
    }, peer => { peer?.leave() })
    return true
  }

  /** Has a leader wait for an answer; `otherwise` stands for one that fails. `late`: its flight has ended before. */
  wait<T> (leader: Participant<R>, asked: T | Promise<T>, otherwise: T, answered: (answer: T) => void, late: (answer: T) => void): 'park' {
    const role: Preparing = { type: 'preparing' }
    leader.role = role
    const go = (answer: T): void => {
      const { flight } = leader
      if (flight !== undefined) leader.heldFor = this.#parts.clock.now() - flight.since
      if (leader.role === role) {
        answered(answer)
        return
      }
      late(answer)
      if (leader.role.type === 'stranded') this.#solos.runStranded(leader)
    }
    Promise.resolve(asked).then(go, () => { go(otherwise) })
    return 'park'
  }
}

/** What a participant asks the coordinator for. */
function claimingOf<R> ({ boardedKey, flight, flightTimeout, labels, protection: { patience } }: Participant<R>): Claiming {
  return { key: flight?.key ?? boardedKey, labels: [...labels, EVERY_FLIGHT], leadsFor: patience + flightTimeout }
}

/** Nobody needs a claim any more. */
export function giveUp<R> (claim: Claim<R> | Promise<Claim<R>>): void {
  if (claim === LEADS) return
  Promise.resolve(claim).then(given => {
    if (given.type === 'leads') given.lease.release()
    else if (given.type === 'follows') given.peer.leave()
  }, () => {})
}
