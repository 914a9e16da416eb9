/**
 * What was kept of runs, wherever it is: a store that may fail, and what holds whatever the store does.
 *
 * Invariant: a look never fails and never lasts longer than `storeTimeout`. What it gives was kept under that very key, in this
 * format, and its run began after the last purge of each of its labels, however far another process's clock is ahead that says
 * when. What was put is found from then on, even while a slow store still takes it.
 */
import { LRUCache } from 'lru-cache'
import type { Clock, Entry, Store } from '../../../types/index.js'
import type { StoreListener } from '../../observers/observer.js'
import { wholeEntry, type AnyEntry } from './entry.js'
import { MEMORY } from './memory.js'
import { PurgeTimes } from './purge-times.js'

export interface Listed {
  readonly entry: Entry
  /** It was purged softly: whatever its age, it is stale. */
  readonly outdated: boolean
}

/** What a look found. */
export interface Found extends Listed {
  /** How long ago its run ended, in milliseconds. */
  readonly resident: number
}

/** The most entries that are on their way to the store at a time; the rest is not kept. */
const MAX_SETTLING = 1_000
/** How far the clocks of other processes may be ahead, in milliseconds. What is said to come later would never be old, nor purged. */
const MAX_AHEAD = 60_000
/** How far what is counted may be behind the time of day, in milliseconds. */
const MAX_BEHIND = 1_000
/** Two moments that must not be the same are at least this far apart, in milliseconds. */
const TICK = 1 / 1_024

export class GuardedStore {
  readonly store: Store
  readonly #clock: Clock
  readonly #timeout: number
  readonly #watch: StoreListener
  /** What the clock's zero is in milliseconds since 1970. */
  #epoch: number
  /** What a slow store has not taken yet. */
  readonly #settling = new Map<string, Entry>()
  readonly #hard = new PurgeTimes()
  readonly #soft = new PurgeTimes()
  /** When the run of what was put here began, by key: of what was purged within `MAX_AHEAD` before. Room is taken when there is such. */
  #own: LRUCache<string, number> | undefined
  #lastStamp = -Infinity
  /** It answers with promises. */
  #isSlow = false

  /** @param timeout how long a store is waited for, in milliseconds */
  constructor (store: Store, timeout: number, clock: Clock, watch: StoreListener) {
    this.store = store
    this.#timeout = timeout
    this.#clock = clock
    this.#watch = watch
    this.#epoch = Date.now() - clock.now()
  }

  /** Milliseconds since 1970, by the clock: they never go back. */
  now (): number {
    const counted = this.#clock.now() + this.#epoch
    const behind = (this.#clock.wall?.() ?? counted) - counted
    if (behind < MAX_BEHIND) return counted
    // While a machine sleeps nothing counts, and its time can be set: what is kept is as old as the dates in it say.
    this.#epoch += behind
    return counted + behind
  }

  /** A moment that is no other's: what began before a purge can be told from what began after it. */
  stamp (): number {
    return (this.#lastStamp = Math.max(this.now(), this.#lastStamp + TICK))
  }

  /** What is kept for a key; at once where the store answers at once. */
  look (key: string): Found | undefined | Promise<Found | undefined> {
    const settling = this.#settling.get(key)
    if (settling !== undefined) return this.#found(key, settling)
    let answer: ReturnType<Store['get']>
    try {
      answer = this.store.get(key)
      // To look at what it gave can throw as well.
      if (!isPromise(answer)) return this.#found(key, answer)
    } catch (error) {
      this.#watch.failed('get', 'error', error)
      return undefined
    }
    this.#isSlow = true
    return this.#lookSlowly(key, answer)
  }

  /** Keeps an entry, unless it has been purged since its run began, or a younger one is there. */
  keep (entry: Entry, keepFor: number): boolean {
    if (isMarked(this.#hard, entry, 0) || isMarked(this.#soft, entry, 0) || this.#isOutrun(entry)) return false
    if (this.#settling.size >= MAX_SETTLING) {
      this.#watch.failed('set', 'full', undefined)
      return false
    }
    if (this.isPurged(entry) || this.#isOutdated(entry)) (this.#own ??= new LRUCache<string, number>(MEMORY)).set(entry.key, entry.since)
    this.#settling.set(entry.key, entry)
    this.#do('set', () => this.store.set(entry, keepFor), () => {
      if (this.#settling.get(entry.key) === entry) this.#settling.delete(entry.key)
    })
    return true
  }

  /** Keeps nothing for a key any more, nor what is in the air for it. */
  drop (key: string): void {
    this.purge([key], false)
    this.#settling.delete(key)
    this.#do('delete', () => this.store.delete(key), () => {})
  }

  /** What has one of these labels is not served any more; or, `softly`, is stale. What is in the air with one is not kept. */
  purge (labels: readonly string[], softly: boolean): void {
    const at = this.stamp()
    for (const label of labels) (softly ? this.#soft : this.#hard).mark(label, at)
  }

  /** All that is kept and was not purged; undefined if the store cannot tell. */
  entries (): readonly Listed[] | undefined {
    const found: Listed[] = []
    try {
      if (this.store.entries === undefined) return undefined
      for (const given of this.store.entries()) {
        const entry = listed(given)
        if (entry !== undefined && !this.isPurged(entry)) found.push({ entry, outdated: this.#isOutdated(entry) })
      }
    } catch (error) {
      this.#watch.failed('entries', 'error', error)
      return undefined
    }
    return found
  }

  /** What was found under the right key is not what is kept there. */
  reject (): void {
    this.#watch.rejected('garbage')
  }

  /** It is not served any more, whatever its age. */
  isPurged (entry: Entry): boolean {
    return this.#isBehind(this.#hard, entry)
  }

  #isOutdated (entry: Entry): boolean {
    return this.#isBehind(this.#soft, entry)
  }

  /** Its run began before a purge, or may have: what another process says of when it began may be ahead. */
  #isBehind (marks: PurgeTimes, entry: Entry): boolean {
    return isMarked(marks, entry, MAX_AHEAD) && (this.#own?.get(entry.key) !== entry.since || isMarked(marks, entry, 0))
  }

  /** A run for the same key that began later is kept already; as far as that can be told at once. */
  #isOutrun ({ key, since }: Entry): boolean {
    if (this.#isSlow && !this.#settling.has(key)) return false
    const found = this.look(key)
    // What says that it began later than now is of a clock that is ahead.
    return found !== undefined && !isPromise(found) && found.entry.since > since && found.entry.since <= this.stamp()
  }

  #found (key: string, given: unknown): Found | undefined {
    if (given === undefined || given === null) return undefined
    const entry = wholeEntry(given)
    if (entry === undefined || Math.max(entry.since, entry.storedAt) > this.now() + MAX_AHEAD) {
      this.#watch.rejected('garbage')
      return undefined
    }
    if (!isCurrent(entry) || entry.key !== key) {
      this.#watch.rejected(entry.version === 1 ? 'key' : 'version')
      return undefined
    }
    if (this.isPurged(entry)) return undefined
    return { entry, resident: Math.max(this.now() - entry.storedAt, 0), outdated: this.#isOutdated(entry) }
  }

  async #lookSlowly (key: string, answer: PromiseLike<unknown>): Promise<Found | undefined> {
    const began = this.#clock.now()
    const { promise, cancel } = this.#limit(answer)
    try {
      const entry = await promise
      if (entry === TOO_SLOW) {
        this.#watch.failed('get', 'timeout', undefined)
        return undefined
      }
      this.#watch.answered(this.#clock.now() - began)
      // What was put in the meantime is younger than what the store says.
      return this.#found(key, this.#settling.get(key) ?? entry)
    } catch (error) {
      this.#watch.failed('get', 'error', error)
    } finally {
      cancel()
    }
    return undefined
  }

  #do (operation: 'set' | 'delete', call: () => void | PromiseLike<void>, done: () => void): void {
    let answer: void | PromiseLike<void>
    try {
      answer = call()
      if (!isPromise(answer)) {
        done()
        return
      }
    } catch (error) {
      this.#watch.failed(operation, 'error', error)
      done()
      return
    }
    const { promise, cancel } = this.#limit(answer)
    promise.then(result => {
      if (result === TOO_SLOW) this.#watch.failed(operation, 'timeout', undefined)
    }, (error: unknown) => {
      this.#watch.failed(operation, 'error', error)
    }).finally(() => {
      cancel()
      done()
    })
  }

  /** A promise that does not last longer than the store may. */
  #limit (answer: PromiseLike<unknown>): { promise: Promise<unknown>, cancel: () => void } {
    let timer: unknown
    const timeout = new Promise(resolve => { timer = this.#clock.setTimeout(() => { resolve(TOO_SLOW) }, this.#timeout) })
    return { promise: Promise.race([answer, timeout]), cancel: () => { this.#clock.clearTimeout(timer) } }
  }
}

const TOO_SLOW = Symbol('too slow')

/** Whether it was purged later than so long before its run began. */
function isMarked (marks: PurgeTimes, { key, since, labels }: Entry, before: number): boolean {
  return marks.since(since - before, labels) || marks.since(since - before, [key])
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

function isCurrent (entry: AnyEntry): entry is Entry {
  return entry.version === 1
}

/** What can be found: what is listed under no key is found under none. */
function listed (given: unknown): Entry | undefined {
  try {
    const entry = wholeEntry(given)
    return entry !== undefined && isCurrent(entry) && typeof entry.key === 'string' ? entry : undefined
  } catch {
    return undefined
  }
}
