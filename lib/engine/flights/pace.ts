/**
 * Spreads long loops over more than one turn of the event loop.
 *
 * Invariant: steps are taken one at a time, in order, the first of them at once. The event loop turns between two steps only if the
 * steps of this turn have taken too long.
 */
import type { Clock } from '../../../types/index.js'

/** How long steps may go on in one turn of the event loop, in milliseconds. */
export const TURN = 5

/**
 * Takes steps until one returns false.
 *
 * @param yields called before the event loop turns
 */
export function pace (clock: Clock, step: () => boolean, yields: () => void = () => {}): void {
  const end = clock.now() + TURN
  while (step()) {
    if (clock.now() < end) continue
    yields()
    // It keeps the process alive, because followers wait for the next steps.
    setImmediate(pace, clock, step, yields)
    return
  }
}
