/**
 * A run that waits for a batch of its group.
 *
 * Invariant: it is as urgent as the most urgent of those who wait for it. It is answered at most once, and not after it has left.
 */
import type { Asking, Permission, Place } from '../protection/permits.js'
import type { BatchItem } from './batch.js'

/** A level behind all that there can be, for refreshes. */
export const REFRESH = 8
/** How much longer a run waits than one of the next more urgent level, in milliseconds, so that nobody waits for ever. */
const AGING = 1000

/** Where it waits. */
interface Line {
  /** Its level is another one now. */
  move (waiting: Waiting, level: number): void
  remove (waiting: Waiting): void
}

export class Waiting implements Place {
  readonly type = 'waits'
  readonly item: BatchItem
  readonly asking: Asking
  readonly came: number
  level: number
  /** How many wait for it, by level. */
  readonly #levels = new Array<number>(REFRESH + 1).fill(0)
  #line: Line | undefined
  #answered: (permission: Permission) => void

  constructor (line: Line, asking: Asking, item: BatchItem, now: number) {
    this.#line = line
    this.asking = asking
    this.item = item
    this.came = now
    this.level = asking.isRefresh ? REFRESH : asking.level
    this.#levels[this.level] = 1
    this.#answered = asking.answered
  }

  /** Its place: the smallest comes first. */
  get rank (): number {
    return this.came + this.level * AGING
  }

  joined (level: number): void {
    this.#count(level, 1)
  }

  left (level: number): void {
    this.#count(level, -1)
  }

  leave (): void {
    const line = this.#line
    this.#line = undefined
    line?.remove(this)
  }

  handOver (answered: (permission: Permission) => void): void {
    this.#answered = answered
  }

  /** It waits no longer. */
  answer (permission: Permission): void {
    this.#line = undefined
    this.#answered(permission)
  }

  #count (level: number, by: number): void {
    this.#levels[level] = this.#levels[level] as number + by
    const urgent = this.#levels.findIndex(count => count > 0)
    // Nobody may be left for a moment, before somebody comes in its place.
    if (urgent >= 0 && urgent !== this.level) this.#line?.move(this, urgent)
  }
}
