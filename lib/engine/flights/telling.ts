/**
 * Tells the followers of a flight how it ends, in order of boarding, and in more than one turn of the event loop if there are very many.
 *
 * Invariant: those who are not answered by the ending are told in the first turn, so that they can board again together. Followers may
 * come and leave while others are told.
 */
import type { Clock } from '../../../types/index.js'
import type { Followers, Waiter } from './followers.js'
import { pace } from './pace.js'

export interface Telling<F> {
  /** False: the flight has ended in another way meanwhile, or has a new leader. */
  isCurrent (): boolean
  isAnswered (follower: F): boolean
  settle (follower: F): void
  /** All have been told, or will not be. */
  over (): void
}

export function tell<F extends Waiter> (followers: Followers<F>, clock: Clock, telling: Telling<F>): void {
  // The iterator sees who comes and leaves.
  const waiting = followers.all()
  const step = (): boolean => {
    if (telling.isCurrent()) {
      const next = waiting.next().value
      if (next !== undefined) telling.settle(next)
      if (followers.size > 0) return true
    }
    telling.over()
    return false
  }
  let first = true
  pace(clock, step, () => {
    // For those who come later `Flight.answer` asks.
    if (!first) return
    first = false
    for (const follower of followers.all()) if (!telling.isAnswered(follower)) telling.settle(follower)
  })
}
