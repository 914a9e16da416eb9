/**
 * What a store may be given and may answer with.
 *
 * Invariant: `readEntry` never throws, and what it returns is fresh, frozen and whole: nobody who had a hand in what it read
 * can change it. The value is the same one, not a copy; what it must be is for its reader to check.
 */
import type { Entry } from '../../types/index.js'

/** An entry that belongs to `key`; undefined for anything else, one of another version or of another key included. */
export function readEntry (found: unknown, key: string): Entry | undefined {
  try {
    const { version, key: own, since, storedAt, freshFor, staleWhileRevalidate, staleIfError, labels, bytes, value } = found as Entry
    if (version !== 1 || typeof own !== 'string' || own !== key || !Array.isArray(labels)) return undefined
    if (!isAmount(since) || !isAmount(storedAt) || !isAmount(freshFor) || !isAmount(bytes) ||
      !isAmount(staleWhileRevalidate) || !isAmount(staleIfError)) return undefined
    const texts: readonly unknown[] = [...labels]
    if (!texts.every(isText)) return undefined
    return Object.freeze({
      version, key, since, storedAt, freshFor, staleWhileRevalidate, staleIfError, labels: Object.freeze(texts), bytes, value
    })
  } catch {
    return undefined
  }
}

function isAmount (value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Infinity
}

function isText (value: unknown): value is string {
  return typeof value === 'string'
}
