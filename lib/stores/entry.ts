/**
 * What a store may be given and may answer with.
 *
 * Invariant: `readEntry` never throws. What it returns is whole; what its value must be is for the value's reader to check.
 */
import type { Entry } from '../../types/index.js'
import { wholeEntry } from '../engine/cache/entry.js'

/** An entry that belongs to `key`; undefined for anything else, one of another version or of another key included. */
export function readEntry (found: unknown, key: string): Entry | undefined {
  try {
    const entry = wholeEntry(found)
    return entry?.version === 1 && typeof key === 'string' && entry.key === key ? entry as Entry : undefined
  } catch {
    return undefined
  }
}
