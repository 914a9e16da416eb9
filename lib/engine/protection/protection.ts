/**
 * Decides whether and when a run takes off. Without protection, at once.
 *
 * Invariant: `ended` is called once for each run that was granted.
 */
import type { Subject } from '../../observers/observer.js'

/** A run may not take off. */
export interface Refusal {
  readonly type: 'refused'
  readonly reason: 'queue-full' | 'queue-timeout' | 'breaker-open'
  readonly error: Error
  /** When it may help to try again, in milliseconds. */
  readonly retryAfter: number | undefined
}

export type Permission = { readonly type: 'granted' } | Refusal

/** How a run ended. The front ends say whether it failed: it threw, or a request was answered from 500. */
export type RunEnd = 'completed' | 'failed' | 'unshareable' | 'abandoned' | 'timed-out'

export interface Protection {
  /** Whether the run of a leader may take off; at once, or when a promise says so. One that rejects counts as granted. */
  ask (leader: Subject): Permission | Promise<Permission>
  /** A run that was granted has ended. */
  ended (leader: Subject, end: RunEnd): void
}

export const GRANTED: Permission = Object.freeze({ type: 'granted' })

export const NO_PROTECTION: Protection = Object.freeze({ ask: () => GRANTED, ended () {} })
