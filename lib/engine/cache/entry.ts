/**
 * What a store answered with, read once.
 *
 * Invariant: what is whole is fresh, frozen, and all of it what it must be: nobody who had a hand in what it was read from can
 * change it, and to look at it runs no code of theirs. The value is the same one, not a copy.
 */
import type { Entry } from '../../../types/index.js'

/** An entry of whatever key and version. */
export type AnyEntry = Omit<Entry, 'version'> & { readonly version: unknown }

const WHOLE = new WeakSet<object>()

/**
 * The entry that something is; undefined if it is none.
 *
 * @throws what looking at it throws
 */
export function wholeEntry (found: unknown): AnyEntry | undefined {
  if (typeof found !== 'object' || found === null) return undefined
  if (WHOLE.has(found)) return found as Entry
  const { version, key, since, storedAt, freshFor, staleWhileRevalidate, staleIfError, labels, bytes, value } = found as Entry
  if (!isAmount(since) || !isAmount(storedAt) || !isAmount(freshFor) || !isAmount(bytes) ||
    !isAmount(staleWhileRevalidate) || !isAmount(staleIfError) || !Array.isArray(labels)) return undefined
  const texts: readonly unknown[] = [...labels]
  if (!texts.every(isText)) return undefined
  const entry = Object.freeze({
    version, key, since, storedAt, freshFor, staleWhileRevalidate, staleIfError, labels: Object.freeze(texts), bytes, value
  })
  WHOLE.add(entry)
  return entry
}

function isAmount (value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Infinity
}

function isText (value: unknown): value is string {
  return typeof value === 'string'
}
