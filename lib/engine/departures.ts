/**
 * From a key to a place on a flight, and the lookup in the cache.
 *
 * Invariant: a place is taken synchronously: nothing is awaited between "is there a flight?" and "I am its leader". While a leader waits
 * for an answer, its flight may end. The leader is then stranded, and runs for its own client.
 */
import { NO_CACHE } from './cache/cache.js'
import { miss, type Lookup, type Miss } from './cache/lookup.js'
import { LEADS, type Claim } from './coordinators/coordinator.js'
import type { Flight } from './flights/flight.js'
import type { NoFlight } from './flights/flights.js'
import { MISMATCH } from './flights/landing.js'
import type { Participant } from './participant.js'
import type { Arrivals, Parts, Place } from './parts.js'
import { ANSWERED, AWAITING_STORE, FOLLOWER, NEW } from './role.js'
import type { Solos } from './solo.js'
import { giveUp, TakeOffs } from './take-off.js'

/** A participant boards again when the key turns out to have variants. After so many boardings it runs alone. */
export const MAX_BOARDINGS = 3

/** What a store that fails is taken to answer. */
const MISS: Miss<never> = Object.freeze<Miss<never>>(miss('none'))

export class Departures<R> {
  readonly takeOffs: TakeOffs<R>
  readonly #parts: Parts<R>
  readonly #arrivals: Arrivals<R>
  readonly #solos: Solos<R>

  constructor (parts: Parts<R>, arrivals: Arrivals<R>, solos: Solos<R>) {
    this.#parts = parts
    this.#arrivals = arrivals
    this.#solos = solos
    this.takeOffs = new TakeOffs(parts, arrivals, solos)
  }

  /** Takes a place under the key of a participant, with its variant as far as that is known. */
  board (participant: Participant<R>, now: number): Place {
    const { unshareable, variants } = this.#parts
    participant.boardings++
    participant.boardedKey = variants.keyOf(participant)
    const unshareableFor = unshareable.reasonFor(participant)
    if (unshareableFor !== participant.unshareableFor) participant.unshareableFor = unshareableFor
    if (unshareableFor !== undefined) return this.#noPlace(participant, participant.mayLead ? 'unshareable' : 'no-flight')
    return this.enter(participant, participant.boardedKey, now)
  }

  /** Looks in the cache, unless there is a flight to join, and takes a place under `flightKey`. */
  enter (participant: Participant<R>, flightKey: string, now: number): Place {
    const { caching, flights, observer } = this.#parts
    const { boardedKey, cache } = participant
    const lookup = cache === NO_CACHE || flights.has(flightKey) ? undefined : cache.lookUp(boardedKey, participant, now)
    if (lookup !== undefined && !(lookup instanceof Promise)) {
      if (lookup.type === 'hit') {
        const verifies = lookup.reason === 'fresh' && participant.verifies(lookup.recording)
        participant.role = { type: 'served', cached: lookup }
        if (lookup.refresh) caching.refresh(participant, lookup.recording)
        return verifies ? this.#solos.verify(participant) : 'park'
      }
      if (lookup.type === 'miss') this.#missed(participant, lookup)
      else if (participant.boardings++ < MAX_BOARDINGS && this.#tellApart(participant, lookup.names)) {
        return this.enter(participant, participant.boardedKey, now)
      }
    }
    const boarding = flights.board(flightKey, participant, participant.limits.maxWaitersPerKey, now)
    if (boarding === 'leader') {
      participant.runner = participant
      if (!(lookup instanceof Promise)) return this.takeOffs.begin(participant)
      // Both are asked at once: a miss costs one round trip.
      const claim = this.takeOffs.claim(participant)
      const go = (answer: Lookup<R>): void => { this.#lookedUp(participant, answer, claim) }
      return this.takeOffs.wait<Lookup<R>>(participant, lookup, MISS, go, () => { giveUp(claim) })
    }
    if (boarding === 'follower') {
      participant.role = FOLLOWER
      const { leader, followers } = participant.flight as Flight<R, Participant<R>>
      // Who leads in another process is known when it has landed.
      participant.runner = leader?.role.type === 'peer' ? undefined : leader
      observer.joined(participant, followers, leader?.role.type === 'peer')
      return 'park'
    }
    if (boarding !== 'no-flight') return this.#noPlace(participant, boarding)
    if (lookup instanceof Promise) return this.#awaitStore(participant, lookup)
    return this.takeOffs.seek(participant) ? 'park' : this.#noPlace(participant, boarding)
  }

  /** It may not lead, and waits for what a slow store says. */
  #awaitStore (participant: Participant<R>, lookup: Promise<Lookup<R>>): 'park' {
    participant.role = AWAITING_STORE
    const go = (answer: Lookup<R>): void => { if (participant.role === AWAITING_STORE) this.#lookedUp(participant, answer, LEADS) }
    lookup.then(go, () => { go(MISS) })
    return 'park'
  }

  /** A slow store has answered. */
  #lookedUp (participant: Participant<R>, lookup: Lookup<R>, claim: Claim<R> | Promise<Claim<R>>): void {
    const { flight } = participant
    if (lookup.type !== 'miss' || participant.onlyIfCached) giveUp(claim)
    switch (lookup.type) {
      case 'hit':
        participant.role = ANSWERED
        flight?.land(participant, { type: 'cached', recording: lookup.recording, reason: lookup.reason })
        if (lookup.reason !== 'fresh' || !this.#solos.verifies(participant, lookup.recording)) this.#arrivals.serve(participant, lookup)
        if (lookup.refresh) this.#parts.caching.refresh(participant, lookup.recording)
        return
      case 'variants':
        this.split(participant, lookup.names)
        return
      case 'miss':
        this.#missed(participant, lookup)
        if (participant.onlyIfCached) {
          this.#arrivals.serve(participant, undefined)
          return
        }
        // If nobody was asked who leads, because no run could begin, one may be able to by now.
        if (flight !== undefined) this.#solos.goOn(participant, this.takeOffs.begin(participant, claim === LEADS ? undefined : claim))
        else if (!this.takeOffs.seek(participant)) this.#solos.goOn(participant, this.#arrivals.runSolo(participant, 'no-flight'))
    }
  }

  /** The key of a participant turns out to have variants: all on board board again. */
  split (participant: Participant<R>, names: readonly string[]): void {
    const { flight } = participant
    // Learn before the followers board again: they need to know it.
    if (!this.#tellApart(participant, names)) participant.boardings = MAX_BOARDINGS
    this.boardAnew(participant, flight)
  }

  /** Everybody on a flight that has not taken off boards again. */
  boardAnew (participant: Participant<R>, flight: Flight<R, Participant<R>> | undefined): void {
    participant.role = NEW
    participant.heldFor = 0
    flight?.land(participant, MISMATCH)
    this.#arrivals.boardAgain(participant, flight)
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
