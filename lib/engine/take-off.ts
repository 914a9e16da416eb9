/**
 * From the place of a leader to its run: which process leads its key, and whether protection lets it take off. In this order, because who
 * waits for another process needs no place among those that run.
 *
 * Invariant: while a leader waits for an answer, its flight may end. The leader is then stranded, and runs for its own client; what it
 * had asked for is given up.
 */
import { NobodyWaitsError } from '../errors.js'
import { EVERY_FLIGHT, LEADS, LOCAL, type Claim, type Claiming, type Peer } from './coordinators/coordinator.js'
import { NO_LEASE } from './coordinators/lease.js'
import { PeerLeader } from './peer-leader.js'
import type { Flight } from './flights/flight.js'
import type { Participant } from './participant.js'
import type { Arrivals, Parts } from './parts.js'
import { GRANTED, type Permission } from './protection/protection.js'
import { ANSWERED, AWAITING_STORE, FOLLOWER, LANDED, NEW, type Preparing } from './role.js'

export class TakeOffs<R> {
  readonly #parts: Parts<R>
  readonly #arrivals: Arrivals<R>

  constructor (parts: Parts<R>, arrivals: Arrivals<R>) {
    this.#parts = parts
    this.#arrivals = arrivals
  }

  /** Starts the run of a leader, if no other process leads its key, and protection lets it. */
  begin (leader: Participant<R>, claim = this.claim(leader)): 'run' | 'park' {
    if (claim === LEADS) return this.#ask(leader)
    return this.wait<Claim<R>>(leader, claim, LEADS, later => { this.#claimed(leader, later) }, giveUp)
  }

  /** Asks which process leads the key of a leader. */
  claim (leader: Participant<R>): Claim<R> | Promise<Claim<R>> {
    const { coordinator } = leader
    return coordinator === LOCAL ? LEADS : coordinator.claim(claimingOf(leader))
  }

  #claimed (leader: Participant<R>, claim: Claim<R>): void {
    switch (claim.type) {
      case 'leads':
        leader.lease = claim.lease
        if (this.#ask(leader) === 'run') leader.run()
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
    leader.leaderId = undefined
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
        this.#arrivals.runSolo(participant, 'no-flight')
        participant.run()
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

  /** Asks protection whether the run of a leader takes off. */
  #ask (leader: Participant<R>): 'run' | 'park' {
    const permission = this.#parts.protection.ask(leader)
    if (permission !== GRANTED) return this.wait<Permission>(leader, permission, GRANTED, later => { this.#permitted(leader, later) })
    this.start(leader)
    return 'run'
  }

  #permitted (leader: Participant<R>, permission: Permission): void {
    if (permission.type === 'refused') {
      this.#arrivals.landRefused(leader, permission)
      return
    }
    this.start(leader)
    leader.run()
  }

  /** A leader's run begins. */
  start (leader: Participant<R>): void {
    leader.role = { type: 'leader', startedAt: leader.cache.stamp() }
    leader.company = this.#parts.variants.companyOf(leader.key)
    leader.tally.runs++
    this.#parts.observer.started(leader)
  }

  /** Has a leader wait for an answer; `otherwise` stands for one that fails. `late`: its flight has ended before. */
  wait<T> (leader: Participant<R>, asked: T | Promise<T>, otherwise: T, answered: (answer: T) => void, late: (answer: T) => void = () => {}): 'park' {
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
      if (leader.role.type === 'stranded') this.#runStranded(leader)
    }
    Promise.resolve(asked).then(go, () => { go(otherwise) })
    return 'park'
  }

  /** The leader has lost its flight, but its own client still waits for it. */
  #runStranded (leader: Participant<R>): void {
    leader.role = LANDED
    if (leader.gone) {
      leader.cancel(new NobodyWaitsError())
      return
    }
    leader.tally.runs++
    leader.run()
  }
}

/** What a participant asks the coordinator for. */
function claimingOf<R> ({ boardedKey, flight, flightTimeout, labels }: Participant<R>): Claiming {
  return { key: flight?.key ?? boardedKey, labels: [...labels, EVERY_FLIGHT], leadsFor: flightTimeout }
}

/** Nobody needs a claim any more. */
export function giveUp<R> (claim: Claim<R> | Promise<Claim<R>>): void {
  if (claim === LEADS) return
  Promise.resolve(claim).then(given => {
    if (given.type === 'leads') given.lease.release()
    else if (given.type === 'follows') given.peer.leave()
  }, () => {})
}
