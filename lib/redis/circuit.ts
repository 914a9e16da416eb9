/**
 * Whether Redis is asked at all.
 *
 * Invariant: once open, nothing is sent but probes, one at a time, until one succeeds.
 */
import type { Clock } from '../../types/index.js'
import type { Cause } from './figures.js'

/** How long after a probe that failed the next one is sent, in milliseconds. */
const PROBE_INTERVAL = 300

export interface CircuitListener {
  opened (cause: Cause): void
  closed (): void
}

export class Circuit {
  readonly #clock: Clock
  readonly #probe: () => Promise<boolean>
  readonly #listener: CircuitListener
  #isOpen = false
  #isProbing = false
  #isEnded = false
  #timer: unknown

  constructor (clock: Clock, probe: () => Promise<boolean>, listener: CircuitListener) {
    this.#clock = clock
    this.#probe = probe
    this.#listener = listener
  }

  get isOpen (): boolean {
    return this.#isOpen
  }

  open (cause: Cause): void {
    if (this.#isOpen || this.#isEnded) return
    this.#isOpen = true
    this.#wait()
    this.#listener.opened(cause)
  }

  /** Something has changed: the next probe is sent now. */
  readonly try = (): void => {
    if (!this.#isOpen || this.#isProbing || this.#isEnded) return
    this.#clock.clearTimeout(this.#timer)
    this.#isProbing = true
    this.#probe().then(succeeded => {
      this.#isProbing = false
      if (this.#isEnded) return
      if (!succeeded) {
        this.#wait()
        return
      }
      this.#isOpen = false
      this.#listener.closed()
    })
  }

  end (): void {
    this.#isEnded = true
    this.#clock.clearTimeout(this.#timer)
  }

  #wait (): void {
    this.#timer = this.#clock.setTimeout(this.try, PROBE_INTERVAL)
  }
}
