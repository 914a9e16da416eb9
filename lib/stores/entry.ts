/**
 * The check of entries on their way into a store and out of it.
 *
 * Invariant: `readEntry` never throws. What it returns has all members of an entry; the reader of its value checks the value.
 */
import type { Entry } from '../../types/index.js'
import { wholeEntry } from '../engine/cache/entry.js'

/** The entry if it is one of `key`; undefined for anything else, such as an entry of another version or key. */
export function readEntry (found: unknown, key: string): Entry | undefined {
  try {
    const entry = wholeEntry(found)
    return entry?.version === 1 && typeof key === 'string' && entry.key === key ? entry as Entry : undefined
  } catch {
    return undefined
  }
}
