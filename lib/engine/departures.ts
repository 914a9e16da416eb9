/**
 * From a key to the take-off of a run: the place on a flight, the lookup in the cache, protection, and the coordinator.
 *
 * Invariant: a place is taken synchronously: nothing is awaited between "is there a flight?" and "I am its leader". While a leader waits
 * for an answer, its flight may end. The leader is then stranded, and runs for its own client.
 */
import type { Clock } from '../../types/index.js'
import { NobodyWaitsError } from '../errors.js'
import type { Observer } from '../observers/observer.js'
import { miss, type Cached, type Lookup, type Miss } from './cache/lookup.js'
import type { Caching } from './caching.js'
import { LEADS, type Claim, type Coordinator, type Peer } from './coordinators/coordinator.js'
import type { Flight } from './flights/flight.js'
import type { Flights, NoFlight } from './flights/flights.js'
import { MISMATCH } from './flights/landing.js'
import type { Outcomes } from './outcome.js'
import type { Participant } from './participant.js'
import { GRANTED, type Permission, type Protection, type Refusal } from './protection/protection.js'
import { ANSWERED, AWAITING_STORE, FOLLOWER, LANDED, NEW, type Preparing } from './role.js'
import type { Unshareable } from './unshareable.js'
import type { Variants } from './variants.js'

/** A participant boards again when the key turns out to have variants. After so many boardings it runs alone. */
export const MAX_BOARDINGS = 3

/** What boarding comes to: the participant runs now, it waits, or there is no place for it. */
export type Place = 'run' | 'park' | 'unshareable' | NoFlight

/** What protection and the coordinator say of a run. */
type Clearance<R> = Claim<R> | Refusal

/** What a store that fails is taken to answer. */
const MISS: Miss<never> = Object.freeze<Miss<never>>(miss('none'))

/** What happens to participants whose run does not take off. */
export interface Arrivals<R> {
  /** Answers with a cached result; without one, with an error. */
  serve (participant: Participant<R>, cached: Cached<R> | undefined): void
  /** Answers a leader and its followers with the result of another process. */
  landPeer (leader: Participant<R>, claim: Peer<R>): void
  /** The run of a leader is refused. */
  landRefused (leader: Participant<R>, refusal: Refusal): void
  /** The key turned out to have variants. */
  boardAgain (participant: Participant<R>, flight: Flight<R, Participant<R>> | undefined): void
  /** It runs for itself, beside all flights. */
  runSolo (participant: Participant<R>, place: Place): void
}

/** What decides, listens, and takes time for an engine. */
export interface Seams<R> {
  readonly clock: Clock
  readonly observer: Observer
  readonly protection: Protection
  readonly coordinator: Coordinator<R>
}

/** What the engine's modules have in common. */
export interface Parts<R> extends Seams<R> {
  readonly flights: Pick<Flights<R, Participant<R>>, 'has' | 'board'>
  readonly variants: Pick<Variants, 'keyOf' | 'learn' | 'companyOf'>
  readonly unshareable: Pick<Unshareable, 'reasonFor'>
  readonly caching: Pick<Caching<R>, 'refresh'>
  readonly outcomes: Pick<Outcomes, 'report'>
}

export class Departures<R> {
  readonly #parts: Parts<R>
  readonly #arrivals: Arrivals<R>

  constructor (parts: Parts<R>, arrivals: Arrivals<R>) {
    this.#parts = parts
    this.#arrivals = arrivals
  }

  /** Takes a place under the key of a participant, with its variant as far as that is known. */
  board (participant: Participant<R>, now: number): Place {
    const { unshareable, variants } = this.#parts
    participant.boardings++
    participant.boardedKey = variants.keyOf(participant)
    participant.unshareableFor = unshareable.reasonFor(participant)
    if (participant.unshareableFor !== undefined) return this.#noPlace(participant, participant.mayLead ? 'unshareable' : 'no-flight')
    return this.enter(participant, participant.boardedKey, now)
  }

  /** Looks in the cache, unless there is a flight to join, and takes a place under `flightKey`. */
  enter (participant: Participant<R>, flightKey: string, now: number): Place {
    const { caching, flights, observer } = this.#parts
    const lookup = flights.has(flightKey) ? undefined : participant.cache.lookUp(participant.boardedKey, participant)
    if (lookup !== undefined && !(lookup instanceof Promise)) {
      if (lookup.type === 'hit') {
        participant.role = { type: 'served', cached: lookup }
        if (lookup.refresh) caching.refresh(participant, lookup.recording)
        return 'park'
      }
      if (lookup.type === 'miss') this.#missed(participant, lookup)
      else if (participant.boardings++ < MAX_BOARDINGS && this.#tellApart(participant, lookup.names)) {
        return this.enter(participant, participant.boardedKey, now)
      }
    }
    const boarding = flights.board(flightKey, participant, participant.limits.maxWaitersPerKey, now)
    if (boarding === 'leader') {
      participant.leaderId = participant.id
      if (!(lookup instanceof Promise)) return this.takeOff(participant)
      return this.#await<Lookup<R>>(participant, lookup, MISS, later => { this.#lookedUp(participant, later) })
    }
    if (boarding === 'follower') {
      participant.role = FOLLOWER
      const { leader, followers } = participant.flight as Flight<R, Participant<R>>
      participant.leaderId = leader?.id
      observer.joined(participant, followers)
      return 'park'
    }
    return boarding === 'no-flight' && lookup instanceof Promise ? this.#awaitStore(participant, lookup) : this.#noPlace(participant, boarding)
  }

  /** Starts the run of a leader, if protection and the coordinator let it. */
  takeOff (leader: Participant<R>): 'run' | 'park' {
    const clearance = this.#clear(leader)
    if (clearance !== LEADS) return this.#await<Clearance<R>>(leader, clearance, LEADS, later => { this.#cleared(leader, later) })
    this.start(leader)
    return 'run'
  }

  /** Asks protection, then the coordinator. Synchronous if both answer synchronously. */
  #clear (leader: Participant<R>): Clearance<R> | Promise<Clearance<R>> {
    const { coordinator, protection } = this.#parts
    const permission = protection.ask(leader)
    return permission === GRANTED ? coordinator.claim(leader.boardedKey) : this.#clearLater(leader, permission)
  }

  async #clearLater (leader: Participant<R>, asked: Permission | Promise<Permission>): Promise<Clearance<R>> {
    const permission = await Promise.resolve(asked).catch(() => GRANTED)
    return permission.type === 'refused' ? permission : await this.#parts.coordinator.claim(leader.boardedKey)
  }

  #cleared (leader: Participant<R>, clearance: Clearance<R>): void {
    switch (clearance.type) {
      case 'leads':
        this.start(leader)
        leader.run()
        return
      case 'peer':
        this.#arrivals.landPeer(leader, clearance)
        return
      case 'refused':
        this.#arrivals.landRefused(leader, clearance)
    }
  }

  /** A leader's run begins. */
  start (leader: Participant<R>): void {
    leader.role = { type: 'leader', startedAt: leader.cache.stamp() }
    leader.company = this.#parts.variants.companyOf(leader.key)
    leader.tally.runs++
    this.#parts.observer.started(leader)
  }

  /** Has a leader wait for an answer; `otherwise` stands for one that fails. */
  #await<T> (leader: Participant<R>, asked: T | Promise<T>, otherwise: T, answered: (answer: T) => void): 'park' {
    const role: Preparing = { type: 'preparing' }
    leader.role = role
    const go = (answer: T): void => {
      const { flight } = leader
      if (flight !== undefined) leader.heldFor = this.#parts.clock.now() - flight.since
      if (leader.role === role) answered(answer)
      else if (leader.role.type === 'stranded') this.#runStranded(leader)
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

  /** It may not lead, and waits for what a slow store says. */
  #awaitStore (participant: Participant<R>, lookup: Promise<Lookup<R>>): 'park' {
    participant.role = AWAITING_STORE
    const go = (answer: Lookup<R>): void => { if (participant.role === AWAITING_STORE) this.#lookedUp(participant, answer) }
    lookup.then(go, () => { go(MISS) })
    return 'park'
  }

  /** A slow store has answered. */
  #lookedUp (participant: Participant<R>, lookup: Lookup<R>): void {
    const { flight } = participant
    switch (lookup.type) {
      case 'hit':
        participant.role = ANSWERED
        flight?.land(participant, { type: 'cached', recording: lookup.recording, reason: lookup.reason })
        this.#arrivals.serve(participant, lookup)
        if (lookup.refresh) this.#parts.caching.refresh(participant, lookup.recording)
        return
      case 'variants':
        participant.role = NEW
        participant.heldFor = 0
        // Learn before the followers board again: they need to know it.
        if (!this.#tellApart(participant, lookup.names)) participant.boardings = MAX_BOARDINGS
        flight?.land(participant, MISMATCH)
        this.#arrivals.boardAgain(participant, flight)
        return
      case 'miss':
        this.#missed(participant, lookup)
        if (participant.onlyIfCached) {
          this.#arrivals.serve(participant, undefined)
          return
        }
        if (flight === undefined) this.#arrivals.runSolo(participant, 'no-flight')
        else if (this.takeOff(participant) === 'park') return
        participant.run()
    }
  }

  #missed (participant: Participant<R>, miss: Miss<R>): void {
    participant.missed = miss
    participant.tally.miss(miss.reason)
  }

  /** It wants no run. */
  #noPlace (participant: Participant<R>, place: 'unshareable' | NoFlight): Place {
    if (!participant.onlyIfCached) return place
    participant.role = { type: 'served', cached: undefined }
    return 'park'
  }

  /** Learns what tells a key's variants apart; false if that was known. */
  #tellApart (participant: Participant<R>, names: readonly string[]): boolean {
    const { variants } = this.#parts
    const { boardedKey } = participant
    variants.learn(participant, names)
    return (participant.boardedKey = variants.keyOf(participant)) !== boardedKey
  }
}
