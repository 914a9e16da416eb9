// @ts-check
/** What the load asks for: each time another key, always the same, or keys as frequent as in real traffic. */

/** @typedef {'unique' | 'hot' | 'zipf'} Keys */

const ZIPF_KEYS = 10_000
const ZIPF_EXPONENT = 0.99

let serial = 0

/** @type {Float64Array | undefined} */
let weights

/** The weights of all ranks up to each. */
function cumulated () {
  if (weights !== undefined) return weights
  weights = new Float64Array(ZIPF_KEYS)
  let sum = 0
  for (let rank = 1; rank <= ZIPF_KEYS; rank++) weights[rank - 1] = sum += rank ** -ZIPF_EXPONENT
  return weights
}

/**
 * Ranks drawn from a fixed sequence: all servers are asked the same.
 *
 * @returns {() => number}
 */
function zipf () {
  const sums = cumulated()
  const sum = /** @type {number} */ (sums.at(-1))
  let seed = 1
  return () => {
    seed = Math.imul(seed, 1_664_525) + 1_013_904_223 >>> 0
    const wanted = seed / 2 ** 32 * sum
    let low = 0
    let high = ZIPF_KEYS - 1
    while (low < high) {
      const middle = low + high >>> 1
      if (/** @type {number} */ (sums[middle]) < wanted) low = middle + 1
      else high = middle
    }
    return low
  }
}

/**
 * @param {string} path the route's beginning, with a slash at the end
 * @param {Keys} keys
 * @returns {() => string}
 */
export function paths (path, keys) {
  switch (keys) {
    case 'unique':
      return () => `${path}${++serial}`
    case 'hot':
      return () => `${path}hot`
    case 'zipf': {
      const draw = zipf()
      return () => `${path}${draw()}`
    }
  }
}
