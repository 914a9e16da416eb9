/**
 * The conductor: the life of a request, from its key to its outcome, whatever the framework.
 *
 * Invariant: each visit that arrives gets one outcome, and is answered once: by its own run, or with a recording that it may
 * have. Between its key and its place on a flight nothing is awaited.
 */
import { LRUCache } from 'lru-cache'
import type { Clock, Outcome } from '../types/index.js'
import type { AbortReason, Ending, Flight, Landing, Passenger } from './core/flight.js'
import { Flights, type Boarding, type Limits } from './core/flights.js'
import { FlightTimeoutError, NobodyWaitsError, WaitTimeoutError } from './errors.js'
import type { Cut } from './http/broadcast.js'
import type { KeyHead } from './http/key.js'
import { fencedPath } from './http/path.js'
import type { FollowReason } from './http/policy.js'
import { NO_VARIANT, type Recording, type Variant } from './http/recording.js'
import type { Observer, Subject } from './observers/observer.js'
import type { Tally } from './observers/tally.js'
import type { RouteSettings } from './options.js'
import type { Role } from './role.js'

/** A route that is coalesced. */
export interface Route {
  /** What tells its keys from those of every other route. */
  readonly keyHead: KeyHead
  readonly settings: RouteSettings
  readonly tally: Tally
  disabled: boolean
}

/** One request, as the coalescer sees it; what a framework must do for it is abstract. */
export abstract class Visit implements Passenger<Recording>, Subject {
  flight: Flight<Recording> | undefined
  role: Role = 'new'
  outcome: Outcome | undefined
  leaderId: string | undefined
  /** The key of the request, without its variant. */
  key = ''
  /** The key that it boarded under. */
  boardedKey = ''
  /** How often it boarded. */
  boardings = 0
  /** When its patience began: it boarded first, or was relieved. */
  arrived = 0
  /** How long it had waited before that, in milliseconds. */
  waited = 0
  /** Its patience ended once, and it boarded a relief flight. */
  relieved = false
  /** Tells the ramp that its own run is over. */
  finished: (() => void) | undefined
  readonly route: Route
  protected readonly coalescer: Coalescer

  constructor (coalescer: Coalescer, route: Route) {
    this.coalescer = coalescer
    this.route = route
  }

  abstract readonly id: string
  abstract readonly log: Subject['log']
  /** The path that was asked for. */
  abstract readonly path: string

  /** Why it may not lead; undefined if it may. */
  abstract readonly followsOnly: FollowReason | undefined
  /** One of the request's headers, or the client's address; null if there is none. */
  abstract value (name: string): string | null
  /** Runs the handler, after a wait. */
  abstract run (): void
  /** Answers with a recording. */
  abstract replay (recording: Recording): void
  /** Answers with an error. */
  abstract refuse (error: Error): void
  /** Aborts its run's signal. */
  abstract cancel (reason: Error): void
  /** It leads, and somebody waits for it. Called again for each that comes. */
  abstract followed (): void
  /** What its run came to, for those who wait. */
  abstract record (variant: Variant): Recording

  /** Whether somebody waits for its run. */
  get hasFollowers (): boolean {
    return this.flight !== undefined && this.flight.followers > 0
  }

  get mayLead (): boolean {
    return this.followsOnly === undefined
  }

  get tally (): Tally {
    return this.route.tally
  }

  get waitTimeout (): number {
    return this.route.settings.waitTimeout
  }

  get flightTimeout (): number {
    return this.route.settings.flightTimeout
  }

  settle (ending: Ending<Recording>, flight: Flight<Recording>): void {
    this.coalescer.settle(this, ending, flight)
  }

  abort (reason: AbortReason): void {
    this.coalescer.aborted(this, reason)
  }
}

/** A variant that a response turned out to depend on costs one more boarding; whoever still does not match runs alone. */
const MAX_BOARDINGS = 3
/** For newcomers who had not been answered when a live flight closed. There are none: they are answered as they park. */
const CLOSED: Landing<never> = Object.freeze({ type: 'abandoned', reason: 'cut-off' })
/** How many keys are remembered as unshareable, and how many with their variant dimensions. */
const MEMORY = 10_000
/** How a flight lands with nobody on board. */
const NOBODY_WAITS: Landing<never> = Object.freeze({ type: 'abandoned', reason: 'nobody-waits' })
/** Makes of a key that of its relief flight. Keys end in a bracket, so no key ends in this. */
const RELIEF = ' relief'

export class Coalescer {
  readonly flights: Flights<Recording>
  /** Bytes of bodies that are being recorded. */
  recordedBytes = 0
  disabled = false
  readonly #observer: Observer
  readonly #clock: Clock
  readonly #maxRecordedBytes: number
  readonly #unshareable: LRUCache<string, true>
  readonly #warned = new WeakSet<Route>()
  readonly #lateReads = new WeakMap<Route, Set<string>>()
  readonly #dimensions = new LRUCache<string, readonly string[]>({ max: MEMORY })

  constructor (settings: Limits & { readonly clock: Clock, readonly maxRecordedBytes: number }, observer: Observer) {
    this.flights = new Flights(settings, settings.clock)
    this.#clock = settings.clock
    this.#maxRecordedBytes = settings.maxRecordedBytes
    this.#observer = observer
    this.#unshareable = new LRUCache({ max: MEMORY, ttl: 1, ttlResolution: 0, perf: settings.clock })
  }

  /** Counts a request that runs the handler without having boarded. */
  bypass (subject: Subject, reason: string): void {
    subject.tally.requests++
    subject.tally.runs++
    this.#observer.settled(subject, 'bypass', reason, 0)
  }

  /** Boards; true: run the handler now, false: parked. */
  arrive (visit: Visit, key: string): boolean {
    visit.tally.requests++
    const now = visit.arrived = this.#clock.now()
    visit.key = key
    const boarding = this.#board(visit, now)
    if (boarding === 'follower') return false
    visit.tally.runs++
    if (boarding === 'leader') return true
    visit.role = boarding === 'unshareable' ? 'scout' : 'done'
    this.#settled(visit, 'bypass', reasonOf(visit, boarding))
    return true
  }

  /**
   * Lands the flight that this visit leads with a response that may be shared.
   *
   * @param varies the request headers that it depends on besides the key
   * @param failed the handler threw, or answered 5xx
   * @param live its body is still being made: the flight stays open for newcomers until `close`
   */
  land (visit: Visit, varies: readonly string[], failed: boolean, live = false): void {
    if (!failed && this.#unshareable.size > 0) this.#unshareable.delete(visit.boardedKey)
    if (visit.role === 'scout') visit.role = 'done'
    if (visit.role !== 'leader') return
    const { flight } = visit
    const variant = this.variantOf(visit, varies)
    const type = failed ? 'failed' : 'shared'
    if (flight === undefined || (flight.followers === 0 && !live)) {
      this.#land(visit, NOBODY_WAITS, type, type)
    } else if (failed && visit.route.settings.onError === 'promote' && flight.promotions === 0 && flight.followers > 0) {
      this.abandon(visit, 'failed')
    } else {
      this.#land(visit, { type, recording: visit.record(variant) }, type, type, live)
    }
  }

  /** Nobody but this visit's own client may have its response. */
  unshareable (visit: Visit, reason: string, remember: boolean): void {
    if (remember) this.#unshareable.set(visit.boardedKey, true, { ttl: visit.route.settings.unshareableTtl })
    if (visit.role === 'scout') visit.role = 'done'
    this.#land(visit, { type: 'unshareable', reason }, 'unshareable', reason)
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

  /** Its client is gone, or was answered by somebody else; a leader's run goes on for those who wait. */
  leave (visit: Visit, reason: 'client-left' | 'answered-elsewhere'): void {
    const { flight } = visit
    switch (visit.role) {
      case 'follower':
        visit.role = 'done'
        this.#settled(visit, 'follower', reason)
        flight?.leave(visit)
        return
      case 'leader':
        flight?.leave(visit)
        return
      case 'alone':
        this.over(visit)
        if (visit.outcome === undefined) this.#settled(visit, 'follower', reason)
        visit.role = 'done'
    }
  }

  /** A visit's own run, if it was one, is over. */
  over (visit: Visit): void {
    visit.finished?.()
    visit.finished = undefined
  }

  /** Warns, once a route, that its handler leaves no telling what its responses depend on. */
  warnOfReads (visit: Visit): void {
    const { route } = visit
    if (this.#warned.has(route)) return
    this.#warned.add(route)
    visit.log.warn({ coalesce: { event: 'reads-all-headers', route: route.tally.route } },
      'coalesce: the handler reads all request headers, so its responses are not shared; learnVary: false trusts their own Vary')
  }

  /** Nobody joins a flight for `path` that is in the air now. */
  fence (path: string): void {
    if (this.flights.size === 0) return
    const fenced = fencedPath(path)
    this.flights.detach(leader => fencedPath((leader as Visit).path) === fenced)
  }

  /** Lets go everybody who waits on a route. */
  release (isReleased: (route: Route) => boolean): void {
    for (const leader of this.flights.leaders() as Visit[]) {
      if (!isReleased(leader.route)) continue
      this.close(leader)
      this.unshareable(leader, 'disabled', false)
    }
  }

  /** Takes room for `bytes` more of a recording, or gives it back; false if there is none. */
  hold (bytes: number): boolean {
    if (bytes > 0 && this.recordedBytes + bytes > this.#maxRecordedBytes) return false
    this.recordedBytes += bytes
    return true
  }

  /** How it ended for a follower: the one place where endings turn into deeds. */
  settle (visit: Visit, ending: Ending<Recording>, flight: Flight<Recording>): void {
    switch (ending.type) {
      case 'shared':
      case 'failed':
        if (!matches(visit, ending.recording.variant)) {
          this.#boardAgain(visit, flight)
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
        this.#lead(visit)
        visit.tally.runs++
        visit.run()
        return
      case 'wait-timeout':
        if (visit.route.settings.onWaitTimeout === 'run') {
          this.#relieve(visit, flight)
          return
        }
        visit.role = 'done'
        this.#settled(visit, 'follower', 'wait-timeout')
        visit.refuse(new WaitTimeoutError(visit.waitTimeout))
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

  /** Takes no more newcomers for a visit that landed live. */
  close (visit: Visit): void {
    if (visit.role === 'done') visit.flight?.land(visit, CLOSED)
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

  /** The headers that a route's streams are known to depend on only after their first bytes. */
  lateReads (route: Route): Set<string> {
    let names = this.#lateReads.get(route)
    if (names === undefined) this.#lateReads.set(route, names = new Set())
    return names
  }

  /** What a response depends on besides its key, which is remembered for who comes next. */
  variantOf (visit: Visit, varies: readonly string[]): Variant {
    if (varies.length === 0) return NO_VARIANT
    const known = this.#dimensions.get(visit.key)
    if (known === undefined || !varies.every(name => known.includes(name))) {
      this.#dimensions.set(visit.key, [...new Set([...known ?? [], ...varies])].sort())
    }
    return { names: varies, values: varies.map(name => visit.value(name)) }
  }

  #board (visit: Visit, now: number): Boarding | 'unshareable' {
    visit.boardings++
    visit.boardedKey = this.#variantKey(visit)
    if (this.#unshareable.size > 0 && this.#unshareable.has(visit.boardedKey)) return visit.mayLead ? 'unshareable' : 'no-flight'
    return this.#enter(visit, visit.boardedKey, now)
  }

  #enter (visit: Visit, key: string, now: number): Boarding {
    const boarding = this.flights.board(key, visit, visit.route.settings.maxWaitersPerKey, now)
    if (boarding === 'leader') {
      this.#lead(visit)
    } else if (boarding === 'follower') {
      visit.role = 'follower'
      const { leader, followers } = visit.flight as Flight<Recording>
      visit.leaderId = (leader as Visit).id
      this.#observer.joined(visit, followers)
    }
    return boarding
  }

  #lead (visit: Visit): void {
    visit.role = 'leader'
    visit.leaderId = visit.id
    this.#observer.started(visit)
  }

  /** Another variant than its leader's: it boards once more, under a key that tells them apart. */
  #boardAgain (visit: Visit, flight: Flight<Recording>): void {
    const boarding = visit.boardings < MAX_BOARDINGS ? this.#board(visit, this.#clock.now()) : 'vary'
    this.#goOn(visit, boarding, reasonOf(visit, boarding), flight)
  }

  /** What follows from boarding once more. `reason`: why it runs by itself if it got no place. */
  #goOn (visit: Visit, boarding: string, reason: string, flight: Flight<Recording>): void {
    switch (boarding) {
      case 'leader':
        visit.tally.runs++
        visit.run()
        return
      case 'follower':
        this.parked(visit)
        return
      default:
        this.#runAlone(visit, reason, flight)
    }
  }

  /** Its patience has ended: those of a key whose patience ends share one more run, beside the one that takes so long. */
  #relieve (visit: Visit, flight: Flight<Recording>): void {
    if (visit.relieved) {
      this.#runAlone(visit, 'wait-timeout', flight)
      return
    }
    const now = this.#clock.now()
    visit.relieved = true
    visit.waited = now - visit.arrived
    visit.arrived = now
    this.#goOn(visit, this.#enter(visit, visit.boardedKey + RELIEF, now), 'wait-timeout', flight)
  }

  #runAlone (visit: Visit, reason: string, flight: Flight<Recording>): void {
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

  #land (visit: Visit, landing: Landing<Recording>, type: Landing<Recording>['type'], reason: string, live = false): void {
    const { flight } = visit
    if (visit.role !== 'leader' || flight === undefined) return
    visit.role = 'done'
    this.#observer.landed(visit, type === 'shared' ? 'completed' : type, reason, flight.followers)
    this.#settled(visit, 'leader', reason)
    if (live) flight.open(visit, landing)
    else flight.land(visit, landing)
  }

  #settled (visit: Visit, outcome: Outcome, reason: string): void {
    visit.outcome = outcome
    this.#observer.settled(visit, outcome, reason, outcome === 'leader' || outcome === 'bypass' ? 0 : visit.waited + this.#clock.now() - visit.arrived)
  }

  /** The key, and the values of what its responses are known to vary on. */
  #variantKey (visit: Visit): string {
    const names = this.#dimensions.size === 0 ? undefined : this.#dimensions.get(visit.key)
    return names === undefined ? visit.key : visit.key + JSON.stringify([names, names.map(name => visit.value(name))])
  }
}

/** Why it found no place. */
function reasonOf ({ followsOnly }: Visit, boarding: string): string {
  return boarding === 'no-flight' && followsOnly !== undefined ? followsOnly : boarding
}

function matches (visit: Visit, variant: Variant): boolean {
  return variant.names.every((name, index) => visit.value(name) === variant.values[index])
}
