/**
 * How many bytes of bodies may be recorded at a time.
 *
 * Invariant: the bytes that are reserved never exceed the limit. Each reservation is given back by the code that made it.
 */
export class Budget {
  /** How many bytes are held now. */
  held = 0
  readonly #most: number

  constructor (most: number) {
    this.#most = most
  }

  /** Reserves bytes, or gives them back if the number is negative; false if there is no room for them. */
  readonly hold = (bytes: number): boolean => {
    if (bytes > 0 && this.held + bytes > this.#most) return false
    this.held += bytes
    return true
  }
}
