/**
 * The names that matter most, each with a number from 0 on.
 *
 * Invariant: at most 64, however many there are: a new one takes the number of the rarest, together with its count, so that what is asked
 * often stays, whatever names a client makes up. Long names are none.
 */
import { hashOf } from './hashes.js'
import type { Room } from './room.js'

export const MAX_NAMES = 64
/** New names of one request that are looked at. */
const MAX_NEW = 8
const LONGEST = 100
/** What one takes, with its text. */
const BYTES = 400

export interface Named {
  readonly name: string
  readonly index: number
  /** Of the name alone. */
  readonly hash: number
  count: number
}

export class Names {
  readonly #byName = new Map<string, Named>()
  readonly #replaced: (index: number) => void
  readonly #room: Room
  #new = 0

  /** @param replaced is told that a number stands for another name from now on */
  constructor (room: Room, replaced: (index: number) => void) {
    this.#room = room
    this.#replaced = replaced
  }

  get size (): number {
    return this.#byName.size
  }

  /** A request begins. */
  begin (): void {
    this.#new = 0
  }

  /** Counts the name. Undefined if it is none of those that matter. */
  see (name: string): Named | undefined {
    const known = this.#byName.get(name)
    if (known !== undefined) {
      known.count++
      return known
    }
    if (name.length > LONGEST || this.#new === MAX_NEW || (this.#byName.size < MAX_NAMES && !this.#room.take(BYTES))) return undefined
    this.#new++
    return this.#add(name)
  }

  clear (): void {
    this.#room.give(this.#byName.size * BYTES)
    this.#byName.clear()
  }

  [Symbol.iterator] (): IterableIterator<Named> {
    return this.#byName.values()
  }

  #add (name: string): Named {
    let index = this.#byName.size
    let count = 1
    if (index === MAX_NAMES) {
      let rarest: Named | undefined
      for (const named of this.#byName.values()) if (rarest === undefined || named.count < rarest.count) rarest = named
      const { name: old, index: free, count: before } = rarest as Named
      this.#byName.delete(old)
      this.#replaced(free)
      index = free
      count = before + 1
    }
    const named = { name, index, hash: hashOf(name), count }
    this.#byName.set(name, named)
    return named
  }
}
