/**
 * Which parts of the key make no difference: requests that differ in nothing else of the key have the same response.
 *
 * Invariant: one response that differs keeps a part from being called inert, for as long as responses are compared with the same eyes. Parts that
 * come and go together are tried together, and count where all of them differ. What was learned to be noise is not compared: of a part that
 * never differs where a noisy value comes again it is not known whether it chooses among such values, so it is not called inert.
 */
import type { InertPart } from '../../types/index.js'
import { hashOf, minus, plus } from './hashes.js'
import { Names, MAX_NAMES } from './names.js'
import { NoisyValues } from './noisy-values.js'
import { PartSets } from './part-sets.js'
import type { Room } from './room.js'
import type { Inputs } from './sighting.js'
import { Table } from './table.js'

const MOST_ROWS = 4096
/** Pairs before a part is called inert: with 95 % confidence it makes a difference in at most a tenth of them. */
export const ENOUGH = 30

/** Columns of a row: the part's own hash, the response, and when it was. */
const [PART, OUTCOME, AT] = [0, 1, 2] as const

export class Inert {
  readonly #window: number
  readonly #names: Names
  readonly #without: Table
  readonly #sets: PartSets
  readonly #noisy: NoisyValues
  /** Of the request at hand, by the number of the name; 0 where it does not have it. */
  readonly #parts = new Float64Array(MAX_NAMES)
  readonly #same = new Uint32Array(MAX_NAMES)
  readonly #differ = new Uint32Array(MAX_NAMES)

  constructor (window: number, room: Room) {
    this.#window = window
    this.#without = new Table(3, MOST_ROWS, room)
    this.#sets = new PartSets(window, room)
    this.#noisy = new NoisyValues(room)
    this.#names = new Names(room, index => {
      this.#parts[index] = this.#same[index] = this.#differ[index] = 0
      this.#sets.replaced(index)
      this.#noisy.replaced(index)
    })
  }

  /**
   * @param outcome stands for the response, without what is noise
   * @param noise what stands at the places that were learned to be noise
   */
  see (at: number, parts: Inputs, outcome: number, noise: readonly number[]): void {
    const sum = this.#read(parts)
    for (const { index, hash } of this.#names) this.#compare(at, index, hash, sum, outcome)
    this.#sets.see(at, this.#parts, sum, outcome)
    this.#noisy.see(noise, this.#parts)
  }

  /** Responses are compared with other eyes from now on. */
  reset (): void {
    this.#same.fill(0)
    this.#differ.fill(0)
    this.#without.clear()
    this.#sets.reset()
    this.#noisy.reset()
  }

  /** Sets with parts that are not found to be inert otherwise, the smallest first, and single parts of none of them. */
  findings (): readonly InertPart[] {
    const names = new Map(Array.from(this.#names, ({ name, index }) => [index, name]))
    const mayBe = (index: number): boolean => this.#differ[index] === 0 && this.#noisy.exonerates(index)
    const alone = [...names.keys()].filter(index => this.#same[index] as number >= ENOUGH && mayBe(index))
    const covered = new Set(alone)
    const sets = this.#sets.findings().filter(({ indexes, pairs }) => {
      if (pairs < ENOUGH || !indexes.every(mayBe) || indexes.every(index => covered.has(index))) return false
      for (const index of indexes) covered.add(index)
      return true
    })
    return [...sets, ...alone.filter(index => !sets.some(({ indexes }) => indexes.includes(index)))
      .map(index => ({ indexes: [index], pairs: this.#same[index] as number }))]
      .map(({ indexes, pairs }) => part(indexes.map(index => names.get(index) as string).sort(), pairs))
  }

  /** @returns the sum of all parts, of those without a number too */
  #read (parts: Inputs): number {
    let sum = 0
    this.#parts.fill(0)
    this.#names.begin()
    for (const [name, value] of parts) {
      const hash = hashOf(`${name}=${value}`)
      const named = this.#names.see(name)
      if (named !== undefined) this.#parts[named.index] = hash
      sum = plus(sum, hash)
    }
    return sum
  }

  #compare (at: number, index: number, name: number, sum: number, outcome: number): void {
    const mine = this.#parts[index] as number
    const rest = plus(minus(sum, mine), name)
    const place = this.#without.placeOf(rest)
    if (place < 0) return
    if (this.#without.has(place, rest) && at - this.#without.get(place, AT) <= this.#window && this.#without.get(place, PART) !== mine) {
      const counts = this.#without.get(place, OUTCOME) === outcome ? this.#same : this.#differ
      counts[index]!++
    }
    this.#without.claim(place, rest)
    this.#without.set(place, PART, mine)
    this.#without.set(place, OUTCOME, outcome)
    this.#without.set(place, AT, at)
  }
}

/** None of n: the rule of three. */
function part (names: readonly string[], pairs: number): InertPart {
  return { names, pairs, upTo: 3 / pairs }
}
