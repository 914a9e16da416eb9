// @ts-check
/**
 * What the handlers of the benchmark spend: CPU time by the turn of a loop, so that two processes do the same work and a
 * disturbed one takes longer, as it would with real work; and what they answer with.
 */

/** Of an API's usual size: 700 bytes of JSON, with the id of a request. */
export const record = {
  word: 'serendipity',
  language: 'en',
  pronunciations: [{ text: 'ser-uhn-DIP-i-tee', region: 'UK' }, { text: 'ser-uhn-DIP-uh-dee', region: 'US' }],
  meanings: [
    { part: 'noun', definition: 'An unsought, unintended, unexpected, but fortunate discovery that happens by accident.', examples: 2 },
    { part: 'noun', definition: 'The faculty of making such discoveries, or of finding what one does not look for.', examples: 1 }
  ],
  synonyms: ['chance', 'luck', 'fortuity', 'happenstance'],
  related: [{ word: 'serendipitous', kind: 'adjective' }, { word: 'serendipitously', kind: 'adverb' }, { word: 'zemblanity', kind: 'opposite' }],
  origin: { year: 1754, by: 'Horace Walpole', after: 'The Three Princes of Serendip' },
  seen: 48_211
}

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
