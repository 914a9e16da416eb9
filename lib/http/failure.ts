/**
 * What counts as a failed run of a handler: it threw, or its status is from 500.
 *
 * Invariant: pure. Who else draws a line says why: responses with a status from 400 are cached by `negativeTtl` only (`keep.ts`), and one
 * whose handler threw is never taken for a good one, whatever its status.
 */

/** A status that tells of a failure of the server. Only these are replaced by a stale response. */
export function isFailure (status: number): boolean {
  return status >= 500
}
