/**
 * A request at the coalescer: what it is to the conductor, and what a framework must do for it.
 *
 * Invariant: it knows no framework. What is abstract here is all that one has to give.
 */
import type { Outcome } from '../../types/index.js'
import type { Coalescer } from './conductor.js'
import type { Fleet } from './flights/fleet.js'
import type { AbortReason, Ending, Flight, Passenger } from './flights/flight.js'
import type { Headers } from '../http/headers.js'
import type { KeyHead } from '../http/key.js'
import { pathLabel } from '../http/labels.js'
import type { FollowReason } from '../http/policy.js'
import { isOfVariant, type KeptRecording, type Recording, type Variant } from '../http/recording.js'
import { NO_REQUEST_DIRECTIVES } from '../http/request-directives.js'
import type { MissReason, Refresh, Standby } from '../fastify/cache/response-cache.js'
import type { Subject } from '../observers/observer.js'
import type { Tally } from '../observers/tally.js'
import type { RouteSettings } from '../options/options.js'
import type { Role } from './role.js'

/** A route that is coalesced. */
export interface Route {
  /** What tells its keys from those of every other route. */
  readonly keyHead: KeyHead
  readonly settings: RouteSettings
  readonly tally: Tally
  /** What all that is kept of it can be purged by. */
  readonly labels: readonly string[]
  /** Its flights in the air. */
  readonly fleet: Fleet<Recording>
  disabled: boolean
}

/** What a run came to, as far as keeping it goes. */
export interface Response {
  readonly status: number
  /** All of its headers, those that hooks added as well. */
  readonly headers: Headers
  /** The handler threw, or answered 5xx. */
  readonly failed: boolean
  /** What it can be purged by. */
  readonly tags: readonly string[]
  /** The labels of what it says is still good. */
  readonly inherited: readonly string[]
}

/** A recording that was kept, and why it may be served. */
export interface Kept {
  readonly recording: KeptRecording
  readonly reason: string
}

/** One request, as the coalescer sees it; what a framework must do for it is abstract. */
export abstract class Visit implements Passenger<Recording>, Subject {
  flight: Flight<Recording> | undefined
  role: Role = 'new'
  outcome: Outcome | undefined
  outcomeReason: string | undefined
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
  /** When its run began, if that can be kept; a moment of the shelf's. */
  since = 0
  /** It leads, and waits for what a slow store says. */
  looks = false
  /** What a look found that is too old to be served. */
  found: KeptRecording | undefined
  /** The same, if it may be served once its run has failed. */
  standby: Standby | undefined
  /** What it is answered with as soon as it is ready for that. */
  kept: Kept | undefined
  /** Why a look gave it nothing to be served. */
  missed: MissReason | undefined
  /** How long what its run brought is kept as fresh, in milliseconds; undefined if it is not kept. */
  stored: number | undefined
  /** Its handler said that what is kept is still good. */
  revalidated = false
  /** What it asks of a cache, on routes that heed that. */
  demands = NO_REQUEST_DIRECTIVES
  /** It runs for nobody but the shelf. */
  refresh: Refresh | undefined
  /** Tells the ramp that its own run is over. */
  finished: (() => void) | undefined
  readonly route: Route
  readonly coalescer: Coalescer
  #labels: readonly string[] | undefined

  constructor (coalescer: Coalescer, route: Route) {
    this.coalescer = coalescer
    this.route = route
  }

  abstract readonly id: string
  abstract readonly log: Subject['log']
  /** The path that was asked for: as its handler sees it, and as its client does. */
  abstract readonly paths: readonly string[]

  /** Whether it runs, or ran, the handler for others than its client. */
  abstract readonly led: boolean
  /** The status of what its own run brought. */
  abstract readonly runStatus: number | undefined
  /** Its client is gone. */
  abstract readonly gone: boolean
  /** Whether a request without credentials can be made that has the same key. */
  abstract readonly refreshable: boolean
  /** Why it may not lead; undefined if it may. */
  abstract readonly followsOnly: FollowReason | undefined
  /** One of the request's headers, or the client's address; null if there is none. */
  abstract value (name: string): string | null
  /** Runs the handler, after a wait. */
  abstract run (): void
  /** Answers with a recording. */
  abstract replay (recording: Recording): void
  /**
   * Answers with an error.
   *
   * @param retryAfter in milliseconds, where that may help
   */
  abstract refuse (error: Error, retryAfter?: number): void
  /** Aborts its run's signal. */
  abstract cancel (reason: Error): void
  /** It leads, and somebody waits for it. Called again for each that comes. */
  abstract followed (): void
  /** What its run came to, for those who wait. */
  abstract record (variant: Variant): Recording
  /** What its run came to, for who keeps it. */
  abstract response (): Response
  /** The `ttl` of its route for what its run came to. */
  abstract ttlOf (recording: Recording): number | 'headers' | undefined
  /** Runs the handler once more, for nobody's sake, and ends when that has ended. */
  abstract rerun (refresh: Refresh): Promise<void>

  /** Whether somebody waits for its run. */
  get hasFollowers (): boolean {
    return this.flight !== undefined && this.flight.followers > 0
  }

  /** Whether its handler runs as soon as it has boarded. */
  get runsNow (): boolean {
    return this.role !== 'follower' && this.role !== 'looking' && this.role !== 'kept' && !this.looks
  }

  get mayLead (): boolean {
    return this.followsOnly === undefined && !this.demands.onlyIfCached
  }

  get labels (): readonly string[] {
    return (this.#labels ??= [...new Set(this.paths.map(pathLabel))])
  }

  get fleet (): Fleet<Recording> {
    return this.route.fleet
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

  /** What having found no place comes to: `boarding`, after which it runs by itself, unless it wants no run. */
  placeless<Boarding> (boarding: Boarding): Boarding | 'kept' {
    if (!this.demands.onlyIfCached) return boarding
    this.role = 'kept'
    return 'kept'
  }

  /** It takes the place of a leader. */
  lead (): void {
    this.role = 'leader'
    this.leaderId = this.id
  }

  /** Its own run, if it was one, is over. */
  over (): void {
    this.finished?.()
    this.finished = undefined
  }

  /** Its patience begins anew; false if it did already. */
  relieve (now: number): boolean {
    if (this.relieved) return false
    this.relieved = true
    this.waited = now - this.arrived
    this.arrived = now
    return true
  }

  settle (ending: Ending<Recording>, flight: Flight<Recording>): void {
    this.coalescer.settle(this, ending, flight)
  }

  takes (ending: Ending<Recording>): boolean {
    switch (ending.type) {
      case 'shared':
      case 'failed':
        return isOfVariant(this, ending.recording.variant)
      case 'kept':
        return isOfVariant(this, ending.recording.variant) && this.demands === NO_REQUEST_DIRECTIVES
      case 'unshareable':
        return isOfVariant(this, ending.variant)
      case 'mismatch':
        return false
      case 'wait-timeout':
        return this.relieved || this.route.settings.onWaitTimeout !== 'run'
      default:
        return true
    }
  }

  abort (reason: AbortReason): void {
    this.coalescer.aborted(this, reason)
  }
}

/** Why it found no place. */
export function reasonOf ({ followsOnly }: Visit, boarding: string): string {
  return boarding === 'no-flight' && followsOnly !== undefined ? followsOnly : boarding
}

export function outcomeOf (reason: Kept['reason']): Outcome {
  return reason === 'fresh' ? 'hit' : 'stale'
}
