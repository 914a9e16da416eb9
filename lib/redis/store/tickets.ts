/**
 * What the clock of purges of a lane said, and when this process heard it: with the answers to its lookups.
 *
 * Invariant: a run is given what was heard before it began, never later: whatever was purged after that is seen to have been. Bounded: of
 * very many changes the oldest are forgotten, and the results of runs that began before those are not stored.
 */
import type { Ticket } from './bytes.js'

const MOST = 256

interface Heard extends Ticket {
  readonly at: number
}

export class Tickets {
  /** Oldest first; one for each change. */
  #heard: Heard[] = []

  /** @param at a stamp of the clock that the beginnings of runs are given by */
  hear (at: number, generation: string, e: number): void {
    const last = this.#heard.at(-1)
    if (last?.generation === generation && last.e === e) return
    if (last !== undefined && last.generation !== generation) this.#heard = []
    this.#heard.push({ at, generation, e })
    if (this.#heard.length > MOST) this.#heard.shift()
  }

  /** For a run that began at `since`. */
  before (since: number): Ticket | undefined {
    return this.#heard.findLast(({ at }) => at <= since)
  }
}
