/**
 * What the modules of the engine have in common, and what they tell each other of participants.
 *
 * Invariant: only types.
 */
import type { Readable } from 'node:stream'
import type { Clock, LostReason } from '../../types/index.js'
import type { Observer } from '../observers/observer.js'
import type { Cached } from './cache/lookup.js'
import type { Caching } from './caching.js'
import type { PeerResult } from './coordinators/codec.js'
import type { PeerNote } from './coordinators/lease.js'
import type { Flight } from './flights/flight.js'
import type { Flights, NoFlight } from './flights/flights.js'
import type { Outcomes } from './outcome.js'
import type { Participant } from './participant.js'
import type { Unshareable } from './unshareable.js'
import type { Variants } from './variants.js'

/** What boarding comes to: the participant runs now, it waits, or there is no place for it. */
export type Place = 'run' | 'park' | 'unshareable' | NoFlight

/** What happens to participants whose run does not take off. */
export interface Arrivals<R> {
  /** Answers with a cached result; without one, with an error. */
  serve (participant: Participant<R>, cached: Cached<R> | undefined): void
  /**
   * The run of another process, which `standIn` leads a flight for, has come to something.
   *
   * @param body that of the result, if it is still being made
   * @returns whether the body is read
   */
  landPeer (standIn: Participant<R>, result: PeerResult<R>, body?: Readable): boolean
  /** Nothing comes of the run of another process. */
  losePeer (standIn: Participant<R>, reason: LostReason): void
  /** An earlier run has left word of what becomes of a leader's key. */
  heed (leader: Participant<R>, note: PeerNote['result']): void
  /** It did not run at once, and can be answered from now on. */
  parked (participant: Participant<R>): void
  /** The key turned out to have variants. */
  boardAgain (participant: Participant<R>, flight: Flight<R, Participant<R>> | undefined): void
  /** It runs for itself, beside all flights: now, or once it may. */
  runSolo (participant: Participant<R>, place: Place): 'run' | 'park'
}

/** What listens, and takes time, for an engine. */
export interface Seams {
  readonly clock: Clock
  readonly observer: Observer
}

/** What the engine's modules have in common. */
export interface Parts<R> extends Seams {
  readonly flights: Pick<Flights<R, Participant<R>>, 'has' | 'board'>
  readonly variants: Pick<Variants, 'keyOf' | 'learn' | 'companyOf'>
  readonly unshareable: Pick<Unshareable, 'reasonFor' | 'remember' | 'forget'>
  readonly caching: Pick<Caching<R>, 'refresh'>
  readonly outcomes: Pick<Outcomes, 'report'>
}
