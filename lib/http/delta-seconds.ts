/**
 * Durations as HTTP writes them: whole seconds (RFC 9111 section 1.2.2).
 *
 * Invariant: never throws, and reads and writes digits only. Larger values are read and written as 2^31 seconds.
 */

const MOST_SECONDS = 2 ** 31
const DIGITS = /^[0-9]+$/

/** In milliseconds; undefined if it is not digits. */
export function parseDeltaSeconds (text: string | undefined): number | undefined {
  return text !== undefined && DIGITS.test(text) ? Math.min(Number(text), MOST_SECONDS) * 1000 : undefined
}

/** A duration from 0 to the longest that HTTP can say, in milliseconds. */
export function bounded (milliseconds: number): number {
  return Math.min(Math.max(milliseconds, 0), MOST_SECONDS * 1000)
}

/** The text of Age (RFC 9111 section 5.1): whole seconds, from 0. */
export function deltaSecondsText (milliseconds: number): string {
  return String(Math.floor(bounded(milliseconds) / 1000) || 0)
}
