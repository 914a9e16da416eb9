/**
 * What the tests of breakers share: one with a clock that the test turns, and runs that end in one word.
 */
import assert from 'node:assert/strict'
import { Breaker, type BreakerRun, type BreakerSettings } from '../../lib/protection/breaker.js'
import type { Refusal, RunEnd } from '../../lib/protection/permits.js'
import { TestClock } from '../fixtures/gate.js'

export const GOOD: RunEnd = { status: 200, error: undefined }
export const BAD: RunEnd = { status: 500, error: undefined }
export const NEUTRAL: RunEnd = undefined
/** How long a probe may take. */
export const LASTS = 30_000

export const SETTINGS: BreakerSettings = {
  threshold: 0.5,
  minimumRuns: 4,
  window: 10_000,
  consecutive: false,
  openFor: 5000,
  maxOpenFor: 60_000,
  probes: 1,
  slow: Infinity,
  by: undefined,
  isFailure: undefined,
  name: 'users'
}

export class TestBreaker extends Breaker {
  readonly clock: TestClock
  /** The transitions that were told. */
  readonly told: string[] = []

  constructor (settings: Partial<BreakerSettings> = {}, clock = new TestClock()) {
    super({ ...SETTINGS, ...settings }, clock)
    this.clock = clock
    this.listen((to, from) => { this.told.push(`${from} → ${to}`) })
  }

  mayBegin (...subject: unknown[]): BreakerRun {
    const run = this.begin(subject, LASTS)
    assert(run.type === 'begun', 'a run may begin')
    return run
  }

  isRefused (...subject: unknown[]): Refusal {
    const refusal = this.begin(subject, LASTS)
    assert(refusal.type === 'refused', 'no run may begin')
    return refusal
  }

  run (end: RunEnd, times = 1, ...subject: unknown[]): void {
    for (let time = 0; time < times; time++) this.mayBegin(...subject).end(end)
  }

  /** Runs fail until it is open. */
  fail (...subject: unknown[]): void {
    this.run(BAD, 4, ...subject)
  }
}
