/**
 * One run for a key, from boarding to landing.
 *
 * Invariant: a passenger that boarded is settled exactly once, or leaves. Only the passenger that leads *now* can land the
 * flight; one that led before (it timed out, or gave up) is told so by `false` and changes nothing. A landed flight takes
 * no passengers, because it is out of the register before the first follower hears of the landing. To tell very many takes more
 * than one turn of the event loop, in order of boarding; those who wait for theirs may leave, and nobody's patience ends.
 */
import type { Clock } from '../../../types/index.js'
import { Timed, type Deadlines } from './deadlines.js'
import type { Fleet } from './fleet.js'
import { pace, TURN } from './pace.js'
import { Ramp, type Run } from './ramp.js'

/** A request, or a function call, as a flight sees it. */
export interface Passenger<R> {
  /** The flight it is on, if any. Written by the flight alone. */
  flight: Flight<R> | undefined
  /** When it came, by the clock. */
  readonly arrived: number
  /** How long it is ready to wait from then on, in milliseconds. The same for all passengers of a key. */
  readonly waitTimeout: number
  /** How long a run may take, in milliseconds. The same for all passengers of a key. */
  readonly flightTimeout: number
  /** Whether its own run could answer others as well. If not it boards flights of others only, and takes over none. */
  readonly mayLead: boolean
  /** What keeps newcomers from the flight that it leads, once that is fenced. Asked only if something was. */
  readonly labels: readonly string[]
  /** Where the flights that it leads are found with others of their kind; undefined if nobody looks for them. */
  readonly fleet: Fleet<R> | undefined
  /** How it ended for a follower of `flight`, which it is no longer on, unless it leads now. Must not throw. */
  settle (ending: Ending<R>, flight: Flight<R>): void
  /** Whether that answers it. If not it boards again, and must do so at once to find those who do as well. */
  takes (ending: Ending<R>): boolean
  /** Nobody needs this leader's run any more, and it is off the flight. Must not throw. */
  abort (reason: AbortReason): void
}

export type AbortReason = 'nobody-waits' | 'flight-timeout'

/** What may tell passengers of a flight apart, and what it is for one of them. */
export interface Differences {
  readonly names: readonly string[]
  readonly values: ReadonlyArray<string | null>
}

/** How a flight ends, for everybody on it. */
export type Landing<R> =
  | { readonly type: 'shared', readonly recording: R }
  | { readonly type: 'failed', readonly recording: R }
  /** There is one that was kept before; the reason says why it may be served. */
  | { readonly type: 'kept', readonly recording: R, readonly reason: string }
  /** The key turns out to have variants, and nothing is known of them but that. */
  | { readonly type: 'mismatch' }
  /** For its leader's client only; it says nothing of followers who differ from that in one of these. */
  | { readonly type: 'unshareable', readonly reason: string, readonly variant: Differences }
  | { readonly type: 'abandoned', readonly reason: string }

/** How it ends for one follower. */
export type Ending<R> = Landing<R> | { readonly type: 'promoted' } | { readonly type: 'wait-timeout' }

/** What a flight tells the register that it belongs to. */
export interface Tower<R> {
  readonly clock: Clock
  /** Watches how long leaders take. */
  readonly deadlines: Deadlines
  /** The flight takes no more passengers. */
  release (flight: Flight<R>): void
  /** This many followers fewer (or, negative, more) are waiting. */
  departed (followers: number): void
}

/** After so many takeovers the rest is let go: nobody waits longer than for one further run. */
const MAX_PROMOTIONS = 1

/** How a flight lands with nobody on board. */
export const NOBODY_WAITS: Landing<never> = Object.freeze({ type: 'abandoned', reason: 'nobody-waits' })
export const MISMATCH: Landing<never> = Object.freeze({ type: 'mismatch' })
const PROMOTED: Ending<never> = Object.freeze({ type: 'promoted' })
const WAIT_TIMEOUT: Ending<never> = Object.freeze({ type: 'wait-timeout' })

export class Flight<R> extends Timed {
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
  readonly fleet: Fleet<R> | undefined
  /** Its neighbours in its fleet. Written by the fleet alone. */
  older: Flight<R> | undefined
  younger: Flight<R> | undefined
  readonly #tower: Tower<R>
  #leader: Passenger<R> | undefined
  /** False once the leader's own client is gone: its run goes on for the followers' sake. */
  #leaderStays = true
  /** Each follower with the time at which its patience ends; in order of boarding. */
  #followers: Map<Passenger<R>, number> | undefined
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

  /** @param now the time, by the clock of `tower` */
  constructor (key: string, leader: Passenger<R>, tower: Tower<R>, now: number) {
    super()
    this.key = key
    this.limit = leader.flightTimeout
    this.since = now
    this.#tower = tower
    this.#leader = leader
    leader.flight = this
    this.fleet = leader.fleet
    this.fleet?.add(this)
    tower.deadlines.start(this)
  }

  get leader (): Passenger<R> | undefined {
    return this.#leader
  }

  get followers (): number {
    return this.#followers?.size ?? 0
  }

  /** Parks a passenger. */
  follow (passenger: Passenger<R>): void {
    this.#followers ??= new Map()
    const deadline = passenger.arrived + passenger.waitTimeout
    if (deadline < this.#lastDeadline) this.#ordered = false
    if (deadline < this.#waitsUntil) this.#clearWaitTimer()
    this.#lastDeadline = deadline
    this.#followers.set(passenger, deadline)
    passenger.flight = this
    this.#tower.departed(-1)
    if (this.#waitTimer === undefined) this.#armWaitTimer(deadline)
  }

  /**
   * Answers everybody on the flight, and who boards from now on, until it lands. Its followers do not wait any more.
   * False, and nothing else, when `leader` does not lead it.
   *
   * @param told called once all who were on board have been answered, or are not to be any more
   */
  open (leader: Passenger<R>, answer: Landing<R>, told?: () => void): boolean {
    if (this.#leader !== leader) return false
    this.#answer = answer
    this.#tell(answer, told)
    return true
  }

  /** Gives one who has boarded the answer, if there is one by now and it is its turn. */
  answer (follower: Passenger<R>): void {
    if (this.#answer === undefined || this.#followers?.has(follower) !== true) return
    if (this.#telling === undefined || !follower.takes(this.#answer)) this.#settle(follower, this.#answer)
  }

  /** Ends a flight that is open. Those who are on board get its answer at once, while it is there to be had, or `rest`. */
  close (leader: Passenger<R>, rest?: Landing<R>): void {
    const answer = this.#answer
    if (rest !== undefined) this.land(leader, rest)
    if (this.#leader !== leader || answer === undefined) return
    this.#end()
    for (const follower of this.#followers?.keys() ?? []) this.#settle(follower, answer)
  }

  /**
   * Ends the flight for everybody on it; false, and nothing else, when `leader` does not lead it.
   */
  land (leader: Passenger<R>, landing: Landing<R>): boolean {
    if (this.#leader !== leader) return false
    this.#end()
    this.#tell(landing)
    return true
  }

  /**
   * The leader's run comes to nothing: of the followers that may lead, the one that has waited longest does, and the others
   * wait on. If none may, this is the end for all. False when `leader` does not lead.
   *
   * @param last the one that came last is to lead instead
   */
  abandon (leader: Passenger<R>, reason: string, last = false): boolean {
    if (this.#leader !== leader) return false
    const next = this.#successor(last)
    if (next === undefined || this.promotions === MAX_PROMOTIONS) {
      return this.land(leader, { type: 'abandoned', reason })
    }
    this.promotions++
    leader.flight = undefined
    this.#forget(next)
    this.#succeed(next)
    next.settle(PROMOTED, this)
    return true
  }

  /** A passenger's client is gone. The run goes on while anybody waits for it. */
  leave (passenger: Passenger<R>): void {
    if (passenger === this.#leader) {
      this.#leaderStays = false
    } else if (this.#followers?.has(passenger) === true) {
      this.#forget(passenger)
    }
    this.#endIfEmpty()
  }

  /** Lets one who was on this flight run for itself: at once, or when fewer than `limit` others do. */
  release (passenger: Passenger<R>, limit: number, run: Run): void {
    this.#ramp ??= new Ramp(limit, passenger.flightTimeout, this.#tower.clock)
    this.#ramp.admit(run)
  }

  /** Its leader takes too long. */
  expire (): void {
    // It is watched for as long as somebody leads it.
    const leader = this.#leader as Passenger<R>
    if (this.#answer !== undefined) {
      // The run has answered in time: only newcomers have waited long enough for its end.
      this.close(leader)
      return
    }
    this.abandon(leader, 'flight-timeout')
    leader.abort('flight-timeout')
  }

  #successor (last: boolean): Passenger<R> | undefined {
    let next: Passenger<R> | undefined
    for (const follower of this.#followers?.keys() ?? []) {
      if (!follower.mayLead) continue
      next = follower
      if (!last) break
    }
    return next
  }

  #succeed (passenger: Passenger<R>): void {
    this.#leader = passenger
    this.#leaderStays = true
    // What the run before it answered is not what this one will.
    this.#answer = undefined
    passenger.flight = this
    const { clock, deadlines } = this.#tower
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
    const followers = this.#followers as Map<Passenger<R>, number>
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
    pace(this.#tower.clock, step, () => {
      // Those who come later are asked by `answer`.
      if (first) for (const follower of followers.keys()) if (!follower.takes(landing)) this.#settle(follower, landing)
      first = false
    })
  }

  #settle (follower: Passenger<R>, ending: Ending<R>): void {
    this.#forget(follower)
    follower.settle(ending, this)
  }

  #forget (follower: Passenger<R>): void {
    this.#followers?.delete(follower)
    follower.flight = undefined
    this.#tower.departed(1)
    if (this.followers === 0) this.#clearWaitTimer()
  }

  #armWaitTimer (at: number): void {
    const { clock } = this.#tower
    this.#waitsUntil = at
    this.#waitTimer = clock.setTimeout(() => { this.#expire() }, Math.max(at - clock.now(), 1))
  }

  #clearWaitTimer (): void {
    if (this.#waitTimer === undefined) return
    this.#tower.clock.clearTimeout(this.#waitTimer)
    this.#waitTimer = undefined
  }

  /** One timer for all followers: it is set for the oldest, and moved on. */
  #expire (): void {
    this.#waitTimer = undefined
    const { clock } = this.#tower
    const now = clock.now()
    let next = Infinity
    for (const [follower, deadline] of this.#followers as Map<Passenger<R>, number>) {
      // What they wait for is there.
      if (this.#telling !== undefined) return
      // Node's timers may fire up to a millisecond early.
      if (deadline - now >= 1) {
        next = Math.min(next, deadline)
        if (this.#ordered) break
      } else if (clock.now() - now < TURN || !follower.takes(WAIT_TIMEOUT)) {
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
    leader.abort('nobody-waits')
  }

  #end (): void {
    const leader = this.#leader
    if (leader !== undefined) leader.flight = undefined
    this.#leader = undefined
    this.fleet?.remove(this)
    this.#tower.deadlines.end(this)
    this.#tower.release(this)
  }
}
