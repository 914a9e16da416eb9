/**
 * Calls of a store that may throw, reject or hang.
 *
 * Invariant: nothing is waited for longer than `storeTimeout`, and each failure of a write is told once.
 */
import type { Clock } from '../../../types/index.js'
import type { Operation, StoreListener } from '../../observers/observer.js'

/** What a store that takes too long has answered. */
export const TOO_SLOW = Symbol('too slow')

export function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

export class StoreCalls {
  readonly #timeout: number
  readonly #clock: Clock
  readonly #listener: StoreListener

  /** @param timeout how long a store is waited for, in milliseconds */
  constructor (timeout: number, clock: Clock, listener: StoreListener) {
    this.#timeout = timeout
    this.#clock = clock
    this.#listener = listener
  }

  /** @param done is called once the store has done it, or has failed, or was given up */
  write (operation: Operation, call: () => void | PromiseLike<void>, done: () => void): void {
    let answer: void | PromiseLike<void>
    try {
      answer = call()
      if (!isPromise(answer)) {
        done()
        return
      }
    } catch (error) {
      this.#listener.failed(operation, 'error', error)
      done()
      return
    }
    const { promise, cancel } = this.limit(answer)
    promise.then(result => {
      if (result === TOO_SLOW) this.#listener.failed(operation, 'timeout', undefined)
    }, (error: unknown) => {
      this.#listener.failed(operation, 'error', error)
    }).finally(() => {
      cancel()
      done()
    })
  }

  /** A promise that settles after `storeTimeout` at the latest. */
  limit (answer: PromiseLike<unknown>): { promise: Promise<unknown>, cancel: () => void } {
    let timer: unknown
    const timeout = new Promise(resolve => { timer = this.#clock.setTimeout(() => { resolve(TOO_SLOW) }, this.#timeout) })
    return { promise: Promise.race([answer, timeout]), cancel: () => { this.#clock.clearTimeout(timer) } }
  }
}
