// @ts-check
/** All that is measured. */
import { bypass } from './cases/bypass.js'
import { functions } from './cases/functions.js'
import { hit, hooks } from './cases/hit.js'
import { follower, leader } from './cases/memory.js'
import { entries, flights, misses } from './cases/scale.js'
import { storms } from './cases/storm.js'
import { unique, work } from './cases/unique.js'
import { zipf } from './cases/zipf.js'

/**
 * @typedef {object} Case
 * @property {string} name a word for the command line
 * @property {string} what is measured, for those who read the table
 * @property {readonly import('./rows.js').Row[]} rows
 * @property {(lab: import('./lab.js').Lab) => Promise<Map<string, import('./rows.js').Pair[]>>} measure by the names of the rows that can be measured
 */

/** @type {readonly Case[]} */
export const cases = [hit, hooks, unique, work, bypass, ...storms, follower, leader, flights, entries, misses, functions, zipf]
