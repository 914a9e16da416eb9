/**
 * Picks a part of what passes.
 *
 * Invariant: of each block of 1 / rate in a row it picks exactly one, at a random place: 0.01 picks exactly 10 of 1,000. Where 1 / rate is no
 * whole number the blocks are as long as they must be for that to hold in the long run.
 */

/** What binary fractions are off by: 7 / 0.07 is 100. */
const ROUNDING = 1e-6
/** Blocks after which counting starts again, so that it stays exact. */
const ROUND = 1_000_000

export class Sampler {
  readonly #rate: number
  readonly #random: () => number
  #block = 0
  #place = 0
  #end = 0
  #picked = 0

  /**
   * @param rate from 0 to 1
   * @param random from 0 to less than 1
   */
  constructor (rate: number, random: () => number = Math.random) {
    this.#rate = rate
    this.#random = random
  }

  /** Whether the next one is picked. */
  next (): boolean {
    if (this.#rate <= 0) return false
    if (this.#place === this.#end) this.#begin()
    return this.#place++ === this.#picked
  }

  #begin (): void {
    if (this.#block === ROUND) this.#block = this.#place = 0
    this.#place = Math.ceil(this.#block / this.#rate - ROUNDING)
    this.#end = Math.ceil(++this.#block / this.#rate - ROUNDING)
    this.#picked = this.#place + Math.floor(this.#random() * (this.#end - this.#place))
  }
}
