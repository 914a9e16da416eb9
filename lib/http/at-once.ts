/**
 * What functions of the app answer whose answer is wanted at once.
 *
 * Invariant: a promise is no answer, and as nobody waits for it, its failure does not end the process.
 */

/** Gives back an answer, which must not be a promise: that is for the caller to find out. */
export function atOnce (answer: unknown): unknown {
  if (answer instanceof Promise) answer.catch(() => {})
  return answer
}
