/**
 * The results of one function that are kept: which may be served, what is kept, and what is run anew in the background.
 *
 * Invariant: by the rules that hold for responses. Only results are kept, never errors. Nothing here throws: what cannot be
 * kept is not.
 */
import { AsyncResource } from 'node:async_hooks'
import type { Clock, Entry } from '../../types/index.js'
import type { Refreshes } from '../engine/cache/refreshes.js'
import type { Found, Shelf } from '../engine/cache/guarded-store.js'
import { isDue, isFresh, servesWhileRefreshed, standsByUntil } from '../engine/cache/staleness.js'
import { FlightTimeoutError } from '../errors.js'
import type { CallSettings } from '../options/function-options.js'
import { tagLabel } from '../http/labels.js'
import { MAX_TAGS } from '../http/tags.js'
import type { Observer, RefreshResult, Subject } from '../observers/observer.js'
import { warn } from '../observers/warn.js'
import { sizeOf } from '../engine/cache/size.js'

/** A result that was kept, and why it may be served. */
export interface KeptResult<R> {
  readonly value: R
  readonly reason: 'fresh' | 'stale-while-revalidate' | 'stale-if-error'
}

/** Whose result it is. */
export interface Bringer extends Subject {
  /** A label of it. */
  readonly family: string | undefined
}

/** What a look comes to. */
export interface Look<R> {
  readonly kept: KeptResult<R> | undefined
  /** What is kept should be run anew. */
  readonly refresh: boolean
  /** What may be served should the run fail. */
  readonly standby: { readonly value: R, readonly until: number, readonly entry: Entry } | undefined
}

export type Looked<R> = Look<R> | Promise<Look<R>>

const NOTHING: Look<never> = Object.freeze({ kept: undefined, refresh: false, standby: undefined })
/** Nobody's context: what the caller that happened to come has in its own is not for a run in the background. */
const nowhere = new AsyncResource('CoalescedRefresh')

export class Results<A extends readonly unknown[], R> {
  readonly shelf: Shelf
  readonly #refreshes: Refreshes
  readonly #settings: CallSettings<A, R>
  readonly #observer: Observer
  readonly #clock: Clock
  /** Results of which it is known that they are some, by what is in the store. */
  readonly #known = new WeakMap<object, { readonly result: R }>()

  constructor (shelf: Shelf, refreshes: Refreshes, settings: CallSettings<A, R>, observer: Observer, clock: Clock) {
    this.shelf = shelf
    this.#refreshes = refreshes
    this.#settings = settings
    this.#observer = observer
    this.#clock = clock
  }

  look (subject: Subject, key: string): Looked<R> {
    const found = this.shelf.look(key)
    return found instanceof Promise ? found.then(later => this.#judge(subject, key, later)) : this.#judge(subject, key, found)
  }

  /** What may be served in the place of an error, if that is so now. */
  standIn (standby: Look<R>['standby']): KeptResult<R> | undefined {
    if (standby === undefined || standby.until <= this.shelf.now() || this.shelf.isPurged(standby.entry)) return undefined
    return { value: standby.value, reason: 'stale-if-error' }
  }

  /** The key's run failed. */
  failed (key: string): void {
    this.#refreshes.failed(key)
  }

  /**
   * Keeps the result of a run that began at `since`; false if it is not kept.
   *
   * @param replaces something older is kept, which is served no more if this is not kept
   */
  keep ({ log, tally, family }: Bringer, key: string, since: number, value: R, args: A, replaces: boolean): boolean {
    const { clone, staleIfError, staleWhileRevalidate, tags, ttl, ttlJitter } = this.#settings
    this.#refreshes.recovered(key)
    try {
      const lifetime = typeof ttl === 'function' ? ttl(value, args) : ttl
      const labels = tags(value, args).map(tagLabel)
      if (lifetime !== undefined && labels.length <= MAX_TAGS) {
        if (family !== undefined) labels.push(family)
        const freshFor = lifetime * (1 - ttlJitter * Math.random())
        // What the caller does to its own object is not done to what is kept.
        const kept = { result: clone === undefined ? value : clone(value) }
        this.#known.set(kept, kept)
        return this.shelf.keep({
          version: 1,
          key,
          since,
          storedAt: this.shelf.now(),
          freshFor,
          staleWhileRevalidate,
          staleIfError,
          labels,
          bytes: sizeOf(kept.result),
          value: kept
        }, freshFor + Math.max(staleWhileRevalidate, staleIfError))
      }
    } catch (err) {
      warn(log, err, { event: 'not-kept', route: tally.route }, 'coalesce: a result could not be kept')
    }
    if (replaces) this.shelf.drop(key)
    return false
  }

  /** Runs the function anew for what is kept, unless that is being done, or fails of late. */
  refresh (subject: Bringer, key: string, args: A, run: (signal: AbortSignal) => Promise<R>): void {
    if (!this.#refreshes.begin(key)) return
    const since = this.shelf.stamp()
    const controller = new AbortController()
    let over = false
    const end = (result: RefreshResult, error?: unknown): void => {
      over = true
      this.#clock.clearTimeout(timer)
      this.#refreshes.end(key, result === 'failed')
      this.#observer.refreshed(subject, result, error)
    }
    const timer = this.#clock.setTimeout(() => {
      const error = new FlightTimeoutError(this.#settings.flightTimeout)
      end('failed', error)
      controller.abort(error)
    }, this.#settings.flightTimeout)
    subject.tally.runs++
    nowhere.runInAsyncScope(() => run(controller.signal)).then(value => {
      if (!over) end(this.keep(subject, key, since, value, args, true) ? 'refreshed' : 'not-kept')
    }, (error: unknown) => {
      if (!over) end('failed', error)
    })
  }

  #judge ({ tally }: Subject, key: string, found: Found | undefined): Look<R> {
    if (found === undefined) {
      tally.miss('none')
      return NOTHING
    }
    const known = this.#read(found.entry.value)
    if (known === undefined) {
      this.shelf.reject()
      tally.miss('rejected')
      return NOTHING
    }
    const { result: value } = known
    const serve = (reason: KeptResult<R>['reason'], refresh: boolean): Look<R> => ({ kept: { value, reason }, refresh, standby: undefined })
    if (isFresh(found)) return serve('fresh', isDue(found, this.#settings.eagerRefresh))
    if (servesWhileRefreshed(found)) return serve('stale-while-revalidate', true)
    const until = standsByUntil(found)
    if (until !== undefined && this.#refreshes.isPausing(key)) return serve('stale-if-error', false)
    tally.miss(found.outdated ? 'purged' : 'expired')
    return { kept: undefined, refresh: false, standby: until === undefined ? undefined : { value, until, entry: found.entry } }
  }

  /** The result that was put in an entry, if it is of this form and no other: a copy of it, where there is a way to make one. */
  #read (value: unknown): { readonly result: R } | undefined {
    if (typeof value !== 'object' || value === null) return undefined
    const known = this.#known.get(value)
    if (known !== undefined) return known
    try {
      if (Object.keys(value).join() !== 'result') return undefined
      const found = Object.getOwnPropertyDescriptor(value, 'result')?.value as R
      const { clone } = this.#settings
      const result = clone === undefined ? found : clone(found)
      // What is to be awaited is no result, and would be at who is given it.
      if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function') return undefined
      const read = { result }
      this.#known.set(value, read)
      return read
    } catch {
      return undefined
    }
  }
}
