/**
 * The runs of a key that has variants: whether several are under way at once, because what they depend on differs.
 *
 * Invariant: each leaves once, with its outcome. A key without known variants has none of this.
 */

/** All runs of one key. */
export class Companies {
  /** How many began. */
  begun = 0
  /** How many are under way. */
  under = 0
}

/** One of them. */
export class Company {
  readonly #all: Companies
  readonly #others: boolean
  readonly #begun: number

  constructor (all: Companies) {
    this.#all = all
    this.#others = all.under++ > 0
    this.#begun = ++all.begun
  }

  /** Another run of the key was under way at the same time. */
  get hadOthers (): boolean {
    return this.#others || this.#all.begun > this.#begun
  }

  leave (): void {
    this.#all.under--
  }
}
