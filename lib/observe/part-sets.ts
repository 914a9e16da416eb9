/**
 * Parts of the key that come and go together, such as `utm_source` and `utm_medium`: found where the same response was made for keys that differ
 * in several parts.
 *
 * Invariant: bounded. A pair counts for a set only if every part of it differs, so that no part hides behind the others.
 */
import { minus } from './hashes.js'
import { Names } from './names.js'
import type { Room } from './room.js'
import { Table } from './table.js'

/** Parts that are looked at: those with the first numbers. */
export const WIDTH = 16
const MOST_TWINS = 256
const MOST_ROWS = 512
const LARGEST_SET = 6
const MOST_SETS = 4
const MOST_REFUTED = 64
/** How often parts have to differ together before they are tried together. */
const OFTEN = 8
/** Requests after which it is thought over which sets are tried. */
const EVERY = 64

/** Columns of a row of a set, before its parts. */
const [OUTCOME, AT, PARTS] = [0, 1, 2] as const

interface Tried {
  readonly label: string
  readonly indexes: readonly number[]
  readonly rows: Table
  same: number
  differ: number
}

export class PartSets {
  readonly #window: number
  readonly #room: Room
  /** By a response, the parts of the key of the last one. */
  readonly #twins: Table
  /** Labels of sets that were seen to differ together. */
  readonly #seen: Names
  #tried: readonly Tried[] = []
  /** Labels of sets that make a difference, which are tried no more. */
  readonly #refuted = new Set<string>()
  #requests = 0

  constructor (window: number, room: Room) {
    this.#window = window
    this.#room = room
    this.#twins = new Table(WIDTH, MOST_TWINS, room)
    this.#seen = new Names(room, () => {})
  }

  see (at: number, parts: Float64Array, sum: number, outcome: number): void {
    this.#meetTwin(parts, outcome)
    for (const tried of this.#tried) this.#compare(tried, at, parts, sum, outcome)
    if (++this.#requests % EVERY === 0) this.#choose()
  }

  /** A number stands for another part. */
  replaced (index: number): void {
    if (index < WIDTH) this.reset()
  }

  reset (): void {
    this.#twins.clear()
    this.#seen.clear()
    this.#refuted.clear()
    for (const { rows } of this.#tried) rows.drop()
    this.#tried = []
  }

  /** Sets without a pair of different responses, the smallest first. */
  findings (): ReadonlyArray<{ readonly indexes: readonly number[], readonly pairs: number }> {
    return this.#tried.filter(({ differ }) => differ === 0).map(({ indexes, same }) => ({ indexes, pairs: same }))
      .sort((one, other) => one.indexes.length - other.indexes.length)
  }

  #meetTwin (parts: Float64Array, outcome: number): void {
    const place = this.#twins.placeOf(outcome)
    if (place < 0) return
    if (this.#twins.has(place, outcome)) {
      const differ: number[] = []
      for (let index = 0; index < WIDTH; index++) if (this.#twins.get(place, index) !== parts[index]) differ.push(index)
      if (differ.length > 1 && differ.length <= LARGEST_SET) {
        this.#seen.begin()
        this.#seen.see(differ.join())
      }
    }
    this.#twins.claim(place, outcome)
    for (let index = 0; index < WIDTH; index++) this.#twins.set(place, index, parts[index] as number)
  }

  #compare (tried: Tried, at: number, parts: Float64Array, sum: number, outcome: number): void {
    const { indexes, rows } = tried
    const rest = indexes.reduce((rest, index) => minus(rest, parts[index] as number), sum)
    const place = rows.placeOf(rest)
    if (place < 0) return
    const allDiffer = (): boolean => indexes.every((index, column) => rows.get(place, PARTS + column) !== parts[index])
    if (rows.has(place, rest) && at - rows.get(place, AT) <= this.#window && allDiffer()) {
      if (rows.get(place, OUTCOME) === outcome) tried.same++
      else tried.differ++
    }
    rows.claim(place, rest)
    rows.set(place, OUTCOME, outcome)
    rows.set(place, AT, at)
    indexes.forEach((index, column) => { rows.set(place, PARTS + column, parts[index] as number) })
  }

  #choose (): void {
    for (const { label, differ } of this.#tried) if (differ > 0 && this.#refuted.size < MOST_REFUTED) this.#refuted.add(label)
    const often = Array.from(this.#seen).filter(({ name, count }) => count >= OFTEN && !this.#refuted.has(name))
      .sort((one, other) => other.count - one.count).slice(0, MOST_SETS)
    const labels = new Set(often.map(({ name }) => name))
    const kept = this.#tried.filter(({ label }) => labels.has(label))
    for (const { label, rows } of this.#tried) if (!labels.has(label)) rows.drop()
    for (const { label } of kept) labels.delete(label)
    this.#tried = [...kept, ...Array.from(labels, label => {
      const indexes = label.split(',').map(Number)
      return { label, indexes, rows: new Table(PARTS + indexes.length, MOST_ROWS, this.#room), same: 0, differ: 0 }
    })]
  }
}
