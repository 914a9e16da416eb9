/**
 * Whether a part of the key may choose among the values at noisy places: a route that picks one of the banners of `?slot=` differs each time, and still
 * its parts make a difference.
 *
 * Invariant: bounded. Where a noisy value comes again, a part that has nothing to do with it differs now and then; one that never did is suspect.
 * Values that are new each time are chosen by nobody. With more noisy places than are looked at, each part is suspect.
 */
import { WIDTH } from './part-sets.js'
import type { Room } from './room.js'
import { Table } from './table.js'

const MOST_PLACES = 8
const MOST_VALUES = 64
/** Recurrences before a place says anything. */
const FEW = 4

export class NoisyValues {
  readonly #room: Room
  #places: Array<{ readonly values: Table, recurred: number, differed: number }> = []
  #tooMany = false

  constructor (room: Room) {
    this.#room = room
  }

  see (values: readonly number[], parts: Float64Array): void {
    this.#tooMany ||= values.length > MOST_PLACES
    if (this.#tooMany) return
    values.forEach((value, which) => {
      const place = this.#places[which] ??= { values: new Table(WIDTH, MOST_VALUES, this.#room), recurred: 0, differed: 0 }
      const row = place.values.placeOf(value)
      if (row < 0) {
        this.#tooMany = true
        return
      }
      if (place.values.has(row, value)) {
        place.recurred++
        for (let index = 0; index < WIDTH; index++) if (place.values.get(row, index) !== parts[index]) place.differed |= 1 << index
      }
      place.values.claim(row, value)
      for (let index = 0; index < WIDTH; index++) place.values.set(row, index, parts[index] as number)
    })
  }

  /** A number stands for another part. */
  replaced (index: number): void {
    if (index < WIDTH) this.reset()
  }

  reset (): void {
    for (const { values } of this.#places) values.drop()
    this.#places = []
    this.#tooMany = false
  }

  /** Whether a part is seen not to choose among noisy values. */
  exonerates (index: number): boolean {
    if (this.#tooMany) return false
    return this.#places.every(({ recurred, differed }) => recurred < FEW || (index < WIDTH && (differed & (1 << index)) !== 0))
  }
}
