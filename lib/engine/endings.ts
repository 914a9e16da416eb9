/**
 * What happens to participants that do not lead, when their flights end.
 *
 * Invariant: `settle` is the one place where the end of a flight turns into an action. (A live stream that is cut off after its first byte
 * is no such end: the front end ends that response.) A participant that may not have a result boards again, at
 * most `MAX_BOARDINGS` times, or runs for itself: a few at a time, so that no flight ends in a stampede.
 */
import type { Readable } from 'node:stream'
import type { LostReason, Outcome } from '../../types/index.js'
import { FlightTimeoutError, NobodyWaitsError, NotKeptError, WaitTimeoutError } from '../errors.js'
import type { Reason } from '../reasons.js'
import { isOfVariant, NO_VARIANT } from '../variant.js'
import type { Cached } from './cache/lookup.js'
import type { PeerResult } from './coordinators/codec.js'
import { LEADS } from './coordinators/coordinator.js'
import type { PeerNote } from './coordinators/lease.js'
import { Departures, MAX_BOARDINGS } from './departures.js'
import type { Flight } from './flights/flight.js'
import type { AbortReason, Ending } from './flights/landing.js'
import type { FlightListener } from './flights/listener.js'
import { openPeer } from './live.js'
import { outcomeOf } from './outcome.js'
import type { Participant } from './participant.js'
import type { Arrivals, Parts, Place } from './parts.js'
import { ANSWERED, LANDED, STRANDED } from './role.js'
import { NO_PERMIT } from '../protection/permits.js'
import { leavePlace, Solos } from './solo.js'

/** After so many promotions whose runs came to nothing elsewhere, who is promoted leads without asking. */
const MOST_ASKED = 1
/** Ends the key of a retry flight. Other keys end in a bracket or a quote. */
const RETRY = ' retry'

const WAITS_FOR_TURN = Object.freeze({ type: 'alone', finished () {} })

type P<R> = Participant<R>
type F<R> = Flight<R, Participant<R>>

export class Endings<R> implements Arrivals<R>, FlightListener<R, P<R>, F<R>> {
  readonly departures: Departures<R>
  readonly solos: Solos<R>
  readonly #parts: Parts<R>

  constructor (parts: Parts<R>) {
    this.#parts = parts
    this.solos = new Solos(parts, this)
    this.departures = new Departures(parts, this, this.solos)
  }

  isAnsweredBy (follower: P<R>, ending: Ending<R>): boolean {
    switch (ending.type) {
      case 'shared':
      case 'failed':
      case 'peer':
        return follower.accepts(ending.recording, false)
      case 'cached':
        return follower.accepts(ending.recording, true)
      case 'unshareable':
        return isOfVariant(follower, ending.variant)
      case 'mismatch':
        return false
      case 'wait-timeout':
        return follower.retried || follower.limits.onWaitTimeout !== 'run'
      default:
        return true
    }
  }

  settle (participant: P<R>, ending: Ending<R>, flight: F<R>): void {
    if (ending.type !== 'wait-timeout' && !this.isAnsweredBy(participant, ending)) {
      this.boardAgain(participant, flight)
      return
    }
    switch (ending.type) {
      case 'shared':
      case 'failed': {
        const leader = flight.leader ?? flight.lastLeader
        if (leader?.refusal === undefined && this.solos.verifies(participant, ending.recording)) return
        participant.runner = leader
        participant.tally.saved += ending.took
        if (leader?.refusal === undefined) this.#give(participant, ending.recording, 'follower', ending.type)
        else this.#give(participant, ending.recording, 'shed', 'fallback')
        return
      }
      case 'peer':
        if (this.solos.verifies(participant, ending.recording)) return
        participant.runner = undefined
        participant.peerId = ending.leaderId
        participant.tally.saveMean()
        this.#give(participant, ending.recording, 'peer', ending.reason)
        return
      case 'cached':
        if (ending.reason !== 'fresh' || !this.solos.verifies(participant, ending.recording)) this.serve(participant, ending)
        return
      case 'unshareable':
      case 'abandoned':
        this.#runAlone(participant, ending.reason as Reason, flight)
        return
      case 'refused':
        this.#refuse(participant, 'shed', ending.reason, ending.error, ending.retryAfter)
        return
      case 'promoted':
        // It asks who leads before whoever led is told of the end: it must not be told to wait for that run.
        flight.lastLeader?.lease.release()
        participant.runner = participant
        this.#inherit(participant, flight)
        this.solos.goOn(participant, this.departures.takeOffs.begin(participant, flight.promotions > MOST_ASKED ? LEADS : undefined))
        return
      case 'wait-timeout':
        this.#waitTimedOut(participant, flight)
    }
  }

  overdue ({ limits, permit }: P<R>): void {
    // Otherwise the next one would be let run before its protection knows.
    if (permit !== NO_PERMIT) permit.tell({ status: undefined, error: new FlightTimeoutError(limits.flightTimeout) })
  }

  aborted (leader: P<R>, reason: AbortReason): void {
    if (leader.role.type === 'peer') {
      leader.cancel(new NobodyWaitsError())
      return
    }
    const { observer, outcomes } = this.#parts
    const timedOut = reason === 'flight-timeout'
    leader.lease.release()
    leader.role = leader.role.type === 'preparing' && leader.place === undefined ? STRANDED : LANDED
    leavePlace(leader)
    if (timedOut) observer.cleanedUp(leader)
    else observer.landed(leader, 'abandoned', 'client-left', 0, undefined)
    outcomes.report(leader, 'leader', timedOut ? 'flight-timeout' : 'client-left')
    leader.cancel(timedOut ? new FlightTimeoutError(leader.limits.flightTimeout) : new NobodyWaitsError())
  }

  outlasted (leader: P<R>): void {
    // Who reads it elsewhere reads on. Without being renewed, its lease ends soon for newcomers.
    if (!leader.lease.isRelayed) leader.lease.release()
  }

  serve (participant: P<R>, cached: Cached<R> | undefined): void {
    if (cached === undefined) {
      this.#refuse(participant, 'bypass', 'only-if-cached', new NotKeptError(), undefined)
      return
    }
    participant.served = cached
    participant.tally.saveMean()
    this.#give(participant, cached.recording, outcomeOf(cached), cached.reason)
  }

  landPeer (standIn: P<R>, result: PeerResult<R>, body?: Readable): boolean {
    const { flight, limits } = standIn
    const { unshareable, variants } = this.#parts
    if (flight === undefined || result.type === 'varies') return false
    if (result.type === 'stays') {
      // Here as well nobody could be given what another process brings.
      flight.promotions = MOST_ASKED
      this.losePeer(standIn, 'released')
    } else if (result.type === 'unshareable') {
      const { reason, remember, variant } = result
      if (remember) unshareable.remember(standIn, variant, reason, limits.unshareableTtl)
      flight.land(standIn, { type: 'unshareable', reason, variant })
    } else if (result.type === 'failed' && limits.onError === 'promote' && flight.promotions === 0) {
      flight.abandon(standIn, 'failed')
    } else if (variants.learn(standIn, result.names, result.type === 'shared')) {
      const { type: reason, recording, leaderId } = result
      if (reason === 'shared') unshareable.forget(standIn)
      const landing = { type: 'peer', recording, leaderId, reason } as const
      if (body !== undefined) {
        const isRead = openPeer(standIn, flight, landing, body, variants)
        if (!isRead) this.losePeer(standIn, 'rejected')
        return isRead
      }
      flight.land(standIn, landing, standIn.sharing(recording))
    } else {
      flight.land(standIn, { type: 'unshareable', reason: 'varies-too-much', variant: NO_VARIANT })
    }
    return false
  }

  losePeer (standIn: P<R>, reason: LostReason): void {
    const { flight } = standIn
    // Whatever becomes of the others, it costs this process one run.
    if (flight?.abandon(standIn, 'peer-lost', false, MOST_ASKED + 1) === true) this.#parts.observer.peerLost(flight.leader ?? standIn, reason)
  }

  heed (leader: P<R>, note: PeerNote['result']): void {
    if (note.type === 'varies') {
      this.departures.split(leader, note.names)
      return
    }
    this.#parts.unshareable.remember(leader, note.variant, note.reason, leader.limits.unshareableTtl)
    this.departures.boardAnew(leader, leader.flight)
  }

  boardAgain (participant: P<R>, flight: F<R> | undefined): void {
    const place = participant.boardings < MAX_BOARDINGS ? this.departures.board(participant, this.#parts.clock.now()) : 'vary'
    this.#goOn(participant, place, reasonOf(participant, place), flight)
  }

  runSolo (participant: P<R>, place: Place): 'run' | 'park' {
    const startedAt = participant.missed?.stale === undefined ? 0 : participant.cache.stamp()
    const role = { type: place === 'unshareable' ? 'probe' : 'solo', startedAt } as const
    return this.solos.pass(participant, role, { outcome: 'bypass', reason: reasonOf(participant, place) })
  }

  /** Continues after a second boarding. `reason`: why the participant runs alone if it got no place. */
  #goOn (participant: P<R>, place: Place | 'vary', reason: Reason, flight: F<R> | undefined): void {
    if (place === 'run' || place === 'park') {
      this.solos.goOn(participant, place)
    } else if (flight === undefined) {
      this.solos.goOn(participant, this.runSolo(participant, place as Place))
    } else {
      this.#runAlone(participant, reason, flight)
    }
  }

  /** A participant that did not run at once can be answered from now on. */
  parked (participant: P<R>): void {
    const { flight, role } = participant
    if (role.type === 'served') {
      this.serve(participant, role.cached)
    } else if (role.type === 'refused') {
      const { error, reason, retryAfter } = role.refusal
      this.#refuse(participant, 'shed', reason, error, retryAfter)
    } else if (role.type === 'follower') {
      flight?.leader?.joined()
      // The flight may have its answer already.
      flight?.answer(participant)
    } else {
      this.#parts.observer.held(participant)
    }
  }

  #waitTimedOut (participant: P<R>, flight: F<R>): void {
    const { limits } = participant
    const cached = flight.leader?.cache.standIn(flight.leader.missed?.fallback)
    if (cached !== undefined && participant.accepts(cached.recording, true)) this.serve(participant, cached)
    // Where the run itself waits for a slot, another one would wait behind it.
    else if (limits.onWaitTimeout === 'run' && flight.leader?.place === undefined) this.#retry(participant, flight)
    else this.#refuse(participant, 'follower', 'wait-timeout', new WaitTimeoutError(limits.waitTimeout), limits.waitTimeout)
  }

  /** The participants of a key whose waits timed out share one more run, beside the slow one. */
  #retry (participant: P<R>, flight: F<R>): void {
    if (participant.retried) {
      this.#runAlone(participant, 'wait-timeout', flight)
      return
    }
    const now = this.#parts.clock.now()
    participant.retried = true
    participant.waitedBefore = now - participant.waitingSince
    participant.waitingSince = now
    this.#goOn(participant, this.departures.enter(participant, participant.boardedKey + RETRY, now), 'wait-timeout', flight)
  }

  #runAlone (participant: P<R>, reason: Reason, flight: F<R>): void {
    if (participant.onlyIfCached) {
      this.serve(participant, undefined)
      return
    }
    this.#inherit(participant, flight)
    participant.role = WAITS_FOR_TURN
    flight.release(participant, participant.limits.releaseConcurrency, finished => {
      if (participant.role !== WAITS_FOR_TURN) {
        finished()
        return
      }
      participant.runner = participant
      this.solos.goOn(participant, this.solos.pass(participant, { type: 'alone', finished }, { outcome: 'alone', reason }))
    })
  }

  /** Takes over the fallback of its leader, for the case that its own run fails. */
  #inherit (participant: P<R>, { lastLeader, leader }: F<R>): void {
    const missed = (leader === participant ? lastLeader : leader ?? lastLeader)?.missed
    if (participant.missed !== undefined || missed?.fallback === undefined) return
    if (participant.accepts(missed.fallback.recording, true)) participant.missed = missed
  }

  #give (participant: P<R>, recording: R, outcome: Outcome, reason: Reason): void {
    participant.role = ANSWERED
    this.#parts.outcomes.report(participant, outcome, reason)
    participant.give(recording)
  }

  #refuse (participant: P<R>, outcome: Outcome, reason: Reason, error: Error, retryAfter: number | undefined): void {
    participant.role = ANSWERED
    this.#parts.outcomes.report(participant, outcome, reason)
    participant.refuse(error, retryAfter)
  }
}

/** Why it found no place. */
function reasonOf ({ followsOnly }: Participant<unknown>, place: Place | 'vary'): Reason {
  return place === 'no-flight' ? followsOnly as Reason : place as Reason
}
