/**
 * How many bytes of bodies may be held at a time, for those who want to record them.
 *
 * Invariant: what is taken never exceeds the limit; whoever takes gives back.
 */
export class Budget {
  /** How many bytes are held now. */
  held = 0
  readonly #most: number

  constructor (most: number) {
    this.#most = most
  }

  /** Takes room for so many bytes more, or (negative) gives it back; false if there is none. */
  readonly hold = (bytes: number): boolean => {
    if (bytes > 0 && this.held + bytes > this.#most) return false
    this.held += bytes
    return true
  }
}
