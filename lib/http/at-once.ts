/**
 * Return values of the app's functions that must be synchronous.
 *
 * Invariant: a promise among them, which nobody waits for, does not end the process when it rejects.
 */

/** Returns the value as it is. The caller refuses it if it is a promise. */
export function atOnce (answer: unknown): unknown {
  if (answer instanceof Promise) answer.catch(() => {})
  return answer
}
