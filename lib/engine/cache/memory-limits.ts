/**
 * The limits of memories that are held by key.
 *
 * Invariant: bounded in characters as well as in keys, because clients choose how long a key is.
 */

/** For an LRU cache whose keys are keys of requests or calls. */
export const MEMORY = Object.freeze({
  max: 10_000,
  maxSize: 2 ** 24,
  sizeCalculation: (_value: unknown, key: string): number => key.length + 1
})
