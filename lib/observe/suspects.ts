/**
 * Which inputs that the key leaves out go with a difference: per place and input a table of two by two.
 *
 * Invariant: bounded, whatever names clients make up. What is counted is pairs of different clients, from the first difference on.
 */
import type { DifferenceCause } from '../../types/index.js'
import { hashOf } from './hashes.js'
import { MAX_NAMES, Names } from './names.js'
import type { Room } from './room.js'
import type { Inputs } from './sighting.js'

/** Fewer pairs say nothing of a cause. */
const FEWEST = 5
const FEWEST_SAME = 10
const LEAST = 0.02
/** Of what differs in nearly every pair nothing is known, unless the place does so as well. */
const NEARLY_ALL = 0.9
const MOST_CAUSES = 2

/** Of a pair: what two requests say besides their key. */
export type Hashes = ReadonlyMap<string, number>

export class Suspects {
  readonly #names: Names
  /** Pairs in which the input differs, and in which it does not. */
  readonly #differ = new Uint32Array(MAX_NAMES)
  readonly #same = new Uint32Array(MAX_NAMES)
  /** By place: first the pairs in which it differs where the input differs, then where it does not. */
  readonly #byPlace: Uint32Array[] = []

  constructor (room: Room) {
    this.#names = new Names(room, index => {
      this.#differ[index] = this.#same[index] = 0
      for (const counts of this.#byPlace) if (counts !== undefined) counts[index] = counts[index + MAX_NAMES] = 0
    })
  }

  /** What of the inputs matters. */
  read (inputs: Inputs): Hashes {
    const hashes = new Map<string, number>()
    this.#names.begin()
    for (const [name, value] of inputs) if (this.#names.see(name) !== undefined) hashes.set(name, hashOf(value))
    return hashes
  }

  note (one: Hashes, other: Hashes, places: ReadonlyArray<{ readonly index: number }>): void {
    for (const { name, index } of this.#names) {
      const isSame = one.get(name) === other.get(name)
      const counts = isSame ? this.#same : this.#differ
      counts[index]!++
      for (const place of places) (this.#byPlace[place.index] ??= new Uint32Array(2 * MAX_NAMES))[isSame ? index + MAX_NAMES : index]!++
    }
  }

  /** All that may go with a place. */
  causes (place: number): DifferenceCause[] {
    const counts = this.#byPlace[place]
    if (counts === undefined) return []
    return Array.from(this.#names, ({ name, index }) => {
      const [differ, same] = [this.#differ[index] as number, this.#same[index] as number]
      return {
        name,
        whenDiffers: differ < FEWEST ? 0 : counts[index] as number / differ,
        whenSame: same < FEWEST_SAME ? undefined : counts[index + MAX_NAMES] as number / same
      }
    })
  }
}

/** Those that explain a place best, the best first. */
export function causesOf (suspects: Suspects, place: number): readonly DifferenceCause[] {
  const lift = ({ whenDiffers, whenSame = whenDiffers < NEARLY_ALL ? whenDiffers : whenDiffers / 2 }: DifferenceCause): number =>
    whenDiffers - whenSame
  return suspects.causes(place).filter(cause => cause.whenDiffers > LEAST && lift(cause) > 0)
    .sort((one, other) => lift(other) - lift(one)).slice(0, MOST_CAUSES)
}
