/**
 * Bytes that may be held, and how many are.
 *
 * Invariant: never more than there are; what was taken is given back as it was taken.
 */
export class Room {
  readonly max: number
  #taken = 0

  constructor (max: number) {
    this.max = max
  }

  get taken (): number {
    return this.#taken
  }

  /** @returns false, and takes none, if there are not as many left */
  take (bytes: number): boolean {
    if (this.#taken + bytes > this.max) return false
    this.#taken += bytes
    return true
  }

  give (bytes: number): void {
    this.#taken -= bytes
  }
}
