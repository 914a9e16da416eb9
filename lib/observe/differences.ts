/**
 * Where responses differ, how often for one client and how often between clients, and which inputs go with it.
 *
 * Invariant: bounded: 64 places, of which the last is all others and is never noise, and 64 inputs. A place is noise only if it differs for one
 * client too, and not provably more between clients. What is not noise is a leak, or unclear: never harmless.
 */
import type { Difference } from '../../types/index.js'
import type { Exemplar } from './exemplar.js'
import { isId, nameOf, OTHERS } from './reading.js'
import type { Room } from './room.js'
import type { Inputs } from './sighting.js'
import { causesOf, Suspects, type Hashes } from './suspects.js'

export type Kind = 'between' | 'within'

/** How a place is judged. */
export type Judgement = 'noise' | 'leak' | 'unclear'

/** Pairs of responses that were compared. */
export interface Totals {
  readonly between: number
  readonly within: number
}

export interface Place {
  readonly name: string
  readonly index: number
  between: number
  within: number
}

const MOST_PLACES = 64
/** What a place takes, with its text and its causes. */
const BYTES = 1200
/** Pairs of one client below which there is no baseline. */
const BASELINE = 10
/** Differences within a client that show noise; of ids fewer do. Both are more than the first few of one client. */
const NOISY = 5
const NOISY_IDS = 4
/** Standard errors by which a place has to differ more between clients: if it never does within a client, if it does, and if by little. */
const SURE = 1.7
const VERY_SURE = 3.3
const BEYOND_DOUBT = 6
/** Of the pairs. */
const LITTLE = 0.05

export class Differences {
  readonly #suspects: Suspects
  readonly #room: Room
  readonly #places = new Map<string, Place>()
  /** Inputs are read from the first difference on. */
  #hasDiffered = false
  readonly #others: Place = { name: OTHERS, index: MOST_PLACES - 1, between: 0, within: 0 }

  constructor (room: Room) {
    this.#room = room
    this.#suspects = new Suspects(room)
  }

  readonly #read = (inputs: Inputs): Hashes => this.#suspects.read(inputs)

  /** Counts a pair. @returns where it differs, each place once */
  note (kind: Kind, names: readonly string[]): readonly Place[] {
    const places = new Set<Place>()
    for (const name of names) places.add(this.#placeOf(name))
    for (const place of places) place[kind]++
    return [...places]
  }

  /** Counts what two requests of different clients say besides their key, as far as it is known. */
  blame (one: Exemplar, other: Exemplar, places: readonly Place[]): void {
    this.#hasDiffered ||= places.length > 0
    const [inputs, otherInputs] = [this.meet(one), this.meet(other)]
    if (inputs !== undefined && otherInputs !== undefined) this.#suspects.note(inputs, otherInputs, places)
  }

  /** Reads what a request says besides its key, if that may be needed. */
  meet (exemplar: Exemplar): Hashes | undefined {
    return this.#hasDiffered ? exemplar.inputs(this.#read) : undefined
  }

  judge (place: Place, { between: m, within: n }: Totals): Judgement {
    const { between, within } = place
    if (between === 0 && within === 0) return 'unclear'
    const isLittle = between / Math.max(1, m) - within / Math.max(1, n) < LITTLE
    const isMore = standardErrors(between, m, within, n) >= (within === 0 ? SURE : isLittle ? BEYOND_DOUBT : VERY_SURE)
    if (n >= BASELINE && isMore) return 'leak'
    return place !== this.#others && !isMore && within >= (isId(place.name) ? NOISY_IDS : NOISY) ? 'noise' : 'unclear'
  }

  /** Places that differ between clients, and how they are judged. */
  judged (totals: Totals): ReadonlyArray<readonly [Place, Judgement]> {
    return this.#all().filter(({ between }) => between > 0).map(place => [place, this.judge(place, totals)])
  }

  /** Names of places that are noise; one that was stays so until it is known to be a leak. */
  noise (totals: Totals, before: ReadonlySet<string>): ReadonlySet<string> {
    return new Set(this.#all().filter(place => {
      const judgement = this.judge(place, totals)
      return judgement === 'noise' || (judgement === 'unclear' && before.has(place.name))
    }).map(({ name }) => name))
  }

  /** What is no noise, as users call it, the worst first. */
  findings (totals: Totals): readonly Difference[] {
    const worst = new Map<string, Difference>()
    for (const [place, judgement] of this.judged(totals)) {
      if (judgement === 'noise') continue
      const path = nameOf(place.name)
      const between = place.between / Math.max(1, totals.between)
      if (between <= (worst.get(path)?.between ?? 0)) continue
      const within = totals.within === 0 ? undefined : place.within / totals.within
      worst.set(path, { path, between, within, causes: causesOf(this.#suspects, place.index) })
    }
    return [...worst.values()].sort((one, other) => other.between - one.between)
  }

  #all (): Place[] {
    return [...this.#places.values(), this.#others]
  }

  #placeOf (name: string): Place {
    const known = this.#places.get(name)
    if (known !== undefined) return known
    if (this.#places.size >= MOST_PLACES - 1 || name === OTHERS || !this.#room.take(BYTES)) return this.#others
    const place = { name, index: this.#places.size, between: 0, within: 0 }
    this.#places.set(name, place)
    return place
  }
}

/** By how many standard errors the first part is larger than the second. */
function standardErrors (hits: number, of: number, others: number, ofOthers: number): number {
  if (of === 0 || ofOthers === 0) return 0
  const pooled = (hits + others) / (of + ofOthers)
  const error = Math.sqrt(pooled * (1 - pooled) * (1 / of + 1 / ofOthers))
  return error === 0 ? 0 : (hits / of - others / ofOthers) / error
}
