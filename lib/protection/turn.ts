/**
 * One that waits for a slot of a queue.
 *
 * Invariant: it is as urgent as the most urgent of those who wait for its run, and once it waits no longer whoever joins or leaves changes
 * nothing.
 */
import { Timed } from '../deadlines.js'
import type { Refusal, Slot } from './permits.js'
import type { QueueReason } from './queue-counts.js'
import type { InTurn } from './turns.js'

/** Who wants a slot. What it is told may enter, leave and free slots itself, but must not throw. */
export interface Waiter {
  readonly level: number
  /** A background refresh: less urgent than all levels, it evicts nobody. */
  readonly isRefresh: boolean
  /** A slot is free, and is its own. False: it does not run, and the slot goes to the next. */
  take (slot: Slot): boolean
  /** It waits no longer. */
  refused (refusal: Refusal): void
}

/** Where turns are waited for. */
export interface TurnOwner {
  /** It is more or less urgent than before. */
  moved (turn: Turn, rank: number): void
  /** It waits no longer. False: it did not. */
  left (turn: Turn): boolean
  /** It is told that it waits no longer, unless it did not. */
  refuse (turn: Turn, reason: QueueReason): void
}

/** One that waits. It is as urgent as the most urgent of those who wait for its run. */
export class Turn extends Timed implements InTurn {
  readonly type = 'waits'
  readonly since: number
  readonly limit: number
  readonly waiter: Waiter
  rank: number
  order = 0
  due = 0
  placeToRun = -1
  placeToGo = -1
  readonly #owner: TurnOwner
  /** How many wait for its run, by rank. A refresh itself is one of the last rank. */
  readonly #company: number[]

  /** @param ranks how many there are */
  constructor (owner: TurnOwner, waiter: Waiter, ranks: number, rank: number, since: number, limit: number) {
    super()
    this.#owner = owner
    this.waiter = waiter
    this.rank = rank
    this.since = since
    this.limit = limit
    this.#company = new Array<number>(ranks).fill(0)
    this.#company[rank] = 1
  }

  /** One more waits for the run, whose level this is. */
  joined (level: number): void {
    this.#count(level, 1)
  }

  /** One fewer. */
  left (level: number): void {
    this.#count(level, -1)
  }

  /** Nobody wants the run any more, and it is told nothing. False: it waited no longer. */
  leave (): boolean {
    return this.#owner.left(this)
  }

  override expire (): void {
    this.#owner.refuse(this, 'queue-timeout')
  }

  #count (level: number, change: number): void {
    this.#company[level] = this.#company[level] as number + change
    const rank = this.#company.findIndex(count => count > 0)
    // Once nobody waits for it, whoever has it takes it away.
    if (rank >= 0 && rank !== this.rank) this.#owner.moved(this, rank)
  }
}
