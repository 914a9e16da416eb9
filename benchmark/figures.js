// @ts-check
/** What many measurements say together. */

/**
 * @param {readonly number[]} values
 * @param {number} at 0 for the least, 1 for the greatest
 * @returns {number}
 */
export function quantile (values, at) {
  const sorted = [...values].sort((a, b) => a - b)
  const place = (sorted.length - 1) * at
  const low = /** @type {number} */ (sorted[Math.floor(place)])
  const high = /** @type {number} */ (sorted[Math.ceil(place)])
  return low + (high - low) * (place - Math.floor(place))
}

/**
 * The median, and the quartiles around it.
 *
 * @typedef {object} Middle
 * @property {number} median
 * @property {[number, number]} quartiles
 */

/**
 * @param {readonly number[]} values at least one
 * @returns {Middle}
 */
export function middle (values) {
  return { median: quantile(values, 0.5), quartiles: [quantile(values, 0.25), quantile(values, 0.75)] }
}
