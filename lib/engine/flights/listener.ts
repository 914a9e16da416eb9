/**
 * Who is told how flights end, and where they are registered, as a flight sees them.
 *
 * Invariant: only types.
 */
import type { Clock } from '../../../types/index.js'
import type { Deadlines } from '../../deadlines.js'
import type { AbortReason, Ending } from './landing.js'

/** Is told how flights end. Must not throw. */
export interface FlightListener<R, P, F> {
  /** A flight ended for a follower. The follower is not on it any more, unless it leads it now. */
  settle (follower: P, ending: Ending<R>, flight: F): void
  /** Whether an ending answers a follower. If not it boards again, and must do so at once to find the others who do. */
  isAnsweredBy (follower: P, ending: Ending<R>): boolean
  /** The run of this leader takes too long. Called before another one leads in its place. */
  overdue (leader: P): void
  /** Nobody needs the run of this leader any more. The leader is off the flight. */
  aborted (leader: P, reason: AbortReason): void
  /** The run of this leader has answered in time, but takes too long to end: newcomers do not wait for it any more. */
  outlasted (leader: P): void
}

/** The register that a flight belongs to, as the flight sees it. */
export interface FlightRegistry<R, P, F> {
  readonly listener: FlightListener<R, P, F>
  readonly clock: Clock
  /** Watches how long leaders take. */
  readonly deadlines: Deadlines
  /** The flight takes no more passengers. */
  release (flight: F): void
  /** So many more followers are waiting; fewer if it is negative. */
  waitersChanged (by: number): void
}
