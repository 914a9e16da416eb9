/**
 * What a run queue counts of one level.
 *
 * Invariant: each that came, and did not leave by itself, is counted once: as a run, or as refused.
 */
import type { QueueFigures } from '../../types/index.js'

/** Why a queue refuses. */
export type QueueReason = 'queue-full' | 'queue-timeout' | 'evicted'
type LevelFigures = QueueFigures['levels'][number]

/** The upper limits of the buckets of waiting times, in milliseconds. */
const LIMITS: readonly number[] = [1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, Infinity]

export class QueueCounts {
  /** By why they were refused. */
  readonly shed: Record<QueueReason, number> = { 'queue-full': 0, 'queue-timeout': 0, evicted: 0 }
  #runs = 0
  #sum = 0
  /** By limit; one that waited counts in one of them. */
  readonly #buckets: number[] = LIMITS.map(() => 0)

  /** A run got a slot. */
  ran (waited: number): void {
    this.#runs++
    this.#sum += waited
    let bucket = 0
    while (waited > (LIMITS[bucket] as number)) bucket++
    this.#buckets[bucket] = this.#buckets[bucket] as number + 1
  }

  figures (level: string, waiting: number): LevelFigures {
    let count = 0
    const buckets = LIMITS.map((limit, index) => {
      count += this.#buckets[index] as number
      return [limit, count] as const
    })
    return {
      level,
      waiting,
      runs: this.#runs,
      waited: { count: this.#runs, sum: this.#sum, buckets },
      shed: { full: this.shed['queue-full'], timeout: this.shed['queue-timeout'], evicted: this.shed.evicted }
    }
  }
}
