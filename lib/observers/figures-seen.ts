/**
 * Adds up what is counted by others, who may be used by several registrations at once, and by none later.
 *
 * Invariant: who counts is counted once. No sum ever decreases, whoever ends, or begins again at 0. What is no number counts as 0.
 */

/** Who counts, and the numbers so far. Their places are always the same ones. */
export type Counting = readonly [who: object, numbers: readonly unknown[]]

export class FiguresSeen {
  #last = new WeakMap<object, readonly number[]>()
  #sums: number[] | undefined

  /** The sums of these, and of all earlier calls; undefined if there was none yet. */
  sums (countings: Iterable<Counting>): readonly number[] | undefined {
    for (const [who, given] of countings) {
      const numbers = given.map(amount)
      const last = this.#last.get(who) ?? []
      this.#last.set(who, numbers)
      this.#sums = numbers.map((number, place) => {
        const before = last[place] ?? 0
        return (this.#sums?.[place] ?? 0) + (number < before ? number : number - before)
      })
    }
    return this.#sums
  }

  /** Those that have ended are not counted any more. */
  forget (): void {
    this.#last = new WeakMap()
    this.#sums = undefined
  }
}

function amount (value: unknown): number {
  return typeof value === 'number' && value >= 0 && value < Infinity ? value : 0
}
