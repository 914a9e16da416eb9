// @ts-check
/**
 * What one line of the table is, and what comes of its measurements.
 *
 * Invariant: what is compared are neighbours. Each pair gives a figure, and the median of these counts, so that a machine that is
 * slow for a while is slow for both.
 */
import { middle } from './figures.js'

/**
 * @typedef {object} Row
 * @property {string} name no other row has the same
 * @property {string} unit of what is measured
 * @property {string} ours what is measured
 * @property {string} base what it is compared with
 * @property {'ratio' | 'difference'} [figure] of ours to base; the ratio, unless it says otherwise
 * @property {{ least: number } | { most: number }} [target] of the figure
 * @property {string} [needs] what is no devDependency: a program, or a package of `peers/`
 */

/** @typedef {{ ours: number, base: number }} Pair two neighbouring measurements */

/**
 * @typedef {object} Result
 * @property {string} name
 * @property {string} unit
 * @property {string} ours
 * @property {string} base
 * @property {{ ours: number, base: number }} medians
 * @property {{ ours: [number, number], base: [number, number], figure: [number, number] }} quartiles
 * @property {'ratio' | 'difference'} figure which of the two the target is of, and the quartiles
 * @property {number} ratio
 * @property {number} difference
 * @property {number} rounds how many pairs there were
 * @property {string | null} target
 * @property {'met' | 'missed' | null} result
 * @property {string} [note]
 */

/** @type {(least: number) => { least: number }} */
export const atLeast = least => ({ least })
/** @type {(most: number) => { most: number }} */
export const atMost = most => ({ most })

/**
 * @param {Row} row
 * @param {readonly Pair[]} pairs
 * @param {string} [note]
 * @returns {Result}
 */
export function resultOf ({ name, unit, ours, base, figure = 'ratio', target }, pairs, note) {
  const [mine, theirs] = [middle(pairs.map(pair => pair.ours)), middle(pairs.map(pair => pair.base))]
  const ratio = middle(pairs.map(pair => pair.ours / pair.base))
  const difference = middle(pairs.map(pair => pair.ours - pair.base))
  const counts = figure === 'ratio' ? ratio : difference
  return {
    name,
    unit,
    ours,
    base,
    medians: { ours: mine.median, base: theirs.median },
    quartiles: { ours: mine.quartiles, base: theirs.quartiles, figure: counts.quartiles },
    figure,
    ratio: ratio.median,
    difference: difference.median,
    rounds: pairs.length,
    target: target === undefined ? null : 'least' in target ? `>= ${target.least}` : `<= ${target.most}`,
    result: target === undefined
      ? null
      : ('least' in target ? counts.median >= target.least : counts.median <= target.most) ? 'met' : 'missed',
    ...(note === undefined ? {} : { note })
  }
}
