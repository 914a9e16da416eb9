/**
 * Whole seconds, as HTTP says how long something lasts (RFC 9111 section 1.2.2).
 *
 * Invariant: never throws, and neither reads nor writes what is not digits. What is too large to hold is 2^31 seconds, both ways.
 */

const MOST_SECONDS = 2 ** 31
const DIGITS = /^[0-9]+$/

/** In milliseconds; undefined if it is not digits. */
export function parseDeltaSeconds (text: string | undefined): number | undefined {
  return text !== undefined && DIGITS.test(text) ? Math.min(Number(text), MOST_SECONDS) * 1000 : undefined
}

/** How much longer than nothing, and not longer than HTTP can say. */
export function bounded (milliseconds: number): number {
  return Math.min(Math.max(milliseconds, 0), MOST_SECONDS * 1000)
}

/** The text of Age (RFC 9111 section 5.1): the seconds that have passed, and never fewer than none. */
export function deltaSecondsText (milliseconds: number): string {
  return String(Math.floor(bounded(milliseconds) / 1000) || 0)
}
