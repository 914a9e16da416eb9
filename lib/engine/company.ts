/**
 * Tells whether several runs of a key with variants overlapped in time.
 *
 * Invariant: each run leaves once, when its outcome is known. A key without known variants has no company.
 */

/** Counts the runs of one key. */
export class Companies {
  /** The number of runs that have begun. */
  begun = 0
  /** The number of runs that have not ended. */
  running = 0
}

/** One run of a key with variants. */
export class Company {
  readonly #all: Companies
  readonly #others: boolean
  readonly #begun: number

  constructor (all: Companies) {
    this.#all = all
    this.#others = all.running++ > 0
    this.#begun = ++all.begun
  }

  /** Whether another run of the key ran at the same time. */
  get hadOthers (): boolean {
    return this.#others || this.#all.begun > this.#begun
  }

  leave (): void {
    this.#all.running--
  }
}
