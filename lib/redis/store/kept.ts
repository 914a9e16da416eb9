/**
 * An entry as one process has it: with times by its own clock.
 *
 * Invariant: the clocks of other processes have no part in it.
 */
import type { Entry } from '../../../types/index.js'
import { readEntry } from '../../stores/entry.js'
import type { Stored } from './bytes.js'

export interface Kept {
  readonly stored: Stored
  /** How many bytes it has in Redis. */
  readonly size: number
  /** It was purged softly. */
  readonly outdated: boolean
  /** When its run ended, and until when it is kept, by this process's clock. */
  readonly endedAt: number
  readonly until: number
}

/**
 * The entry; undefined if it is none.
 *
 * @param since a moment before which all purges are known
 * @param storedAt when its run ended, by the user's clock
 */
export function entryOf ({ stored: { members }, outdated }: Kept, since: number, storedAt: number): Entry | undefined {
  const entry = { version: 1, since, storedAt: Math.max(storedAt, 0), ...members }
  return readEntry(outdated ? { ...entry, outdated } : entry, members.key)
}
