/**
 * What the requests of one registration have in common.
 *
 * Invariant: one object for each registration; no request changes it.
 */
import type { Coordinator } from '../../engine/coordinators/coordinator.js'
import type { Conductor } from '../../engine/conductor.js'
import type { GuardedStore } from '../../engine/cache/guarded-store.js'
import type { Budget } from '../../engine/budget.js'
import type { Recording } from '../../http/recording.js'
import type { Barrier } from '../cache/barrier.js'
import type { Warnings } from '../dependencies/warnings.js'
import type { Observing } from '../observe/observing.js'

export interface Requests {
  readonly conductor: Conductor<Recording>
  /** Decides which process leads. */
  readonly coordinator: Coordinator<Recording>
  /** Stores their cached responses. */
  readonly guarded: GuardedStore
  /** How many bytes of bodies they may hold. */
  readonly budget: Budget
  readonly barrier: Barrier
  readonly warnings: Warnings
  /** What those of observed routes have together. */
  readonly observing: Observing
  /** The names of warnings that the app does not want. */
  readonly silenced: ReadonlySet<string>
}
