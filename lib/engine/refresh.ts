/**
 * One run in the background that brings a stale result up to date.
 *
 * Invariant: it is over once, when its run has ended or has taken too long; whatever comes later changes nothing.
 */
import type { RefreshResult } from '../observers/observer.js'
import { NO_PERMIT, type Permit } from '../protection/permits.js'

export class Refresh<R> {
  /** The key of the participant that found the stale result, without its variant. */
  readonly key: string
  /** The same key with its variant: the key that is refreshed. */
  readonly boardedKey: string
  /** The stale result. */
  readonly stale: R
  /** When the stale result was found, by the store's time. A purge after that also holds for what the refresh brings. */
  readonly startedAt: number
  /** What its run runs by. */
  permit: Permit = NO_PERMIT
  /** What came of it so far. */
  result: RefreshResult = 'failed'
  /** What went wrong, if something threw. */
  error: unknown
  /** It took too long, or has ended. */
  over = false
  readonly #cancels: Array<(reason: Error) => void> = []

  constructor (key: string, boardedKey: string, stale: R, startedAt: number) {
    this.key = key
    this.boardedKey = boardedKey
    this.stale = stale
    this.startedAt = startedAt
  }

  /** Calls `cancel`, which gives up a part of its run, if it takes too long. */
  onCancel (cancel: (reason: Error) => void): void {
    this.#cancels.push(cancel)
  }

  /** It takes too long. */
  cancel (reason: Error): void {
    for (const cancel of this.#cancels) cancel(reason)
  }
}
