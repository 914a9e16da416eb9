/**
 * Counts the failures of a store, and measures its lookups.
 *
 * Invariant: reasons are names from closed sets. Each failure is counted; at most one is logged in `QUIET` milliseconds.
 */
import type { Clock } from '../../types/index.js'
import { systemClock } from '../clock.js'
import type { Log, Operation, StoreListener } from './observer.js'
import { Distribution } from './distribution.js'
import { increase } from './tally.js'
import { warn } from './warn.js'

/** Upper bounds of the histogram of lookups, in seconds. */
export const LOOKUP_BUCKETS: readonly number[] = Object.freeze([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1])

/** The least time between two warnings, in milliseconds. */
const QUIET = 10_000

const ignore = (): void => {}
/** A log that writes nothing. */
export const SILENT: Log = Object.freeze({ debug: ignore, warn: ignore, error: ignore })

export class StoreTally implements StoreListener {
  /** The number of failures, by operation, then by reason. */
  readonly errors = new Map<Operation, Map<string, number>>()
  /** The number of values that were not an entry of the key, by reason. */
  readonly rejections = new Map<string, number>()
  readonly lookups = new Distribution(LOOKUP_BUCKETS)
  readonly log: Log
  readonly #clock: Clock
  #warned = -Infinity

  constructor (log: Log = SILENT, clock: Clock = systemClock) {
    this.log = log
    this.#clock = clock
  }

  failed (operation: Operation, reason: 'error' | 'timeout' | 'full', err: unknown): void {
    this.#fail(operation, reason, 1)
    this.#warn(err, { event: 'store-failed', operation, reason }, 'coalesce: the store failed; requests go on without it')
  }

  rejected (reason: string): void {
    increase(this.rejections, reason, 1)
    this.#warn(undefined, { event: 'entry-rejected', reason }, 'coalesce: the store gave something else than what was asked for')
  }

  answered (took: number): void {
    this.lookups.observe(took / 1000)
  }

  add (other: StoreTally): void {
    for (const [operation, reasons] of other.errors) {
      for (const [reason, times] of reasons) this.#fail(operation, reason, times)
    }
    for (const [reason, times] of other.rejections) increase(this.rejections, reason, times)
    this.lookups.add(other.lookups)
  }

  #fail (operation: Operation, reason: string, times: number): void {
    let reasons = this.errors.get(operation)
    if (reasons === undefined) this.errors.set(operation, reasons = new Map())
    increase(reasons, reason, times)
  }

  #warn (err: unknown, fields: object, message: string): void {
    const now = this.#clock.now()
    if (now - this.#warned < QUIET) return
    this.#warned = now
    warn(this.log, err, fields, message)
  }
}
