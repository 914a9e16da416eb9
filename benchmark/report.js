// @ts-check
/** Tables of what was measured, for a terminal and for docs/benchmark.md. */

/** @typedef {import('./rows.js').Result} Result */
/** @typedef {{ name: string, what: string, rows: Result[], notes: string[] }} Measured a case that was measured */

/**
 * @param {number} value
 * @returns {string}
 */
function figure (value) {
  const size = Math.abs(value)
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2
  return value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })
}

/** @type {(value: number) => string} */
const ratioText = value => value.toFixed(value < 10 ? 2 : 1)

/** @param {Result} result */
function cells ({ name, unit, medians, figure: kind, ratio, difference, quartiles, target, result }) {
  const text = kind === 'ratio' ? ratioText : figure
  const counts = kind === 'ratio' ? ratio : difference
  return {
    name,
    measured: `${figure(medians.ours)} / ${figure(medians.base)} ${unit}`,
    figure: kind === 'difference' && counts > 0 ? `+${text(counts)}` : text(counts),
    quartiles: quartiles.figure.map(text).join(' to '),
    target: target ?? '',
    result: result ?? ''
  }
}

/**
 * @param {readonly Measured[]} cases
 * @returns {string}
 */
export function table (cases) {
  const headings = { name: 'row', measured: 'medians', figure: 'ratio', quartiles: 'quartiles', target: 'target', result: '' }
  const rows = [headings, ...cases.flatMap(({ rows }) => rows.map(cells))]
  const columns = /** @type {Array<keyof typeof headings>} */ (Object.keys(headings))
  const widths = columns.map(column => Math.max(...rows.map(row => row[column].length)))
  const lines = rows.map(row => columns.map((column, place) => row[column].padEnd(Number(widths[place]))).join('  ').trimEnd())
  return [...lines, ...notesOf(cases)].join('\n')
}

/**
 * @param {readonly Measured[]} cases
 * @returns {string}
 */
export function markdown (cases) {
  return [
    '| case | row | medians | ratio, or difference | quartiles | target |',
    '| --- | --- | --- | --- | --- | --- |',
    ...cases.flatMap(({ name: word, rows }) => rows.map(cells).map(({ name, measured, figure, quartiles, target, result }) =>
      `| \`${word}\` | ${name} | ${measured} | **${figure}** | ${quartiles} | ${result === '' ? '' : `${target}: ${result}`} |`)),
    ...notesOf(cases).map(note => `\n${note}`)
  ].join('\n').replaceAll('>=', '≥').replaceAll('<=', '≤').replace(/\bus\b/g, 'µs')
}

/** @param {readonly Measured[]} cases */
function notesOf (cases) {
  return cases.flatMap(({ name, notes }) => notes.map(note => `${name}: ${note}`))
}
