/**
 * Lets loops over very many take more than one turn of the event loop.
 *
 * Invariant: steps are taken one at a time, in order, the first of them at once. Between two of them the event loop turns if those
 * of this turn have taken too long, and not otherwise.
 */
import type { Clock } from '../../../types/index.js'

/** How long steps may go on in one turn of the event loop, in milliseconds. */
export const TURN = 5

/**
 * Takes steps until one says that it was the last, by `false`.
 *
 * @param yields called before the event loop turns
 */
export function pace (clock: Clock, step: () => boolean, yields: () => void = () => {}): void {
  const end = clock.now() + TURN
  while (step()) {
    if (clock.now() < end) continue
    yields()
    // It keeps the process alive: somebody waits for what comes next.
    setImmediate(pace, clock, step, yields)
    return
  }
}
