/**
 * Options of a batched function in; frozen, complete settings out.
 *
 * Invariant: as for all options: a wrong one throws with its name, and nothing is repaired. What is an option of deduplicated functions is
 * read as theirs.
 */
import { readFunctionOptions, type CallSettings } from './function-options.js'
import { callable, durationOr, integer, optional, type Parser, type Parsers } from './parsers.js'

const MOST_KEYS = 10_000

interface BatchSettings {
  readonly group: ((...args: readonly unknown[]) => unknown) | undefined
  readonly maxBatchSize: number
  /** In milliseconds, or the rest of the turn. */
  readonly window: number | 'turn'
}

export type BatchedSettings<A extends readonly unknown[], R> = CallSettings<A, R> & BatchSettings

const turnOrDuration: Parser<number | 'turn'> = (value, name) => value === 'turn' ? value : durationOr("'turn'")(value, name)

const batchReaders: Parsers<BatchSettings> = {
  group: optional(callable<NonNullable<BatchSettings['group']>>),
  maxBatchSize: integer(1, MOST_KEYS),
  window: turnOrDuration
}

const BATCH_DEFAULTS: BatchSettings = Object.freeze({ group: undefined, maxBatchSize: 100, window: 'turn' })

/** Reads the options of a batched function. */
export function readBatchOptions<A extends readonly unknown[], R> (options: unknown): BatchedSettings<A, R> {
  return readFunctionOptions<A, R, BatchSettings>(options, 'batched options', batchReaders, BATCH_DEFAULTS)
}
