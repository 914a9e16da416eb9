/**
 * Which keys are being refreshed, and which are left alone for a while because their runs fail.
 *
 * Invariant: one refresh a key, a bounded number of them, and none once it is closed. Two tries of a key that fails are ever
 * further apart, up to a limit; one that does well makes that forgotten.
 */
import { LRUCache } from 'lru-cache'
import { MEMORY } from './memory.js'

/** Two refreshes that fail are so many milliseconds apart, then twice as many, … */
const FIRST_PAUSE = 1_000
const LONGEST_PAUSE = 60_000
/** The most refreshes at a time. One that does not get its turn is tried again with the next request. */
const MAX_REFRESHES = 64

interface Failing {
  readonly times: number
  readonly until: number
}

export class Refreshes {
  readonly #now: () => number
  readonly #running = new Set<string>()
  /** Room for the places of all is taken at once, so not before one fails. */
  #failing: LRUCache<string, Failing> | undefined
  #closed = false

  /** @param now the time, in milliseconds; never goes back */
  constructor (now: () => number) {
    this.#now = now
  }

  /** Takes a place for a refresh of `key`; false if there is none now. */
  begin (key: string): boolean {
    if (this.#closed || this.#running.has(key) || this.#running.size >= MAX_REFRESHES || this.isPausing(key)) return false
    this.#running.add(key)
    return true
  }

  /** A refresh that began is over. */
  end (key: string, failed: boolean): void {
    this.#running.delete(key)
    if (failed) this.failed(key)
  }

  /** The key's runs fail: for a while what is stale is served at once, and nothing is refreshed. */
  failed (key: string): void {
    const now = this.#now()
    const all = this.#failing ??= new LRUCache<string, Failing>(MEMORY)
    const failing = all.get(key)
    if (failing !== undefined && failing.until > now) return
    const times = (failing?.times ?? 0) + 1
    all.set(key, { times, until: now + Math.min(FIRST_PAUSE * 2 ** (times - 1), LONGEST_PAUSE) })
  }

  /** The key's run did well. */
  recovered (key: string): void {
    this.#failing?.delete(key)
  }

  isPausing (key: string): boolean {
    return (this.#failing?.get(key)?.until ?? 0) > this.#now()
  }

  /** Starts none any more. */
  close (): void {
    this.#closed = true
  }
}
