/**
 * Reads what a store answered with, once.
 *
 * Invariant: a whole entry is a frozen copy whose members have the right types. Nobody can change it afterwards, and reading it runs no
 * code of the store's. Its value is the store's own, not a copy.
 */
import type { Entry } from '../../../types/index.js'

/** An entry of any version. */
export type AnyEntry = Omit<Entry, 'version'> & { readonly version: unknown }

/** Returns its argument from its constructor, so that a subclass puts its private mark on that. */
class Marked {
  constructor (marked: object) {
    return marked
  }
}

/** Marks entries that were read. A proxy or a copy of one does not have the mark. A WeakSet would take more memory than the entries. */
class Whole extends Marked {
  readonly #mark = true

  static is (value: object): boolean {
    return #mark in value
  }
}

/**
 * Reads an entry; undefined if it is none.
 *
 * @throws what reading its members throws
 */
export function wholeEntry (found: unknown): AnyEntry | undefined {
  if (typeof found !== 'object' || found === null) return undefined
  if (Whole.is(found)) return found as Entry
  const { version, key, since, storedAt, freshFor, staleWhileRevalidate, staleIfError, labels, bytes, value, outdated } = found as Entry
  if (!isAmount(since) || !isAmount(storedAt) || !isAmount(freshFor) || !isAmount(bytes) ||
    !isAmount(staleWhileRevalidate) || !isAmount(staleIfError) || !Array.isArray(labels)) return undefined
  const texts: readonly unknown[] = [...labels]
  if (!texts.every(isText)) return undefined
  const entry = { version, key, since, storedAt, freshFor, staleWhileRevalidate, staleIfError, labels: Object.freeze(texts), bytes, value }
  if (outdated === true) Object.assign(entry, { outdated })
  return Object.freeze(new Whole(entry)) as unknown as AnyEntry
}

function isAmount (value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Infinity
}

function isText (value: unknown): value is string {
  return typeof value === 'string'
}
