/**
 * The last five minutes, so that a page that has just been opened can show them.
 *
 * Invariant: bounded. One timer, of the registration's clock, and none once it is closed.
 */
import type { PageSource } from './source.js'
import type { PageSample } from './state.js'

/** Between two samples, in milliseconds. */
export const EVERY = 5_000
/** As many as five minutes have intervals, and one. */
const MOST = 61

export class History {
  readonly #source: Pick<PageSource, 'clock' | 'now' | 'sample'>
  readonly #samples: PageSample[] = []
  #timer: unknown

  constructor (source: Pick<PageSource, 'clock' | 'now' | 'sample'>) {
    this.#source = source
  }

  /** Takes the first sample, and more until it is closed. */
  begin (): void {
    const { clock } = this.#source
    this.#samples.push({ at: this.#source.now(), ...this.#source.sample() })
    if (this.#samples.length > MOST) this.#samples.shift()
    this.#timer = clock.setTimeout(() => { this.begin() }, EVERY)
  }

  close (): void {
    this.#source.clock.clearTimeout(this.#timer)
  }

  /** Those that are younger than this, and not older than five minutes, whatever the machine slept. */
  since (at: number): readonly PageSample[] {
    const from = Math.max(at, this.#source.now() - MOST * EVERY)
    return this.#samples.filter(sample => sample.at > from)
  }
}
