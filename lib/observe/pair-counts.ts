/**
 * How many pairs compared in which way.
 *
 * Invariant: bounded. The live counts only grow: each pair counts as what it was taken for when it was seen. For reports, pairs are judged anew by what
 * has been learned since; those past the bound stay what they were.
 */
import type { PairFigures } from '../../types/index.js'
import type { Kind, Place } from './differences.js'
import type { Room } from './room.js'

/** How a pair compared. */
export type PairResult = keyof PairFigures

export type Figures = { -readonly [Name in PairResult]: number }

export type FiguresByKind = Readonly<Record<Kind, Figures>>

const MOST = 256
const BYTES = 300
const BYTES_OF_PLACE = 8

interface Alike {
  readonly kind: Kind
  readonly echoes: boolean
  readonly places: readonly Place[]
  count: number
}

export class PairCounts {
  readonly live: FiguresByKind = none()
  /** Those that cannot be judged otherwise later. */
  readonly #settled: FiguresByKind = none()
  readonly #alike = new Map<string, Alike>()
  readonly #room: Room

  constructor (room: Room) {
    this.#room = room
  }

  /** @param places where it differs, noise or not */
  add (kind: Kind, compared: PairResult, places: readonly Place[], echoes: boolean): void {
    this.live[kind][compared]++
    const alike = places.length === 0 ? undefined : this.#alikeOf(kind, places, echoes)
    if (alike === undefined) this.#settled[kind][compared]++
    else alike.count++
  }

  judged (isNoise: (place: Place) => boolean): FiguresByKind {
    const figures = { between: { ...this.#settled.between }, within: { ...this.#settled.within } }
    for (const { kind, echoes, places, count } of this.#alike.values()) {
      figures[kind][places.every(isNoise) ? (echoes ? 'echo' : 'noise') : 'differs'] += count
    }
    return figures
  }

  #alikeOf (kind: Kind, places: readonly Place[], echoes: boolean): Alike | undefined {
    const label = `${kind} ${echoes} ${places.map(({ index }) => index).sort().join()}`
    const known = this.#alike.get(label)
    if (known !== undefined) return known
    if (this.#alike.size === MOST || !this.#room.take(BYTES + places.length * BYTES_OF_PLACE)) return undefined
    const alike = { kind, echoes, places, count: 0 }
    this.#alike.set(label, alike)
    return alike
  }
}

export function total ({ equal, noise, echo, differs }: PairFigures): number {
  return equal + noise + echo + differs
}

function none (): FiguresByKind {
  return { between: { equal: 0, noise: 0, echo: 0, differs: 0 }, within: { equal: 0, noise: 0, echo: 0, differs: 0 } }
}
