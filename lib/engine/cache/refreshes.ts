/**
 * Which keys are being refreshed, and which are left alone for a while because their runs fail.
 *
 * Invariant: one refresh a key at a time, a bounded number in all, and none once it is closed. After each failure of a key the pause
 * before the next refresh doubles, up to a limit. A run that does well ends that.
 */
import { LRUCache } from 'lru-cache'
import { MEMORY } from './memory-limits.js'

/** The pause after the first failure, in milliseconds; then twice as long, … */
const FIRST_PAUSE = 1_000
const LONGEST_PAUSE = 60_000
/** The most refreshes at a time. One that may not begin is tried again with the next request. */
const MAX_REFRESHES = 64

interface Failing {
  readonly times: number
  readonly until: number
}

export class Refreshes {
  readonly #now: () => number
  readonly #running = new Set<string>()
  /** Made when it is needed: an LRU cache allocates room for all of its entries at once. */
  #failing: LRUCache<string, Failing> | undefined
  #closed = false

  /** @param now the time, in milliseconds; never goes back */
  constructor (now: () => number) {
    this.#now = now
  }

  /** Whether a refresh of `key` may begin now. */
  mayBegin (key: string): boolean {
    return !this.#closed && !this.#running.has(key) && this.#running.size < MAX_REFRESHES && !this.isPausing(key)
  }

  /** Begins a refresh of `key`; false if none may begin now. */
  begin (key: string): boolean {
    if (!this.mayBegin(key)) return false
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

  /** From now on no refresh begins. */
  close (): void {
    this.#closed = true
  }
}
