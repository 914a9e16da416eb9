/**
 * One run for a key, from boarding to landing.
 *
 * Invariant: a passenger that boarded is settled exactly once, or leaves. Only the passenger that leads *now* can land the flight: one
 * that led before gets `false` and changes nothing. A landed flight takes no passengers, because it leaves the register before the
 * first follower is told. Very many followers are told in more than one turn of the event loop, in order of boarding; until it is its
 * turn, a follower may leave, but its wait does not time out.
 */
import { Timed } from '../../deadlines.js'
import type { Place } from '../../protection/permits.js'
import type { Fleet, FleetMember } from './fleet.js'
import { Followers, type WaitListener, type Waiter } from './followers.js'
import { PROMOTED, WAIT_TIMEOUT, type Ending, type Landing } from './landing.js'
import type { FlightRegistry } from './listener.js'
import { TURN } from './pace.js'
import { Ramp, type Run } from './ramp.js'
import { tell } from './telling.js'

/** Who is on a flight, as the flight sees it. */
export interface Passenger<R, P extends Passenger<R, P>> extends Waiter {
  /** The flight it is on, if any. Written by the flight alone. */
  flight: Flight<R, P> | undefined
  /** How long a run may take, in milliseconds. The same for all passengers of a key. */
  readonly flightTimeout: number
  /** Whether its own run could answer others as well. If not it boards flights of others only, and is never promoted. */
  readonly mayLead: boolean
  /** If one of these is fenced, newcomers cannot join the flight that it leads. Read only after something was fenced. */
  readonly labels: readonly string[]
  /** The fleet of the flights that it leads; undefined if they have none. */
  readonly fleet: Fleet<Flight<R, P>> | undefined
  /** It leads, and another process is known to wait for its run. */
  readonly isAwaitedElsewhere: boolean
  /** How urgent it is: 0 is the most urgent. */
  readonly level: number
  /** Where it waits for a permit, if it leads. */
  readonly place: Place | undefined
}

type Registry<R, P extends Passenger<R, P>> = FlightRegistry<R, P, Flight<R, P>>

/** After so many promotions, unless runs elsewhere were lost, all are released: nobody waits longer than for one further run. */
const MAX_PROMOTIONS = 1

export class Flight<R, P extends Passenger<R, P>> extends Timed implements FleetMember<Flight<R, P>>, WaitListener<P> {
  /** Written by the register alone. */
  key: string
  /** When its leader took over, by the clock. */
  since: number
  /** How long a leader may take, in milliseconds. */
  readonly limit: number
  /** How many followers took the place of a leader. */
  promotions = 0
  /** How many fences there had been when it was last known to be behind none. Written by the register alone. */
  cleared = 0
  readonly fleet: Fleet<Flight<R, P>> | undefined
  older: Flight<R, P> | undefined
  younger: Flight<R, P> | undefined
  readonly #registry: Registry<R, P>
  #leader: P | undefined
  /** Who led before, or led last. */
  lastLeader: P | undefined
  /** False once the leader's own client is gone: its run goes on for the followers' sake. */
  #leaderStays = true
  #followers: Followers<P> | undefined
  #ramp: Ramp | undefined
  /** The answer for everybody who boards before the flight lands. */
  #answer: Landing<R> | undefined
  /** What its followers are being told, one after the other. */
  #telling: Landing<R> | undefined

  /** @param now the time, by the clock of `registry` */
  constructor (key: string, leader: P, registry: Registry<R, P>, now: number) {
    super()
    this.key = key
    this.limit = leader.flightTimeout
    this.since = now
    this.#registry = registry
    this.#leader = leader
    leader.flight = this
    this.fleet = leader.fleet
    this.fleet?.add(this)
    registry.deadlines.start(this)
  }

  get leader (): P | undefined { return this.#leader }
  get followers (): number { return this.#followers?.size ?? 0 }
  get isTelling (): boolean { return this.#telling !== undefined }

  /** Adds a follower. */
  follow (passenger: P): void {
    this.#followers ??= new Followers(this.#registry.clock, this)
    this.#followers.add(passenger)
    passenger.flight = this
    this.#leader?.place?.joined(passenger.level)
    this.#registry.waitersChanged(1)
  }

  /** Its leader waits for a permit. That is as urgent as whoever on board is most urgent, and does not count as time in the air. */
  hold (place: Place): void {
    for (const { level } of this.#followers?.all() ?? []) place.joined(level)
    if (!this.#leaderStays) place.left((this.#leader as P).level)
    this.wait()
  }

  /** Its leader waits for a permit, perhaps in the place of the one before. */
  wait (): void {
    this.#registry.deadlines.end(this)
  }

  /** Its leader has a permit. */
  takeOff (): void {
    const { clock, deadlines } = this.#registry
    deadlines.end(this)
    this.since = clock.now()
    deadlines.start(this)
  }

  /**
   * Answers everybody on the flight, and everybody who boards from now on, until it lands. Its followers do not wait any more.
   * Does nothing and returns false if `leader` does not lead the flight.
   * @param told called once all who were on board have been answered, or will not be
   */
  open (leader: P, answer: Landing<R>, told?: () => void): boolean {
    if (this.#leader !== leader) return false
    this.#answer = answer
    this.#tell(answer, told)
    return true
  }

  /** Gives a follower that has just boarded the answer, if there is one and it is the follower's turn. */
  answer (follower: P): void {
    if (this.#answer === undefined || this.#followers?.has(follower) !== true) return
    if (this.#telling === undefined || !this.#registry.listener.isAnsweredBy(follower, this.#answer)) this.#settle(follower, this.#answer)
  }

  /** Ends a flight that is open; false if it is not. Its followers get its answer at once, or `rest`. */
  close (leader: P, rest?: Landing<R>): boolean {
    const answer = this.#answer
    if (rest !== undefined) this.land(leader, rest)
    if (this.#leader !== leader || answer === undefined) return false
    this.#end()
    for (const follower of this.#followers?.all() ?? []) this.#settle(follower, answer)
    return true
  }

  /**
   * Ends the flight for everybody on it. Does nothing and returns false if `leader` does not lead it.
   * @param told called once all followers have been told
   */
  land (leader: P, landing: Landing<R>, told?: () => void): boolean {
    if (this.#leader !== leader) return false
    this.#end()
    this.#tell(landing, told)
    return true
  }

  /**
   * The leader's run comes to nothing. Of the followers that may lead, the one that has waited longest is promoted, and the others
   * wait on. If there is none, the flight ends for all. Returns false if `leader` does not lead.
   *
   * @param last promotes the follower that came last instead
   * @param most after so many promotions nobody is promoted
   */
  abandon (leader: P, reason: string, last = false, most = MAX_PROMOTIONS): boolean {
    if (this.#leader !== leader) return false
    const next = this.#followers?.pick(({ mayLead }) => mayLead, last)
    if (next === undefined || this.promotions >= most) return this.land(leader, { type: 'abandoned', reason })
    this.promotions++
    leader.flight = undefined
    // Who is promoted may take its place, and still waits for the run.
    if (this.#leaderStays) leader.place?.left(leader.level)
    this.#remove(next)
    this.#succeed(next)
    this.#registry.listener.settle(next, PROMOTED, this)
    return true
  }

  /**
   * Another process leads the key: `standIn` leads the flight in its place, for as long as somebody waits here.
   *
   * @param follows the leader waits as well: its own client is still there
   */
  handOver (leader: P, standIn: P, follows: boolean): void {
    leader.flight = undefined
    if (follows) this.follow(leader)
    this.#succeed(standIn)
    this.#leaderStays = false
    this.#endIfEmpty()
  }

  /** A passenger's client is gone. The run goes on while anybody waits for it. */
  leave (passenger: P): void {
    if (passenger === this.#leader) {
      if (this.#leaderStays) passenger.place?.left(passenger.level)
      this.#leaderStays = false
    } else if (this.#followers?.has(passenger) === true) this.#forget(passenger)
    this.#endIfEmpty()
  }

  /** Lets a passenger that was on this flight run for itself: at once, or when fewer than `limit` others do. */
  release (passenger: P, limit: number, run: Run): void {
    this.#ramp ??= new Ramp(limit, passenger.flightTimeout, this.#registry.clock)
    this.#ramp.admit(run)
  }

  /** Its leader takes too long. There is one for as long as it is watched. */
  expire (): void {
    const leader = this.#leader as P
    const { listener } = this.#registry
    if (this.close(leader)) return listener.outlasted(leader)
    listener.overdue(leader)
    this.abandon(leader, 'flight-timeout')
    listener.aborted(leader, 'flight-timeout')
  }

  timedOut (follower: P, since: number): boolean {
    const { clock, listener } = this.#registry
    // Those who board again must do so before this turn ends.
    if (clock.now() - since >= TURN && listener.isAnsweredBy(follower, WAIT_TIMEOUT)) return false
    this.#settle(follower, WAIT_TIMEOUT)
    return true
  }

  waitsChecked (): void {
    this.#endIfEmpty()
  }

  #succeed (passenger: P): void {
    this.lastLeader = this.#leader
    this.#leader = passenger
    this.#leaderStays = true
    // The answer was that of the run before.
    this.#answer = undefined
    passenger.flight = this
    if (this.#telling !== undefined) this.#followers?.checkSoon()
    this.#telling = undefined
    this.takeOff()
  }

  #tell (landing: Landing<R>, told: (() => void) | undefined): void {
    if (this.followers === 0) {
      told?.()
      return
    }
    this.#telling = landing
    const { clock, listener } = this.#registry
    tell(this.#followers as Followers<P>, clock, {
      isCurrent: () => this.#telling === landing,
      isAnswered: follower => listener.isAnsweredBy(follower, landing),
      settle: follower => { this.#settle(follower, landing) },
      over: () => {
        if (this.#telling === landing) this.#telling = undefined
        told?.()
      }
    })
  }

  #settle (follower: P, ending: Ending<R>): void {
    this.#forget(follower)
    this.#registry.listener.settle(follower, ending, this)
  }

  #forget (follower: P): void {
    this.#remove(follower)
    this.#leader?.place?.left(follower.level)
  }

  #remove (follower: P): void {
    this.#followers?.remove(follower)
    follower.flight = undefined
    this.#registry.waitersChanged(-1)
  }

  #endIfEmpty (): void {
    const leader = this.#leader
    if (leader === undefined || this.#leaderStays || this.followers > 0 || leader.isAwaitedElsewhere) return
    this.#end()
    this.#registry.listener.aborted(leader, 'nobody-waits')
  }

  #end (): void {
    const leader = this.#leader
    if (leader !== undefined) leader.flight = undefined
    // Nobody but itself waits for its run any more.
    if (leader?.place !== undefined) for (const { level } of this.#followers?.all() ?? []) leader.place.left(level)
    // Who is on board asks who led. Without anybody, a flight holds nothing: a dead table of a Map may hold it for long.
    this.lastLeader = this.followers > 0 ? leader : undefined
    this.#leader = undefined
    this.fleet?.remove(this)
    this.#registry.deadlines.end(this)
    this.#registry.release(this)
  }
}
