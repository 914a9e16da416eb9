/**
 * Which sources a test file covers: those of the package. What it costs to count is not paid where time or memory is measured,
 * nor where the package runs in other processes.
 */
const UNCOUNTED = /(?:leaks|examples|package|readme|architecture|memory)\.test\.ts$/

/** @param {string} file */
export default file => UNCOUNTED.test(file) ? null : 'lib/**/*.ts'
