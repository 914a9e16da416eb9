/**
 * When each label was purged last.
 *
 * Invariant: of fixed size, for any number of labels. A label that was marked after a moment is always found so. A label that was not may
 * be found so as well, because two labels can share a place; that costs a run and no more.
 */
import { randomBytes } from 'node:crypto'

/** A power of two. */
const PLACES = 65_536

export class PurgeTimes {
  #places: Float64Array | undefined
  #latest = -Infinity
  /** When all labels were marked last. */
  #all: number | undefined
  /** Secret, so that nobody can choose labels that share a place. */
  readonly #seed = randomBytes(4).readUInt32LE()

  mark (label: string, at: number): void {
    this.#places ??= new Float64Array(PLACES).fill(-Infinity)
    this.#places[this.#placeOf(label)] = at
    this.#latest = at
  }

  /** Marks all labels. */
  markAll (at: number): void {
    this.#all = at
  }

  /** Whether one of `labels`, or the label that a key is, was marked at `moment` or later. */
  isMarkedSince (moment: number, labels: readonly string[], key?: string): boolean {
    if (this.#all !== undefined && this.#all >= moment) return true
    if (this.#latest < moment || this.#places === undefined) return false
    for (const label of labels) if ((this.#places[this.#placeOf(label)] as number) >= moment) return true
    return key !== undefined && (this.#places[this.#placeOf(key)] as number) >= moment
  }

  /** FNV-1a, from a seed. */
  #placeOf (label: string): number {
    let hash = this.#seed
    for (let index = 0; index < label.length; index++) hash = Math.imul(hash ^ label.charCodeAt(index), 0x01000193)
    return (hash ^ (hash >>> 16)) & (PLACES - 1)
  }
}
