/**
 * Time, as the rest of the code sees it, so that tests can hold it in their hands.
 * Invariant: no timer of the system clock keeps the process alive.
 */
import { performance } from 'node:perf_hooks'
import type { Clock } from '../types/index.js'

export const systemClock: Clock = Object.freeze({
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimeout: (callback: () => void, delay: number) => setTimeout(callback, delay).unref(),
  clearTimeout: (timer: unknown) => { clearTimeout(timer as NodeJS.Timeout) }
})
