// @ts-check
/**
 * What the handlers of the benchmark spend: CPU time by the turn of a loop, so that two processes do the same work and a
 * disturbed one takes longer, as it would with real work.
 */

/**
 * @param {number} turns
 * @returns {number}
 */
export function spin (turns) {
  let state = 0x2545f491
  for (let turn = 0; turn < turns; turn++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
  }
  return state
}

/**
 * How many turns take this long here. Measured once a run, for all servers of it.
 *
 * @param {number} microseconds
 * @returns {number}
 */
export function turnsFor (microseconds) {
  const turns = 100_000
  let best = Infinity
  for (let trial = 0; trial < 50; trial++) {
    const start = performance.now()
    spin(turns)
    best = Math.min(best, performance.now() - start)
  }
  return Math.round(turns * microseconds / 1000 / best)
}
