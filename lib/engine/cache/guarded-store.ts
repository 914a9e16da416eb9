/**
 * A store that may fail, with what holds whatever the store does.
 *
 * Invariant: a lookup never fails, and never takes longer than `storeTimeout`. An entry that it finds was stored under that very key, in
 * this format, and its run began after the last purge of each of its labels, even if it comes from a process whose clock is ahead. An
 * entry is found as soon as it was given to the store, even while a slow store is still writing it. Purges of this process hold here
 * even if a store that passes them on to others cannot.
 */
import { LRUCache } from 'lru-cache'
import type { Clock, Entry, OpenStore, Store } from '../../../types/index.js'
import type { StoreListener } from '../../observers/observer.js'
import { wholeEntry, type AnyEntry } from './entry.js'
import { MEMORY } from './memory-limits.js'
import { PurgeTimes } from './purge-times.js'
import { isPromise, StoreCalls, TOO_SLOW } from './store-calls.js'

export interface Listed {
  readonly entry: Entry
  /** It was purged softly: it is stale, whatever its age. */
  readonly outdated: boolean
}

/** What a lookup found. */
export interface Found extends Listed {
  /** How long ago its run ended, in milliseconds. */
  readonly resident: number
}

/** The most entries that a slow store is writing at a time. Others are not stored. */
const MAX_PENDING_WRITES = 1_000
/** How far the clocks of other processes may be ahead, in milliseconds. An entry from further ahead is rejected. */
const MAX_CLOCK_SKEW = 60_000
/** How far the clock may be behind the time of day, in milliseconds. */
const MAX_BEHIND = 1_000
/** The least time between two stamps, in milliseconds. */
const TICK = 1 / 1_024

/** Is told what other users of a store have purged; undefined: what, is not known. */
export type Told = (labels: readonly string[] | undefined) => void

export class GuardedStore {
  readonly store: Store
  /** The store's own side for this user of it; undefined for a store that nobody else uses, as far as that knows. */
  readonly #opened: OpenStore | undefined
  /** How far the times of entries may be off, in milliseconds. A store that is opened gives times by this process's own clock. */
  readonly #skew: number
  readonly #calls: StoreCalls
  readonly #clock: Clock
  readonly #listener: StoreListener
  /** The zero of the clock in milliseconds since 1970. */
  #epoch: number
  /** The entries that a slow store is writing. */
  readonly #pendingWrites = new Map<string, Entry>()
  readonly #hard = new PurgeTimes()
  readonly #soft = new PurgeTimes()
  /** When the runs of this process's own entries began, by key, for entries that were purged within `MAX_CLOCK_SKEW` before. */
  #own: LRUCache<string, number> | undefined
  #lastStamp = -Infinity
  /** The store answers with promises. */
  #isSlow = false

  /**
   * @param timeout how long a store is waited for, in milliseconds
   * @param told is told of a purge by another user of the store once it holds here
   */
  constructor (store: Store, timeout: number, clock: Clock, listener: StoreListener, told: Told = () => {}) {
    this.store = store
    this.#calls = new StoreCalls(timeout, clock, listener)
    this.#clock = clock
    this.#listener = listener
    this.#epoch = Date.now() - clock.now()
    this.#opened = store.open?.({
      log: listener.log ?? SILENT_LOG,
      stamp: () => this.stamp(),
      purged: (labels, soft) => {
        this.purged(labels, soft)
        told(labels)
      },
      missedPurges: () => {
        this.missedPurges()
        told(undefined)
      }
    })
    this.#skew = this.#opened === undefined ? MAX_CLOCK_SKEW : 0
  }

  /** Other processes use what is stored here as well, and are told of purges. */
  get isShared (): boolean {
    return this.#opened !== undefined
  }

  /**
   * Resolves once it is known whether the store can work.
   *
   * @throws an error that names what is wrong, if it can never work
   */
  async ready (): Promise<void> {
    await this.#opened?.ready()
  }

  async close (): Promise<void> {
    await this.#opened?.close()
  }

  /**
   * Milliseconds since 1970. They never go back.
   *
   * @param at the time by the clock, if that was read just now
   */
  now (at = this.#clock.now()): number {
    const counted = at + this.#epoch
    const behind = (this.#clock.wall?.() ?? counted) - counted
    if (behind < MAX_BEHIND) return counted
    // The clock stands still while a machine sleeps, and the time of day can be set. Entries are as old as the time of day says.
    this.#epoch += behind
    return counted + behind
  }

  /** A moment that is later than all stamps before: a run that began before a purge can be told from one that began after it. */
  stamp (): number {
    return (this.#lastStamp = Math.max(this.now(), this.#lastStamp + TICK))
  }

  /**
   * What is stored for a key. Synchronous if the store is.
   *
   * @param at the time by the clock, if that was read just now
   * @param listener who is told instead of the store's own listener
   */
  lookUp (key: string, at?: number, listener = this.#listener): Found | undefined | Promise<Found | undefined> {
    const pending = this.#pendingWrites.get(key)
    if (pending !== undefined) return this.#found(key, pending, at, listener)
    let answer: ReturnType<Store['get']>
    try {
      answer = (this.#opened ?? this.store).get(key)
      // Reading what it gave can throw as well.
      if (!isPromise(answer)) return this.#found(key, answer, at, listener)
    } catch (error) {
      listener.failed('get', 'error', error)
      return undefined
    }
    this.#isSlow = true
    return this.#lookUpSlowly(key, answer, listener)
  }

  /** Stores an entry, unless it was purged after its run began, or an entry of a later run is there. */
  keep (entry: Entry, keepFor: number): boolean {
    if (isMarked(this.#hard, entry, 0) || isMarked(this.#soft, entry, 0) || this.#isOutrun(entry)) return false
    if (this.#pendingWrites.size >= MAX_PENDING_WRITES) {
      this.#listener.failed('set', 'full', undefined)
      return false
    }
    if (this.isPurged(entry) || this.#isOutdated(entry)) (this.#own ??= new LRUCache<string, number>(MEMORY)).set(entry.key, entry.since)
    this.#pendingWrites.set(entry.key, entry)
    this.#calls.write('set', () => (this.#opened ?? this.store).set(entry, keepFor), () => {
      if (this.#pendingWrites.get(entry.key) === entry) this.#pendingWrites.delete(entry.key)
    })
    return true
  }

  /** Deletes what is stored for a key. The results of runs in the air are not stored either. */
  drop (key: string): void {
    this.purge([key], false)
    this.#pendingWrites.delete(key)
    this.#calls.write('delete', () => (this.#opened ?? this.store).delete(key), () => {})
  }

  /**
   * Entries with one of these labels are not served any more; if `softly`, they are stale. Runs in the air are not stored. A store that
   * other processes use passes it on to them.
   */
  purge (labels: readonly string[], softly: boolean): void {
    this.purged(labels, softly)
    const opened = this.#opened
    if (opened !== undefined) this.#calls.write('purge', () => opened.purge(labels, softly), () => {})
  }

  /** Another process has purged this. The store is not told. */
  purged (labels: readonly string[], softly: boolean): void {
    const at = this.stamp()
    for (const label of labels) (softly ? this.#soft : this.#hard).mark(label, at)
  }

  /** Purges by other processes may have been missed. A store that is opened knows them itself; of any other, all that it has is a miss. */
  missedPurges (): void {
    if (this.#opened === undefined) this.#hard.markAll(this.stamp())
    else this.#pendingWrites.clear()
  }

  /**
   * All entries that were not purged; undefined if the store cannot list them.
   *
   * @param most looks at no more than so many
   */
  entries (most = Infinity): readonly Listed[] | undefined {
    const found: Listed[] = []
    let left = most
    try {
      if (this.store.entries === undefined) return undefined
      for (const given of this.store.entries(most)) {
        if (left-- <= 0) break
        const entry = listed(given)
        if (entry !== undefined && !this.isPurged(entry)) found.push({ entry, outdated: this.#isOutdated(entry) })
      }
    } catch (error) {
      this.#listener.failed('entries', 'error', error)
      return undefined
    }
    return found
  }

  /** The value of an entry is not what was stored. */
  reject (listener = this.#listener): void {
    listener.rejected('garbage')
  }

  /** An entry was purged, and is not served any more. */
  isPurged (entry: Entry): boolean {
    return this.#isBehind(this.#hard, entry)
  }

  #isOutdated (entry: Entry): boolean {
    return this.#isBehind(this.#soft, entry)
  }

  /** The run of an entry began before a purge, or may have: the clock of another process may be ahead. */
  #isBehind (marks: PurgeTimes, entry: Entry): boolean {
    return isMarked(marks, entry, this.#skew) && (this.#own?.get(entry.key) !== entry.since || isMarked(marks, entry, 0))
  }

  /** The store has the result of a later run already. A slow store is not asked. */
  #isOutrun ({ key, since }: Entry): boolean {
    if (this.#isSlow && !this.#pendingWrites.has(key)) return false
    const found = this.lookUp(key)
    // An entry from the future comes from a clock that is ahead.
    return found !== undefined && !isPromise(found) && found.entry.since > since && found.entry.since <= this.stamp()
  }

  #found (key: string, given: unknown, at: number | undefined, listener: StoreListener): Found | undefined {
    if (given === undefined || given === null) return undefined
    const entry = wholeEntry(given)
    const now = this.now(at)
    if (entry === undefined || Math.max(entry.since, entry.storedAt) > now + MAX_CLOCK_SKEW) {
      listener.rejected('garbage')
      return undefined
    }
    if (!isCurrent(entry) || entry.key !== key) {
      listener.rejected(entry.version === 1 ? 'key' : 'version')
      return undefined
    }
    if (this.isPurged(entry)) return undefined
    return { entry, resident: Math.max(now - entry.storedAt, 0), outdated: entry.outdated === true || this.#isOutdated(entry) }
  }

  async #lookUpSlowly (key: string, answer: PromiseLike<unknown>, listener: StoreListener): Promise<Found | undefined> {
    const began = this.#clock.now()
    const { promise, cancel } = this.#calls.limit(answer)
    try {
      const entry = await promise
      if (entry === TOO_SLOW) {
        listener.failed('get', 'timeout', undefined)
        return undefined
      }
      listener.answered(this.#clock.now() - began)
      // An entry that was stored in the meantime is newer than the answer.
      return this.#found(key, this.#pendingWrites.get(key) ?? entry, undefined, listener)
    } catch (error) {
      listener.failed('get', 'error', error)
    } finally {
      cancel()
    }
    return undefined
  }
}

const ignore = (): void => {}
const SILENT_LOG = Object.freeze({ debug: ignore, warn: ignore, error: ignore })

/** Whether an entry was purged after its run began, less `before` milliseconds. */
function isMarked (marks: PurgeTimes, { key, since, labels }: Entry, before: number): boolean {
  return marks.isMarkedSince(since - before, labels, key)
}

function isCurrent (entry: AnyEntry): entry is Entry {
  return entry.version === 1
}

/** An entry of a list, if a lookup could find it. */
function listed (given: unknown): Entry | undefined {
  try {
    const entry = wholeEntry(given)
    return entry !== undefined && isCurrent(entry) && typeof entry.key === 'string' ? entry : undefined
  } catch {
    return undefined
  }
}
