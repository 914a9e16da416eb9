/**
 * Outcomes in a few plain words.
 *
 * Invariant: as many as `SERIES`, in its order.
 */

export const OUTCOMES = ['shared a run', 'from the cache', 'stale from the cache', "another process's run", 'ran', 'ran, not eligible', 'ran after waiting', 'refused']
