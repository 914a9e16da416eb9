/**
 * Who takes part in flights: a request, or a call of a function. The abstract members are all that a front end has to give.
 *
 * Invariant: it knows neither HTTP nor Fastify. Only the engine writes its state. A front end reads it, and does what it is told.
 */
import type { Readable } from 'node:stream'
import type { Outcome } from '../../types/index.js'
import type { Log, Subject } from '../observers/observer.js'
import type { Tally } from '../observers/tally.js'
import type { NoPlan, Plan, ResultCache } from './cache/cache.js'
import type { Found } from './cache/guarded-store.js'
import type { Detail, Reason, UnshareableReason } from '../reasons.js'
import type { Cached, Miss, Seeker, Suitability } from './cache/lookup.js'
import { LOCAL, type Coordinator } from './coordinators/coordinator.js'
import { NO_LEASE, type Lease } from './coordinators/lease.js'
import type { Fleet } from './flights/fleet.js'
import type { Flight, Passenger } from './flights/flight.js'
import { NO_PERMIT, NO_PROTECTION, type Permit, type Place, type Protection, type Refusal } from '../protection/permits.js'
import type { Refresh } from './refresh.js'
import { NEW, type Role } from './role.js'
import type { Company } from './company.js'
import type { Relayed, Revived, RevivedListener } from './relayed.js'

/** The limits of a route or a function. Durations are in milliseconds. */
export interface Limits {
  readonly waitTimeout: number
  readonly onWaitTimeout: 'run' | 'error'
  readonly flightTimeout: number
  readonly onError: 'share' | 'promote'
  readonly maxWaitersPerKey: number
  readonly releaseConcurrency: number
  readonly unshareableTtl: number
}

/** @typeParam R what is shared: a recording, or the result of a call */
export abstract class Participant<R> implements Passenger<R, Participant<R>>, Seeker<R>, Subject {
  flight: Flight<R, Participant<R>> | undefined
  role: Role<R> = NEW
  /** Its key, without its variant. */
  key = ''
  /** The key that it boarded under. */
  boardedKey = ''
  /** How often it boarded. */
  boardings = 0
  /** When its wait began: it boarded first, or joined a retry flight. */
  waitingSince = 0
  /** Who runs for it: itself, or another one. Undefined before boarding, and if another process runs. */
  runner: Participant<R> | undefined
  outcome: Outcome | undefined
  outcomeReason: Reason | undefined
  /** Why its lookup in the cache found nothing to serve, and the stale result that it found. */
  missed: Miss<R> | undefined
  /** The id of who ran for it in another process. */
  declare peerId: string | undefined
  // What follows is another thing than at first for few of them, and stands on the prototype until then: each field of its own takes memory.
  /** How long it had waited before that, in milliseconds. */
  declare waitedBefore: number
  /** Its wait ended once, and it joined a retry flight. */
  declare retried: boolean
  /** How long it led before its run took off, in milliseconds: the store, protection or the coordinator had not answered. */
  declare heldFor: number
  /** What it leads its key by, for all processes. */
  declare lease: Lease<R>
  /** How urgent it is where runs wait for a slot: 0 is the most urgent. */
  declare level: number
  /** What it runs by. Its front end tells it how the run ends. */
  declare permit: Permit
  /** Where it waits for a permit. */
  declare place: Place | undefined
  /** Its run was refused, and its fallback answers in the place of the run. */
  declare refusal: Refusal | undefined
  /** More of the reason of its outcome. */
  declare outcomeDetail: Detail | undefined
  /** Why the last result of its key and variant was not shared, as remembered when it boarded; undefined if it was shared. */
  declare unshareableFor: UnshareableReason | undefined
  /** The runs of its key, where that has variants. Set while it runs. */
  declare company: Company | undefined
  /** The cached result that it is answered with. */
  declare served: Cached<R> | undefined
  /** How long the result of its run stays fresh in the cache, in milliseconds; undefined if it is not stored. */
  declare storedFor: number | undefined

  static {
    Object.assign(this.prototype, {
      peerId: undefined,
      waitedBefore: 0,
      retried: false,
      heldFor: 0,
      lease: NO_LEASE,
      level: 0,
      permit: NO_PERMIT,
      place: undefined,
      refusal: undefined,
      outcomeDetail: undefined,
      unshareableFor: undefined,
      company: undefined,
      served: undefined,
      storedFor: undefined
    } satisfies Partial<Participant<never>>)
  }

  abstract readonly id: string
  abstract readonly request: object | undefined
  abstract readonly log: Log
  abstract readonly tally: Tally
  abstract readonly limits: Limits
  abstract readonly cache: ResultCache<R>
  /** What it is a request or a call of. */
  abstract readonly origin: object
  /** If one of these is fenced, newcomers cannot join the flight that it leads. Read only after something was fenced. */
  abstract readonly labels: readonly string[]
  /** The fleet of the flights that it leads; undefined if they have none. */
  abstract readonly fleet: Fleet<Flight<R, Participant<R>>> | undefined
  /** Why it may not lead; undefined if it may. */
  abstract readonly followsOnly: 'head' | 'range' | undefined
  /** It wants a cached result or an error, and no run. */
  abstract readonly onlyIfCached: boolean
  /** Its client is gone. */
  abstract readonly gone: boolean
  abstract readonly refreshable: boolean
  /** Something answers in the place of its run, if that is refused. */
  abstract readonly hasFallback: boolean

  abstract refuses (recording: R): 'vary' | 'rejected' | undefined
  abstract suits (recording: R, found: Found): Suitability
  /** Whether it may have the result of another one's run; `cached`: of one that its leader found in the cache. */
  abstract accepts (recording: R, cached: boolean): boolean
  /** Runs, after a wait. */
  abstract run (): void
  /** Answers with another one's result. */
  abstract give (recording: R): void
  /**
   * Answers with an error.
   *
   * @param retryAfter in milliseconds, where that may help
   */
  abstract refuse (error: Error, retryAfter: number | undefined): void
  /** Nobody needs its run any more: aborts its signal. */
  abstract cancel (reason: Error): void
  /** It leads, and a follower has joined. Called for each follower. */
  abstract joined (): void
  /** What its run came to, for those who wait. `names`: what it depends on besides the key. */
  abstract record (names: readonly string[]): R
  /** Whether, and as what, the result of a run that began at `startedAt` is stored `now`. Both by the store's time. */
  abstract plan (recording: R, startedAt: number, now: number): Plan | NoPlan
  /** Its run said that the stale result is still good. */
  abstract readonly revalidated: boolean
  /** Runs once more in the background, and ends when that has ended. */
  abstract refresh (refresh: Refresh<R>): Promise<void>

  /** The value of what tells variants apart; null if there is none. Results have no variants unless they are said to depend on something. */
  value (_name: string): string | null {
    return null
  }

  /** What runs of its key split by, if they do by these names. */
  splitBy (names: readonly string[]): Detail {
    return { cause: 'other', names }
  }

  /** It was learned just now that results of its key depend on these as well. */
  learned (_names: readonly string[]): void {}

  /** Whether it runs for itself instead of being given a result, so that the two can be compared. It is then told nothing more of that result. */
  verifies (_recording: R): boolean {
    return false
  }

  /** Results of its key depend on more names than can be remembered, so that for a while nothing is shared. */
  tooVaried (): void {}

  /** Its followers are about to get its result, a few in each turn. Returns what to call when all have it. */
  sharing (_recording: R): (() => void) | undefined {
    return undefined
  }

  /** What other processes get of its live result. Undefined: they get it when it is complete. */
  relayed (_recording: R): Relayed<R> | undefined {
    return undefined
  }

  /** A live result of another process, with its body. Undefined: there is no such thing. */
  revived (_recording: R, _body: Readable, _listener: RevivedListener): Revived<R> | undefined {
    return undefined
  }

  get leaderId (): string | undefined {
    return this.runner === undefined ? this.peerId : this.runner.id
  }

  get leaderRequest (): object | undefined {
    return this.runner?.request
  }

  get mayLead (): boolean {
    return this.followsOnly === undefined && !this.onlyIfCached
  }

  get waitTimeout (): number {
    return this.limits.waitTimeout
  }

  get flightTimeout (): number {
    return this.limits.flightTimeout
  }

  /** What its run has to pass. */
  get protection (): Protection {
    return NO_PROTECTION
  }

  /** What protection is told that it is: a request, or the arguments of a call. */
  get subject (): readonly unknown[] {
    return []
  }

  /** Decides which process leads its key. */
  get coordinator (): Coordinator<R> {
    return LOCAL
  }

  /** Whether somebody waits for its run here. */
  get hasFollowers (): boolean {
    return this.flight !== undefined && this.flight.followers > 0
  }

  /** Whether another process is known to wait for its run. */
  get isAwaitedElsewhere (): boolean {
    return this.lease.isWaitedFor
  }

  /** Whether its result is recorded: somebody waits for its run, or may wait for it in another process. */
  get isRecorded (): boolean {
    return this.lease.isShared || this.hasFollowers
  }
}
