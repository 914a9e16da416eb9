/**
 * Watches a route until something of it was shared; if nothing is, although requests overlap, it says why, once.
 *
 * Invariant: bounded in time and memory. A watch ends for ever with the first request that was shared, with its warning, or after `MOST`
 * requests; then nothing is left of it but an undefined field of the tally.
 */
import type { Outcome } from '../../types/index.js'
import type { Detail, Reason } from '../reasons.js'
import type { NothingShared } from '../warnings.js'
import { adviceOf, warningText } from './advice.js'
import { Causes, type Cause } from './causes.js'
import type { Observer } from './observer.js'
import type { Tally, Warner, Watch } from './tally.js'

/** So many requests must have come while an identical one was being answered. */
const ENOUGH = 50
/** After so many requests a route is not watched any more. */
const MOST = 10_000
/** The most URLs of which requests in the air are counted, and the most characters of one. */
const MOST_URLS = 256
const MOST_CHARACTERS = 1024

/** The requests for one URL that are being answered past the flights. */
interface Same {
  count: number
  /** The first of them has not met another yet. */
  alone: boolean
}

export class Silence implements Watch {
  readonly #tally: Tally
  readonly #silenced: ReadonlySet<string>
  readonly #urls = new Map<string, Same>()
  readonly #causes = new Causes()
  #overlapped = 0
  #watched = 0

  /** @param silenced the names of warnings that the app does not want */
  constructor (tally: Tally, silenced: ReadonlySet<string>) {
    this.#tally = tally
    this.#silenced = silenced
  }

  /** A request has its outcome. */
  settled (log: Warner, outcome: Outcome, reason: Reason, detail: Detail | undefined): void {
    if (++this.#watched > MOST) {
      this.#end()
      return
    }
    switch (outcome) {
      case 'hit':
      case 'stale':
      case 'peer':
        this.#end()
        return
      case 'follower':
        if (reason === 'shared' || reason === 'failed') this.#end()
        return
      case 'leader':
        // A split has names.
        if (reason === 'split') this.#note(log, adviceOf(reason, detail), () => (detail as Detail).names, 1)
        return
      case 'alone':
        this.#note(log, adviceOf(reason, detail), () => [], 1)
    }
  }

  /** A leader with followers has landed: it had company. What becomes of those is told later. */
  landed (): void {
    this.#overlapped++
  }

  /**
   * A request bypasses.
   *
   * @param names of what is named in the warning
   * @param url what tells it from requests that are not identical
   * @returns what to call once it has been answered; undefined if it is not watched
   */
  bypassed (log: Warner, reason: Reason, detail: Detail | undefined, names: () => Iterable<string>, url: string): (() => void) | undefined {
    const advice = adviceOf(reason, detail)
    const same = this.#urls.get(url)
    if (advice === undefined || url.length > MOST_CHARACTERS || (same === undefined && this.#urls.size >= MOST_URLS)) return undefined
    if (same === undefined) {
      this.#urls.set(url, { count: 1, alone: true })
    } else {
      same.count++
      this.#note(log, advice, names, same.alone ? 2 : 1)
      same.alone = false
    }
    return () => { this.#left(url) }
  }

  #left (url: string): void {
    const same = this.#urls.get(url)
    if (same !== undefined && --same.count === 0) this.#urls.delete(url)
  }

  #note (log: Warner, advice: NothingShared | undefined, names: () => Iterable<string>, count: number): void {
    if (advice === undefined) return
    this.#causes.note(advice, names, count)
    this.#overlapped += count
    if (this.#overlapped >= ENOUGH) this.#warn(log)
  }

  #warn (log: Warner): void {
    const { advice, names } = this.#causes.most as Cause
    this.#end()
    const { method, route } = this.#tally
    const all = [...names]
    this.#tally.unshared = { name: advice, overlapped: this.#overlapped, names: all }
    if (this.#silenced.has(advice)) return
    const fields = { event: advice, method, route, ...all.length > 0 && { names: all } }
    log.warn({ coalesce: fields }, warningText(advice, this.#overlapped, all))
  }

  #end (): void {
    this.#urls.clear()
    this.#tally.watch = undefined
  }
}

/** The observer that tells each route's watch, while there is one. */
export const advising: Observer = Object.freeze({
  held () {},
  started () {},
  joined () {},
  peerLost () {},
  landed ({ tally }, _landing, _reason, followers) {
    if (followers > 0) tally.watch?.landed()
  },
  cleanedUp () {},
  cutOff () {},
  settled ({ log, tally }, outcome, reason, _waited, detail) {
    tally.watch?.settled(log, outcome, reason, detail)
    if (reason !== 'shared' && reason !== 'fresh') tally.alarm?.(reason)
  },
  refreshed () {}
} satisfies Observer)
