/**
 * One run for a key, from boarding to landing.
 *
 * Invariant: a passenger that boarded is settled exactly once, or leaves. Only the passenger that leads *now* can land the
 * flight; one that led before (it timed out, or gave up) is told so by `false` and changes nothing. A landed flight takes
 * no passengers, because it is out of the register before the first follower hears of the landing. To tell very many takes more
 * than one turn of the event loop, in order of boarding; those who wait for theirs may leave, and nobody's patience ends.
 */
import type { Clock } from '../../../types/index.js'
import type { Variant } from '../../variant.js'
import type { CachedReason } from '../cache/lookup.js'
import type { Refusal } from '../protection/protection.js'
import { Timed, type Deadlines } from './deadlines.js'
import type { Fleet } from './fleet.js'
import { pace, TURN } from './pace.js'
import { Ramp, type Run } from './ramp.js'

/** Who is on a flight, as that sees it. */
export interface Passenger<R, P extends Passenger<R, P>> {
  /** The flight it is on, if any. Written by the flight alone. */
  flight: Flight<R, P> | undefined
  /** When its wait began, by the clock. */
  readonly waitingSince: number
  /** How long it is ready to wait from then on, in milliseconds. The same for all passengers of a key. */
  readonly waitTimeout: number
  /** How long a run may take, in milliseconds. The same for all passengers of a key. */
  readonly flightTimeout: number
  /** Whether its own run could answer others as well. If not it boards flights of others only, and takes over none. */
  readonly mayLead: boolean
  /** What keeps newcomers from the flight that it leads, once that is fenced. Asked only if something was. */
  readonly labels: readonly string[]
  /** Where the flights that it leads are found with others of their kind; undefined if nobody looks for them. */
  readonly fleet: Fleet<R, P> | undefined
}

/** Is told how flights end. Must not throw. */
export interface FlightListener<R, P extends Passenger<R, P>> {
  /** How it ended for a follower of `flight`, which it is no longer on, unless it leads now. */
  settle (follower: P, ending: Ending<R>, flight: Flight<R, P>): void
  /** Whether an ending answers a follower. If not it boards again, and must do so at once to find the others who do. */
  isAnsweredBy (follower: P, ending: Ending<R>): boolean
  /** Nobody needs this leader's run any more, and it is off the flight. */
  aborted (leader: P, reason: AbortReason): void
}

export type AbortReason = 'nobody-waits' | 'flight-timeout'

/** How a flight ends, for everybody on it. */
export type Landing<R> =
  | { readonly type: 'shared', readonly recording: R }
  | { readonly type: 'failed', readonly recording: R }
  /** The leader found one in the cache; the reason says why it may be served. */
  | { readonly type: 'cached', readonly recording: R, readonly reason: CachedReason }
  /** Another process led the key. */
  | { readonly type: 'peer', readonly recording: R, readonly leaderId: string }
  /** The key turns out to have variants, and nothing is known of them but that. */
  | { readonly type: 'mismatch' }
  /** For its leader's client only; it says nothing of followers who differ from that in one of these. */
  | { readonly type: 'unshareable', readonly reason: string, readonly variant: Variant }
  | { readonly type: 'abandoned', readonly reason: string }
  /** Protection does not let its run take off. */
  | Refusal

/** How it ends for one follower. */
export type Ending<R> = Landing<R> | { readonly type: 'promoted' } | { readonly type: 'wait-timeout' }

/** The register that a flight belongs to, as that sees it. */
export interface FlightRegistry<R, P extends Passenger<R, P>> {
  readonly listener: FlightListener<R, P>
  readonly clock: Clock
  /** Watches how long leaders take. */
  readonly deadlines: Deadlines
  /** The flight takes no more passengers. */
  release (flight: Flight<R, P>): void
  /** So many followers more (or, negative, fewer) are waiting. */
  waitersChanged (by: number): void
}

/** After so many takeovers the rest is let go: nobody waits longer than for one further run. */
const MAX_PROMOTIONS = 1

/** How a flight lands with nobody on board. */
export const NOBODY_WAITS: Landing<never> = Object.freeze({ type: 'abandoned', reason: 'nobody-waits' })
export const MISMATCH: Landing<never> = Object.freeze({ type: 'mismatch' })
const PROMOTED: Ending<never> = Object.freeze({ type: 'promoted' })
const WAIT_TIMEOUT: Ending<never> = Object.freeze({ type: 'wait-timeout' })

export class Flight<R, P extends Passenger<R, P>> extends Timed {
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
  readonly fleet: Fleet<R, P> | undefined
  /** Its neighbours in its fleet. Written by the fleet alone. */
  older: Flight<R, P> | undefined
  younger: Flight<R, P> | undefined
  readonly #registry: FlightRegistry<R, P>
  #leader: P | undefined
  /** Who led before, or led last. */
  lastLeader: P | undefined
  /** False once the leader's own client is gone: its run goes on for the followers' sake. */
  #leaderStays = true
  /** Each follower with the time at which its patience ends; in order of boarding. */
  #followers: Map<P, number> | undefined
  /** That order is the order of those times as well: nobody had waited elsewhere before. */
  #ordered = true
  #lastDeadline = 0
  #waitTimer: unknown
  /** What the wait timer is set for. */
  #waitsUntil = 0
  #ramp: Ramp | undefined
  /** What everybody gets who boards before the flight lands. */
  #answer: Landing<R> | undefined
  /** What its followers are being told, one after the other. */
  #telling: Landing<R> | undefined

  /** @param now the time, by the clock of `registry` */
  constructor (key: string, leader: P, registry: FlightRegistry<R, P>, now: number) {
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

  get leader (): P | undefined {
    return this.#leader
  }

  get followers (): number {
    return this.#followers?.size ?? 0
  }

  /** Parks a passenger. */
  follow (passenger: P): void {
    this.#followers ??= new Map()
    const deadline = passenger.waitingSince + passenger.waitTimeout
    if (deadline < this.#lastDeadline) this.#ordered = false
    if (deadline < this.#waitsUntil) this.#clearWaitTimer()
    this.#lastDeadline = deadline
    this.#followers.set(passenger, deadline)
    passenger.flight = this
    this.#registry.waitersChanged(1)
    if (this.#waitTimer === undefined) this.#armWaitTimer(deadline)
  }

  /**
   * Answers everybody on the flight, and who boards from now on, until it lands. Its followers do not wait any more.
   * False, and nothing else, when `leader` does not lead it.
   *
   * @param told called once all who were on board have been answered, or are not to be any more
   */
  open (leader: P, answer: Landing<R>, told?: () => void): boolean {
    if (this.#leader !== leader) return false
    this.#answer = answer
    this.#tell(answer, told)
    return true
  }

  /** Gives one who has boarded the answer, if there is one by now and it is its turn. */
  answer (follower: P): void {
    if (this.#answer === undefined || this.#followers?.has(follower) !== true) return
    if (this.#telling === undefined || !this.#registry.listener.isAnsweredBy(follower, this.#answer)) this.#settle(follower, this.#answer)
  }

  /** Ends a flight that is open. Those who are on board get its answer at once, while it is there to be had, or `rest`. */
  close (leader: P, rest?: Landing<R>): void {
    const answer = this.#answer
    if (rest !== undefined) this.land(leader, rest)
    if (this.#leader !== leader || answer === undefined) return
    this.#end()
    for (const follower of this.#followers?.keys() ?? []) this.#settle(follower, answer)
  }

  /**
   * Ends the flight for everybody on it; false, and nothing else, when `leader` does not lead it.
   *
   * @param told called once all have been told
   */
  land (leader: P, landing: Landing<R>, told?: () => void): boolean {
    if (this.#leader !== leader) return false
    this.#end()
    this.#tell(landing, told)
    return true
  }

  /**
   * The leader's run comes to nothing: of the followers that may lead, the one that has waited longest does, and the others
   * wait on. If none may, this is the end for all. False when `leader` does not lead.
   *
   * @param last the one that came last is to lead instead
   */
  abandon (leader: P, reason: string, last = false): boolean {
    if (this.#leader !== leader) return false
    const next = this.#successor(last)
    if (next === undefined || this.promotions === MAX_PROMOTIONS) {
      return this.land(leader, { type: 'abandoned', reason })
    }
    this.promotions++
    leader.flight = undefined
    this.#forget(next)
    this.#succeed(next)
    this.#registry.listener.settle(next, PROMOTED, this)
    return true
  }

  /** A passenger's client is gone. The run goes on while anybody waits for it. */
  leave (passenger: P): void {
    if (passenger === this.#leader) {
      this.#leaderStays = false
    } else if (this.#followers?.has(passenger) === true) {
      this.#forget(passenger)
    }
    this.#endIfEmpty()
  }

  /** Lets one who was on this flight run for itself: at once, or when fewer than `limit` others do. */
  release (passenger: P, limit: number, run: Run): void {
    this.#ramp ??= new Ramp(limit, passenger.flightTimeout, this.#registry.clock)
    this.#ramp.admit(run)
  }

  /** Its leader takes too long. */
  expire (): void {
    // It is watched for as long as somebody leads it.
    const leader = this.#leader as P
    if (this.#answer !== undefined) {
      // The run has answered in time: only newcomers have waited long enough for its end.
      this.close(leader)
      return
    }
    this.abandon(leader, 'flight-timeout')
    this.#registry.listener.aborted(leader, 'flight-timeout')
  }

  #successor (last: boolean): P | undefined {
    let next: P | undefined
    for (const follower of this.#followers?.keys() ?? []) {
      if (!follower.mayLead) continue
      next = follower
      if (!last) break
    }
    return next
  }

  #succeed (passenger: P): void {
    this.lastLeader = this.#leader
    this.#leader = passenger
    this.#leaderStays = true
    // What the run before it answered is not what this one will.
    this.#answer = undefined
    passenger.flight = this
    const { clock, deadlines } = this.#registry
    if (this.#telling !== undefined) {
      this.#telling = undefined
      this.#clearWaitTimer()
      if (this.followers > 0) this.#armWaitTimer(clock.now())
    }
    deadlines.end(this)
    this.since = clock.now()
    deadlines.start(this)
  }

  #tell (landing: Landing<R>, told: () => void = () => {}): void {
    if (this.followers === 0) {
      told()
      return
    }
    const followers = this.#followers as Map<P, number>
    // What settling one of them sets off, or another turn of the event loop, may make one leave or come: this is told of it.
    const waiting = followers.keys()
    this.#telling = landing
    const step = (): boolean => {
      // Otherwise it has ended in another way meanwhile, or somebody leads it anew.
      if (this.#telling === landing) {
        const next = waiting.next().value
        if (next !== undefined) this.#settle(next, landing)
        if (followers.size > 0) return true
        this.#telling = undefined
      }
      told()
      return false
    }
    let first = true
    pace(this.#registry.clock, step, () => {
      // Those who come later are asked by `answer`.
      if (!first) return
      first = false
      const { listener } = this.#registry
      for (const follower of followers.keys()) if (!listener.isAnsweredBy(follower, landing)) this.#settle(follower, landing)
    })
  }

  #settle (follower: P, ending: Ending<R>): void {
    this.#forget(follower)
    this.#registry.listener.settle(follower, ending, this)
  }

  #forget (follower: P): void {
    this.#followers?.delete(follower)
    follower.flight = undefined
    this.#registry.waitersChanged(-1)
    if (this.followers === 0) this.#clearWaitTimer()
  }

  #armWaitTimer (at: number): void {
    const { clock } = this.#registry
    this.#waitsUntil = at
    this.#waitTimer = clock.setTimeout(() => { this.#expire() }, Math.max(at - clock.now(), 1))
  }

  #clearWaitTimer (): void {
    if (this.#waitTimer === undefined) return
    this.#registry.clock.clearTimeout(this.#waitTimer)
    this.#waitTimer = undefined
  }

  /** One timer for all followers: it is set for the oldest, and moved on. */
  #expire (): void {
    this.#waitTimer = undefined
    const { clock } = this.#registry
    const now = clock.now()
    let next = Infinity
    for (const [follower, deadline] of this.#followers as Map<P, number>) {
      // What they wait for is there.
      if (this.#telling !== undefined) return
      // Node's timers may fire up to a millisecond early.
      if (deadline - now >= 1) {
        next = Math.min(next, deadline)
        if (this.#ordered) break
      } else if (clock.now() - now < TURN || !this.#registry.listener.isAnsweredBy(follower, WAIT_TIMEOUT)) {
        this.#settle(follower, WAIT_TIMEOUT)
      } else {
        next = deadline
      }
    }
    // Settling may have let somebody board, who set it for itself.
    this.#clearWaitTimer()
    if (next < Infinity && this.followers > 0) this.#armWaitTimer(next)
    this.#endIfEmpty()
  }

  #endIfEmpty (): void {
    const leader = this.#leader
    if (leader === undefined || this.#leaderStays || this.followers > 0) return
    this.#end()
    this.#registry.listener.aborted(leader, 'nobody-waits')
  }

  #end (): void {
    const leader = this.#leader
    if (leader !== undefined) leader.flight = undefined
    this.lastLeader = leader
    this.#leader = undefined
    this.fleet?.remove(this)
    this.#registry.deadlines.end(this)
    this.#registry.release(this)
  }
}
