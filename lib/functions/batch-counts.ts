/**
 * What is counted of a batched function's calls.
 *
 * Invariant: each call that has ended is counted once, however it ended.
 */
import type { BatchFigures } from '../../types/index.js'
import { Distribution } from '../observers/distribution.js'

const SIZES: readonly number[] = Object.freeze([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
const DURATIONS: readonly number[] = Object.freeze([1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000])

export class BatchCounts {
  readonly name: string
  readonly keys = new Distribution(SIZES)
  /** In milliseconds. */
  readonly durations = new Distribution(DURATIONS)
  readonly failures = { batch: 0, key: 0, result: 0 }

  constructor (name: string) {
    this.name = name
  }

  figures (): BatchFigures {
    return {
      name: this.name,
      batches: this.keys.count,
      keys: figuresOf(this.keys),
      durations: figuresOf(this.durations),
      failures: { ...this.failures }
    }
  }
}

function figuresOf ({ bounds, counts, count, sum }: Distribution): BatchFigures['durations'] {
  let below = 0
  const buckets = counts.map((own, index) => {
    below += own
    return [bounds[index] ?? Infinity, below] as const
  })
  return { count, sum, buckets }
}
