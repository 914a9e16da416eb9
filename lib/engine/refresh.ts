/**
 * One run in the background that brings a stale result up to date.
 *
 * Invariant: it is over once, when its run has ended or has taken too long; whatever comes later changes nothing.
 */
import type { RefreshResult } from '../observers/observer.js'

export class Refresh<R> {
  /** The key of who saw that it is needed, without its variant. */
  readonly key: string
  /** The same with its variant: what is refreshed. */
  readonly boardedKey: string
  /** What is stale. */
  readonly stale: R
  /** When it was seen to be needed, by the store's time: what is purged from then on is not made fresh again. */
  readonly startedAt: number
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
