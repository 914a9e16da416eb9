/**
 * What a route's responses were seen to depend on, and where that was seen first.
 *
 * Invariant: bounded. Names, never values, as copies: a name that a client sent is a slice of a longer string, and would keep that in memory.
 */
import type { VariesOn } from '../../../types/index.js'
import { plainName } from '../../http/dimensions.js'

/** The most names, and the most characters of each. */
const MOST_NAMES = 64
const MOST_CHARACTERS = 64

export class LearnedNames {
  #names: Map<string, VariesOn> | undefined

  get size (): number {
    return this.#names?.size ?? 0
  }

  get all (): readonly VariesOn[] {
    return [...this.#names?.values() ?? []]
  }

  /** @param source asked for names that are new */
  note (name: string, source: () => VariesOn['learnedFrom']): void {
    const short = plainName(name).slice(0, MOST_CHARACTERS)
    if (this.#names?.has(short) === true || this.#names?.size === MOST_NAMES) return
    const copy = JSON.parse(JSON.stringify(short)) as string
    this.#names ??= new Map()
    this.#names.set(copy, Object.freeze({ name: copy, learnedFrom: source() }))
  }
}
