/**
 * How many pairs of one client may count for what differs for one client: that is what noise is learned from.
 *
 * Invariant: a client alone shows nothing. Past its first few pairs it makes no more than a fifth of them, so that somebody who varies what only the
 * app can see has a leak called noise no sooner than others have. Bounded: of clients that are too many, those that were not heard of for longest are
 * forgotten, each of which has then had its few pairs among those of all the others.
 */
import type { Room } from './room.js'

const FIRST = 3
const PART = 0.2
const MOST = 256
const BYTES = 120

export class Witnesses {
  readonly #room: Room
  /** Pairs that count, by client; the last one that came is last. */
  readonly #counted = new Map<string, number>()
  #total = 0

  constructor (room: Room) {
    this.#room = room
  }

  /** @returns whether one more pair of this client counts */
  admits (client: string): boolean {
    const counted = this.#counted.get(client)
    if (counted !== undefined && counted >= Math.max(FIRST, this.#total * PART)) return false
    if (counted === undefined && !this.#makesRoom()) return false
    this.#counted.delete(client)
    this.#counted.set(client, (counted ?? 0) + 1)
    this.#total++
    return true
  }

  #makesRoom (): boolean {
    if (this.#counted.size < MOST) return this.#room.take(BYTES)
    const [oldest] = this.#counted.keys()
    this.#counted.delete(oldest as string)
    return true
  }
}
