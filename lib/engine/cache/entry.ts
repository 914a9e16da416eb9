/**
 * What a store answered with, read once.
 *
 * Invariant: what is whole is fresh, frozen, and all of it what it must be: nobody who had a hand in what it was read from can
 * change it, and to look at it runs no code of theirs. The value is the same one, not a copy.
 */
import type { Entry } from '../../../types/index.js'

/** An entry of whatever key and version. */
export type AnyEntry = Omit<Entry, 'version'> & { readonly version: unknown }

/** Gives back what it is made of, so that a mark is put on that. */
class Marked {
  constructor (marked: object) {
    return marked
  }
}

/** Marks entries that were read. No proxy or copy of one has the mark, and a set of them would cost more memory than they do. */
class Whole extends Marked {
  readonly #mark = true

  static is (value: object): boolean {
    return #mark in value
  }
}

/**
 * The entry that something is; undefined if it is none.
 *
 * @throws what looking at it throws
 */
export function wholeEntry (found: unknown): AnyEntry | undefined {
  if (typeof found !== 'object' || found === null) return undefined
  if (Whole.is(found)) return found as Entry
  const { version, key, since, storedAt, freshFor, staleWhileRevalidate, staleIfError, labels, bytes, value } = found as Entry
  if (!isAmount(since) || !isAmount(storedAt) || !isAmount(freshFor) || !isAmount(bytes) ||
    !isAmount(staleWhileRevalidate) || !isAmount(staleIfError) || !Array.isArray(labels)) return undefined
  const texts: readonly unknown[] = [...labels]
  if (!texts.every(isText)) return undefined
  const entry = { version, key, since, storedAt, freshFor, staleWhileRevalidate, staleIfError, labels: Object.freeze(texts), bytes, value }
  return Object.freeze(new Whole(entry)) as unknown as AnyEntry
}

function isAmount (value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Infinity
}

function isText (value: unknown): value is string {
  return typeof value === 'string'
}
