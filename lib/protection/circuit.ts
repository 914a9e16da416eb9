/**
 * The state machine of one circuit: closed it counts how runs end, open it lets none begin, half open it lets one at a time try. It is
 * told the time, and has neither a timer nor a promise: what time alone changes is worked out when somebody asks.
 *
 * Invariant: no run begins while it is open, and while it is half open at most one is under way that can change it. Each period has an
 * epoch: what a run of an earlier one came to changes nothing.
 */
import type { BreakerState } from '../../types/index.js'

const BUCKETS = 10
/** When to come again while somebody probes, in milliseconds. */
export const PROBE_WAIT = 1000

/** Durations are in milliseconds. */
export interface CircuitSettings {
  readonly threshold: number
  readonly minimumRuns: number
  readonly window: number
  readonly consecutive: number | false
  readonly openFor: number
  readonly maxOpenFor: number
  readonly probes: number
}

/** Is told that a circuit is in another state now. Must not throw. */
export type Turned = (circuit: Circuit, to: BreakerState, from: BreakerState) => void

export class Circuit {
  /** What `by` calls it. */
  readonly name: string
  readonly #settings: CircuitSettings
  #turned: Turned
  /** As it was last noticed. */
  #state: BreakerState = 'closed'
  #epoch = 0
  /** The runs of each bucket of the window, then the failures of each. */
  readonly #counts = new Uint32Array(2 * BUCKETS)
  #runs = 0
  #failures = 0
  #failuresInARow = 0
  #bucket = 0
  #bucketSince = 0
  #pause = 0
  #openUntil = 0
  #probing = false
  #probeUntil = 0
  #passed = 0

  constructor (name: string, settings: CircuitSettings, turned: Turned) {
    this.name = name
    this.#settings = settings
    this.#turned = turned
  }

  get isClosed (): boolean {
    return this.#state === 'closed'
  }

  stateAt (now: number): BreakerState {
    if (this.#state === 'closed') return 'closed'
    return now < this.#openUntilAt(now) ? 'open' : 'half-open'
  }

  /** Whether a probe is in the air. */
  isProbing (now: number): boolean {
    return this.#probing && !this.#isLost(now)
  }

  /** In how many milliseconds a run may begin, or it is worth asking again; 0 if one may now. Nobody knows when one that was opened by hand is closed: `maxOpenFor`. */
  waitAt (now: number): number {
    if (this.#state === 'closed') return 0
    if (this.isProbing(now)) return PROBE_WAIT
    const until = this.#openUntilAt(now)
    return until === Infinity ? this.#settings.maxOpenFor : Math.max(0, until - now)
  }

  /** Turns to the state that time has brought. */
  notice (now: number): void {
    this.#noticeLoss(now)
    if (this.#state !== 'open' || now < this.#openUntil) return
    this.#passed = 0
    this.#turn('half-open')
  }

  /**
   * A run begins. Only where one may, after `notice`.
   * @param lasts a probe that is not ended after so many milliseconds has failed
   * @returns the run's epoch
   */
  begin (now: number, lasts: number): number {
    if (this.#state !== 'closed') {
      this.#probing = true
      this.#probeUntil = now + lasts
    }
    return this.#epoch
  }

  /** A run has ended. @param failed undefined: in a way that tells nothing */
  end (epoch: number, failed: boolean | undefined, now: number): void {
    this.#noticeLoss(now)
    if (epoch !== this.#epoch) return
    if (this.#state !== 'closed') this.#probed(failed, now)
    else if (failed !== undefined) this.#count(failed, now)
  }

  /** Opens it until it is closed by hand. */
  open (): void {
    this.#trip(Infinity, 0)
  }

  close (): void {
    this.#counts.fill(0)
    this.#runs = this.#failures = this.#failuresInARow = this.#pause = 0
    this.#turn('closed')
  }

  /** It is forgotten: whatever becomes of it, nobody is told. */
  retire (): void {
    this.#turned = () => {}
  }

  #isLost (now: number): boolean {
    return this.#probing && now >= this.#probeUntil
  }

  /** A probe that is lost has failed when its time was over, whenever that is noticed. */
  #noticeLoss (now: number): void {
    if (this.#isLost(now)) this.#trip(this.#probeUntil, this.#nextPause())
  }

  #openUntilAt (now: number): number {
    return this.#isLost(now) ? this.#probeUntil + this.#nextPause() : this.#openUntil
  }

  #nextPause (): number {
    const { openFor, maxOpenFor } = this.#settings
    return Math.min(this.#pause === 0 ? openFor : 2 * this.#pause, maxOpenFor)
  }

  #probed (failed: boolean | undefined, now: number): void {
    this.#probing = false
    if (failed === true) this.#trip(now, this.#nextPause())
    else if (failed === false && ++this.#passed >= this.#settings.probes) this.close()
  }

  #count (failed: boolean, now: number): void {
    this.#forget(now)
    this.#counts[this.#bucket]! += 1
    this.#runs++
    if (failed) {
      this.#counts[BUCKETS + this.#bucket]! += 1
      this.#failures++
      this.#failuresInARow++
    } else this.#failuresInARow = 0
    const { threshold, minimumRuns, consecutive } = this.#settings
    // Divided, because 0.07 * 100 is more than 7.
    const tooMany = this.#runs >= minimumRuns && this.#failures / this.#runs >= threshold
    if (tooMany || (consecutive !== false && this.#failuresInARow >= consecutive)) this.#trip(now, this.#nextPause())
  }

  /** Takes what is older than the window out of the counts. */
  #forget (now: number): void {
    const width = this.#settings.window / BUCKETS
    const steps = Math.floor((now - this.#bucketSince) / width)
    if (steps <= 0) return
    this.#bucketSince += steps * width
    for (let step = Math.min(steps, BUCKETS); step > 0; step--) {
      this.#bucket = (this.#bucket + 1) % BUCKETS
      this.#runs -= this.#counts[this.#bucket]!
      this.#failures -= this.#counts[BUCKETS + this.#bucket]!
      this.#counts[this.#bucket] = this.#counts[BUCKETS + this.#bucket] = 0
    }
  }

  #trip (at: number, pause: number): void {
    this.#pause = pause
    this.#openUntil = at + pause
    this.#turn('open')
  }

  #turn (to: BreakerState): void {
    const from = this.#state
    this.#state = to
    this.#epoch++
    this.#probing = false
    if (from !== to) this.#turned(this, to, from)
  }
}
