/**
 * What a process has while it leads a key for all processes.
 *
 * Invariant: the first call of `land` or `release` ends it; later ones do nothing. Neither takes time, nor throws.
 */
import type { Readable } from 'node:stream'
import type { PeerResult } from './codec.js'

/** What newcomers of a key are told for a while, instead of getting a place. */
export interface PeerNote {
  readonly result: Extract<PeerResult<never>, { readonly type: 'unshareable' | 'varies' }>
  /** In milliseconds. */
  readonly ttl: number
}

export interface Lease<R> {
  /** Other processes can wait for the run, so that its result is recorded even if nobody waits here. */
  readonly isShared: boolean
  /** Another process is known to wait for it. */
  readonly isWaitedFor: boolean
  /** Other processes can read its result while that is being made. */
  readonly isRelayed: boolean
  /** The run came to something. */
  land (result: PeerResult<R>, note?: PeerNote): void
  /** The run came to nothing: those who wait for it ask again. */
  release (): void
  /**
   * The run has a result whose body is still being made: other processes read that as it is made, until the run lands, or is released.
   *
   * @param result without the body
   * @param body makes a reader of all of the body
   */
  relay (result: PeerResult<R>, body: () => Readable): void
  /** Other processes must not have the rest of that body. Does nothing if they have none of it. */
  cut (): void
}

/** Of a run that concerns this process only. */
export const NO_LEASE: Lease<never> = Object.freeze({
  isShared: false, isWaitedFor: false, isRelayed: false, land () {}, release () {}, relay () {}, cut () {}
})
