/**
 * Rows of numbers by a hash, in bounded memory: a row that falls on another's place takes it.
 *
 * Invariant: one array of numbers, which is paid for from the room of the registration before it is made, and twice as long each time that it
 * is half full, up to its bound. Without room it stays as it is; without any room it is no table, and finds nothing.
 */

import type { Room } from './room.js'

const FEWEST_ROWS = 32

export class Table {
  readonly #width: number
  readonly #most: number
  readonly #room: Room
  #numbers = new Float64Array(0)
  #rows = 0
  #used = 0

  /**
   * @param width numbers of a row, besides its hash
   * @param most rows; a power of two
   */
  constructor (width: number, most: number, room: Room) {
    this.#width = width + 1
    this.#most = most
    this.#room = room
  }

  /** Where the row of a hash begins, whoever has it now; -1 if there is no room for any. */
  placeOf (hash: number): number {
    if (this.#used >= this.#rows / 2 && this.#rows < this.#most) this.#grow()
    return this.#rows === 0 ? -1 : this.#at(hash)
  }

  /** Whether the row is that of the hash. */
  has (place: number, hash: number): boolean {
    return this.#numbers[place] === hash + 1
  }

  /** Gives the row to the hash. */
  claim (place: number, hash: number): void {
    if (this.#numbers[place] === 0) this.#used++
    this.#numbers[place] = hash + 1
  }

  get (place: number, column: number): number {
    return this.#numbers[place + 1 + column] as number
  }

  set (place: number, column: number, value: number): void {
    this.#numbers[place + 1 + column] = value
  }

  clear (): void {
    this.#numbers.fill(0)
    this.#used = 0
  }

  /** Gives back its bytes. */
  drop (): void {
    this.#room.give(this.#numbers.byteLength)
    this.#numbers = new Float64Array(0)
    this.#rows = this.#used = 0
  }

  #at (hash: number): number {
    return (hash % this.#rows) * this.#width
  }

  #grow (): void {
    const rows = this.#rows === 0 ? FEWEST_ROWS : this.#rows * 2
    const old = this.#numbers
    if (!this.#room.take((rows - this.#rows) * this.#width * 8)) return
    this.#numbers = new Float64Array(rows * this.#width)
    this.#rows = rows
    for (let place = 0; place < old.length; place += this.#width) {
      const owner = old[place] as number
      if (owner !== 0) this.#numbers.set(old.subarray(place, place + this.#width), this.#at(owner - 1))
    }
  }
}
