/**
 * The conductor: the life of a request, from its key to its outcome, whatever the framework.
 *
 * Invariant: each visit that arrives gets one outcome, and is answered once: by its own run, or with a recording that it may
 * have. Between its key and its place on a flight nothing is awaited.
 */
import type { Clock, Outcome } from '../../types/index.js'
import { Barrier } from './barrier.js'
import { Budget } from './budget.js'
import { MISMATCH, NOBODY_WAITS, type AbortReason, type Ending, type Flight, type Landing } from './flights/flight.js'
import { Flights, type Boarding } from './flights/flights.js'
import { pace } from './flights/pace.js'
import { FlightTimeoutError, NobodyWaitsError, NotKeptError, WaitTimeoutError } from '../errors.js'
import type { Cut } from '../http/broadcast.js'
import { variantOf, type Recording } from '../http/recording.js'
import type { Keeper, Look, Refresh } from '../fastify/cache/response-cache.js'
import type { Observer, Subject } from '../observers/observer.js'
import type { Settings } from '../options/options.js'
import { Unshareable } from './unshareable.js'
import { Variants } from './variants.js'
import { outcomeOf, reasonOf, type Kept, type Route, type Visit } from './participant.js'

/** A variant that a response turned out to depend on costs one more boarding; whoever still does not match runs alone. */
const MAX_BOARDINGS = 3
/** Makes of a key that of its relief flight. Keys end in a bracket, so no key ends in this. */
const RELIEF = ' relief'

type CoalescerSettings = Pick<Settings, 'clock' | 'maxFlights' | 'maxWaiters' | 'maxRecordedBytes' | 'purgeOnWrite'>

/** What boarding comes to: a part in a flight, something that is kept, or the wait for what a slow store says. */
type Place = Boarding | 'kept' | 'looking'

export class Coalescer {
  readonly flights: Flights<Recording>
  readonly budget: Budget
  disabled = false
  readonly keeper: Keeper
  readonly variants: Variants
  readonly #observer: Observer
  readonly clock: Clock
  readonly barrier: Barrier
  readonly #unshareable: Unshareable

  constructor (settings: CoalescerSettings, keeper: Keeper, observer: Observer) {
    this.keeper = keeper
    this.flights = new Flights(settings, settings.clock)
    this.clock = settings.clock
    this.budget = new Budget(settings.maxRecordedBytes)
    this.barrier = new Barrier(this.flights, keeper, settings.purgeOnWrite)
    this.#observer = observer
    this.variants = new Variants(settings.clock)
    this.#unshareable = new Unshareable(settings.clock, this.variants)
  }

  /** Counts a request that runs the handler without having boarded. */
  bypass (subject: Subject, reason: string): void {
    subject.tally.requests++
    subject.tally.runs++
    this.#observer.settled(subject, 'bypass', reason, 0)
  }

  /** Boards; true: run the handler now, false: park. */
  arrive (visit: Visit, key: string): boolean {
    visit.tally.requests++
    visit.arrived = this.clock.now()
    visit.key = key
    const boarding = this.#board(visit, visit.arrived)
    if (boarding === 'follower' || boarding === 'looking' || boarding === 'kept') return false
    if (boarding === 'leader') this.#takeOff(visit)
    else this.#bypass(visit, boarding)
    return true
  }

  /** A run for the shelf begins; false if its key is not the one that was asked for. */
  refresh (visit: Visit, refresh: Refresh, key: string): boolean {
    visit.refresh = refresh
    visit.key = key
    visit.boardedKey = this.variants.keyOf(visit)
    if (visit.boardedKey !== refresh.boardedKey) return false
    visit.role = 'refresher'
    visit.since = refresh.since
    visit.tally.runs++
    return true
  }

  /**
   * Lands the flight that this visit leads with a response that may be shared.
   *
   * @param varies the request headers that it depends on besides the key, which have been learned
   * @param failed the handler threw, or answered 5xx
   * @param joined given if its body is still being made: the flight stays open for newcomers until `close`. Called once all who
   * have boarded have joined in
   */
  land (visit: Visit, varies: readonly string[], failed: boolean, joined?: () => void): void {
    const live = joined !== undefined
    if (!failed) this.#unshareable.forget(visit)
    if (visit.role === 'scout') visit.role = 'done'
    if (visit.role !== 'leader' && visit.role !== 'refresher') return
    const { flight, route: { settings } } = visit
    const variant = variantOf(visit, varies)
    const type = failed ? 'failed' : 'shared'
    const waited = flight !== undefined && (flight.followers > 0 || live)
    const keeps = settings.ttl !== undefined && !live
    const recording = waited || keeps ? visit.record(variant) : undefined
    // Before the flight is gone: there is no moment at which neither is there.
    if (keeps && recording !== undefined) this.#keep(visit, recording)
    if (!waited || recording === undefined) {
      this.#land(visit, NOBODY_WAITS, type, type)
    } else if (failed && settings.onError === 'promote' && flight.promotions === 0 && flight.followers > 0) {
      this.abandon(visit, 'failed')
    } else {
      this.#land(visit, { type, recording }, type, type, joined)
    }
  }

  /** A live response has come to its end: it can be kept, if its flight is still its own. */
  completed (visit: Visit, varies: readonly string[]): void {
    if (visit.route.settings.ttl === undefined || (visit.flight?.leader !== visit && visit.refresh === undefined)) return
    if (this.variants.learn(visit, varies)) this.#keep(visit, visit.record(variantOf(visit, varies)))
  }

  /** A visit's run failed: what it is answered with instead, as all are who wait for it. Undefined: with the failure. */
  fallBack (visit: Visit): Recording | undefined {
    const { flight } = visit
    const kept = visit.role === 'leader' || visit.role === 'done' ? this.keeper.standIn(visit, visit) : undefined
    if (kept === undefined) return undefined
    visit.kept = kept
    this.keeper.failed(visit.boardedKey)
    // It ran for its own client only, or those who waited for it are answered already, or wait for its successor.
    if (visit.role === 'done' || flight === undefined) return kept.recording
    visit.role = 'done'
    this.#observer.landed(visit, 'failed', kept.reason, flight.followers)
    this.#settled(visit, outcomeOf(kept.reason), kept.reason)
    flight.land(visit, { type: 'kept', ...kept })
    return kept.recording
  }

  /** Answers a visit with what is kept. */
  serve (visit: Visit): void {
    visit.role = 'done'
    if (visit.kept === undefined) {
      this.#settled(visit, 'bypass', 'only-if-cached')
      visit.refuse(new NotKeptError())
      return
    }
    const { recording, reason } = visit.kept
    this.#settled(visit, outcomeOf(reason), reason)
    visit.replay(recording)
  }

  /**
   * Nobody but this visit's own client may have its response.
   *
   * @param names the request headers that this depends on, in the order in which they were read
   */
  unshareable (visit: Visit, reason: string, remember: boolean, names: readonly string[] = []): void {
    const variant = variantOf(visit, names)
    if (remember) {
      this.#unshareable.remember(visit, variant, visit.route.settings.unshareableTtl)
      this.keeper.outlived(visit)
    }
    if (visit.role === 'scout') visit.role = 'done'
    this.#land(visit, { type: 'unshareable', reason, variant }, 'unshareable', reason)
  }

  /** This visit leads and its run comes to nothing. */
  abandon (visit: Visit, reason: string): void {
    const { flight } = visit
    if (visit.role !== 'leader' || flight === undefined) return
    visit.role = 'done'
    this.#observer.landed(visit, reason === 'failed' ? 'failed' : 'abandoned', reason, flight.followers)
    this.#settled(visit, 'leader', reason)
    // Who came last has most of its own time left; all others of a burst would be cut off as their leader was.
    flight.abandon(visit, reason, reason === 'handler-timeout')
  }

  /** Its client is gone, or was answered by somebody else; a leader's run, if that has begun, goes on for those who wait. */
  leave (visit: Visit, reason: 'client-left' | 'answered-elsewhere'): void {
    const { flight } = visit
    switch (visit.role) {
      case 'follower':
      case 'looking':
        visit.role = 'done'
        this.#settled(visit, 'follower', reason)
        flight?.leave(visit)
        return
      case 'leader':
        if (reason === 'answered-elsewhere') this.abandon(visit, reason)
        else flight?.leave(visit)
        return
      case 'alone':
        visit.over()
        if (visit.outcome === undefined) this.#settled(visit, 'follower', reason)
        visit.role = 'done'
    }
  }

  /** Lets go everybody who waits, or who does on one route. */
  release (route?: Route): void {
    const all = route === undefined ? this.flights.leaders() : route.fleet.flights().map(({ leader }) => leader)
    const leaders = (all as Visit[]).values()
    pace(this.clock, () => {
      const leader = leaders.next().value
      if (leader === undefined) return false
      this.close(leader)
      this.unshareable(leader, 'disabled', false)
      return true
    })
  }

  /** How it ended for a follower: the one place where endings turn into deeds. */
  settle (visit: Visit, ending: Ending<Recording>, flight: Flight<Recording>): void {
    if (ending.type !== 'wait-timeout' && !visit.takes(ending)) {
      this.#boardAgain(visit, flight)
      return
    }
    switch (ending.type) {
      case 'shared':
      case 'failed':
      case 'kept':
        if (ending.type === 'kept') {
          visit.kept = ending as Kept
          this.serve(visit)
          return
        }
        visit.role = 'done'
        visit.leaderId = ending.recording.leaderId
        this.#settled(visit, 'follower', ending.type)
        visit.replay(ending.recording)
        return
      case 'unshareable':
      case 'abandoned':
        this.#runAlone(visit, ending.reason, flight)
        return
      case 'promoted':
        visit.lead()
        this.#takeOff(visit)
        visit.run()
        return
      case 'wait-timeout':
        visit.kept = this.keeper.standIn(flight.leader as Visit | undefined, visit)
        if (visit.kept !== undefined) {
          this.serve(visit)
          return
        }
        if (visit.route.settings.onWaitTimeout === 'run') {
          this.#relieve(visit, flight)
          return
        }
        visit.role = 'done'
        this.#settled(visit, 'follower', 'wait-timeout')
        visit.refuse(new WaitTimeoutError(visit.waitTimeout), visit.waitTimeout)
    }
  }

  aborted (visit: Visit, reason: AbortReason): void {
    const timedOut = reason === 'flight-timeout'
    visit.role = 'done'
    if (timedOut) this.#observer.cleanedUp(visit)
    else this.#observer.landed(visit, 'abandoned', 'client-left', 0)
    this.#settled(visit, 'leader', timedOut ? 'flight-timeout' : 'client-left')
    visit.cancel(timedOut ? new FlightTimeoutError(visit.flightTimeout) : new NobodyWaitsError())
  }

  /** Takes no more newcomers for a visit that landed live. `rest`: how it ends for those whose turn to join has not come. */
  close (visit: Visit, rest?: Landing<Recording>): void {
    if (visit.role === 'done') visit.flight?.close(visit, rest)
  }

  /** A follower is ready for whatever its leader does. Who boards a flight that is answered already does not wait long. */
  parked (visit: Visit): void {
    (visit.flight?.leader as Visit | undefined)?.followed()
    visit.flight?.answer(visit)
  }

  /** A response, its leader's or a follower's, ends before its end. */
  cutOff (visit: Visit, reason: Cut): void {
    this.#observer.cutOff(visit, reason)
  }

  #board (visit: Visit, now: number): Place | 'unshareable' {
    visit.boardings++
    visit.boardedKey = this.variants.keyOf(visit)
    if (this.#unshareable.has(visit)) return visit.placeless(visit.mayLead ? 'unshareable' : 'no-flight')
    return this.#enter(visit, visit.boardedKey, now)
  }

  #enter (visit: Visit, key: string, now: number): Place {
    const look = visit.route.settings.ttl === undefined || this.flights.has(key) ? undefined : this.keeper.look(visit)
    if (look !== undefined && !(look instanceof Promise)) {
      if ('reason' in look) {
        visit.role = 'kept'
        visit.kept = look
        return 'kept'
      }
      if (visit.boardings++ < MAX_BOARDINGS && this.#tellApart(visit, look.names)) return this.#enter(visit, visit.boardedKey, now)
    }
    const boarding = this.flights.board(key, visit, visit.route.settings.maxWaitersPerKey, now)
    if (boarding === 'leader') visit.lead()
    if (boarding === 'follower') {
      visit.role = 'follower'
      const { leader, followers } = visit.flight as Flight<Recording>
      visit.leaderId = (leader as Visit).id
      this.#observer.joined(visit, followers)
    }
    if (!(look instanceof Promise) || (boarding !== 'leader' && boarding !== 'no-flight')) {
      return visit.flight === undefined ? visit.placeless(boarding) : boarding
    }
    if (boarding === 'no-flight') visit.role = 'looking'
    visit.looks = true
    look.then(found => { this.#looked(visit, found) }, () => { this.#looked(visit, undefined) })
    return 'looking'
  }

  /** A leader's run begins. */
  #takeOff (visit: Visit): void {
    if (visit.route.settings.ttl !== undefined) visit.since = this.keeper.shelf.stamp()
    visit.tally.runs++
    this.#observer.started(visit)
  }

  /** It runs the handler and has no part in anything. */
  #bypass (visit: Visit, boarding: string): void {
    visit.role = boarding === 'unshareable' ? 'scout' : 'done'
    if (visit.found !== undefined) visit.since = this.keeper.shelf.stamp()
    visit.tally.runs++
    this.#settled(visit, 'bypass', reasonOf(visit, boarding))
  }

  /** A slow store has answered one that parked meanwhile. */
  #looked (visit: Visit, look: Look): void {
    const { flight } = visit
    // Something else has answered it meanwhile.
    if (!visit.looks) return
    visit.looks = false
    if (visit.role !== 'leader' && visit.role !== 'looking') {
      // Its flight ended without it. What it is to its client it still is, if that is there.
      if (!visit.gone) visit.tally.runs++
      if (visit.gone) visit.cancel(new NobodyWaitsError())
      else visit.run()
      return
    }
    if (look === undefined && visit.demands.onlyIfCached) {
      this.serve(visit)
    } else if (look === undefined) {
      if (visit.role === 'leader') this.#takeOff(visit)
      else this.#bypass(visit, 'no-flight')
      visit.run()
    } else if ('reason' in look) {
      visit.kept = look
      visit.role = 'done'
      flight?.land(visit, { type: 'kept', ...look })
      this.serve(visit)
    } else {
      visit.role = 'done'
      // Before the others board again, who have to know it as well.
      if (!this.#tellApart(visit, look.names)) visit.boardings = MAX_BOARDINGS
      flight?.land(visit, MISMATCH)
      this.#boardAgain(visit, flight)
    }
  }

  /** Learns what tells a key's variants apart; false if that was known. */
  #tellApart (visit: Visit, names: readonly string[]): boolean {
    const { boardedKey } = visit
    this.variants.learn(visit, names)
    return (visit.boardedKey = this.variants.keyOf(visit)) !== boardedKey
  }

  #keep (visit: Visit, recording: Recording): void {
    this.keeper.keep(visit, recording, this.variants.keyOf(visit), this.variants.namesOf(visit.key))
  }

  /** Another variant than its leader's: it boards once more, under a key that tells them apart. */
  #boardAgain (visit: Visit, flight: Flight<Recording> | undefined): void {
    const boarding = visit.boardings < MAX_BOARDINGS ? this.#board(visit, this.clock.now()) : 'vary'
    this.#goOn(visit, boarding, reasonOf(visit, boarding), flight)
  }

  /** What follows from boarding once more. `reason`: why it runs by itself if it got no place. */
  #goOn (visit: Visit, boarding: string, reason: string, flight: Flight<Recording> | undefined): void {
    switch (boarding) {
      case 'leader':
        this.#takeOff(visit)
        visit.run()
        return
      case 'follower':
      case 'looking':
        this.parked(visit)
        return
      case 'kept':
        this.serve(visit)
        return
      default:
        if (flight === undefined) {
          this.#bypass(visit, boarding)
          visit.run()
        } else {
          this.#runAlone(visit, reason, flight)
        }
    }
  }

  /** Its patience has ended: those of a key whose patience ends share one more run, beside the one that takes so long. */
  #relieve (visit: Visit, flight: Flight<Recording>): void {
    const now = this.clock.now()
    if (!visit.relieve(now)) this.#runAlone(visit, 'wait-timeout', flight)
    else this.#goOn(visit, this.#enter(visit, visit.boardedKey + RELIEF, now), 'wait-timeout', flight)
  }

  #runAlone (visit: Visit, reason: string, flight: Flight<Recording>): void {
    if (visit.demands.onlyIfCached) {
      this.serve(visit)
      return
    }
    visit.role = 'alone'
    flight.release(visit, visit.route.settings.releaseConcurrency, finished => {
      if (visit.role !== 'alone') {
        finished()
        return
      }
      visit.finished = finished
      visit.leaderId = visit.id
      visit.tally.runs++
      this.#settled(visit, 'alone', reason)
      visit.run()
    })
  }

  #land (visit: Visit, landing: Landing<Recording>, type: 'shared' | 'failed' | 'unshareable', reason: string, joined?: () => void): void {
    const { flight } = visit
    if (visit.role !== 'leader' || flight === undefined) return
    visit.role = 'done'
    this.#observer.landed(visit, type === 'shared' ? 'completed' : type, reason, flight.followers)
    this.#settled(visit, 'leader', reason)
    // It may have turned out to vary: then who comes while it flows has a key that says so.
    if (joined !== undefined) this.flights.rename(flight, this.variants.keyOf(visit))
    if (joined !== undefined) flight.open(visit, landing, joined)
    else flight.land(visit, landing)
  }

  #settled (visit: Visit, outcome: Outcome, reason: string): void {
    visit.outcome = outcome
    visit.outcomeReason = reason
    const waits = outcome !== 'leader' && outcome !== 'bypass'
    this.#observer.settled(visit, outcome, reason, waits ? visit.waited + this.clock.now() - visit.arrived : 0)
  }
}
