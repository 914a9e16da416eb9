/**
 * How flights end: for everybody on board, and for one follower.
 *
 * Invariant: plain data. A landing says what there is to have; what becomes of a follower is decided in `Endings.settle`.
 */
import type { UnshareableReason } from '../../reasons.js'
import type { Variant } from '../../variant.js'
import type { CachedReason } from '../cache/lookup.js'
import type { Refusal } from '../../protection/permits.js'

/** How a flight ends, for everybody on it. */
export type Landing<R> =
  /** The leader's run came to this; `took`: after how many milliseconds. */
  | { readonly type: 'shared', readonly recording: R, readonly took: number }
  | { readonly type: 'failed', readonly recording: R, readonly took: number }
  /** The leader found a result in the cache; the reason says why it may be served. */
  | { readonly type: 'cached', readonly recording: R, readonly reason: CachedReason }
  /** Another process led the key; the reason says whether its run failed. */
  | { readonly type: 'peer', readonly recording: R, readonly leaderId: string, readonly reason: 'shared' | 'failed' }
  /** The key turns out to have variants, and nothing is known of them but that. */
  | { readonly type: 'mismatch' }
  /** For the leader's client only. A follower whose values differ from `variant` boards again. */
  | { readonly type: 'unshareable', readonly reason: UnshareableReason, readonly variant: Variant }
  | { readonly type: 'abandoned', readonly reason: string }
  /** Protection does not let the run take off. */
  | Refusal

/** How a flight ends for one follower. */
export type Ending<R> = Landing<R> | { readonly type: 'promoted' } | { readonly type: 'wait-timeout' }

/** Why a leader's run is aborted. */
export type AbortReason = 'nobody-waits' | 'flight-timeout'

/** How a flight lands with nobody on board. */
export const NOBODY_WAITS: Landing<never> = Object.freeze({ type: 'abandoned', reason: 'nobody-waits' })
export const MISMATCH: Landing<never> = Object.freeze({ type: 'mismatch' })
export const PROMOTED: Ending<never> = Object.freeze({ type: 'promoted' })
export const WAIT_TIMEOUT: Ending<never> = Object.freeze({ type: 'wait-timeout' })
