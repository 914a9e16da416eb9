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
  return value.toLocaleString('en', { maximumFractionDigits: size >= 100 ? 0 : size >= 10 ? 1 : 2, minimumFractionDigits: size >= 100 ? 0 : size >= 10 ? 1 : 2 })
}

/** @param {Result} result */
function cells ({ name, ours, base, unit, medians, figure: kind, ratio, difference, quartiles, target, result }) {
  /** @type {(value: number) => string} */
  const counted = kind === 'ratio' ? value => value.toFixed(value < 10 ? 3 : 1) : figure
  const counts = kind === 'ratio' ? ratio : difference
  return {
    name,
    servers: `${ours} / ${base}`,
    measured: `${figure(medians.ours)} / ${figure(medians.base)} ${unit}`,
    figure: kind === 'difference' && counts > 0 ? `+${counted(counts)}` : counted(counts),
    quartiles: quartiles.figure.map(counted).join(' to '),
    target: target === null ? '' : target,
    result: result ?? ''
  }
}

/**
 * @param {readonly Measured[]} cases
 * @returns {string}
 */
export function table (cases) {
  const headings = { name: 'row', servers: 'what / against', measured: 'medians', figure: 'figure', quartiles: 'quartiles', target: 'target', result: '' }
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
    '| row | what / against | medians | ratio | quartiles | target |',
    '| --- | --- | --- | --- | --- | --- |',
    ...cases.flatMap(({ rows }) => rows.map(cells)).map(({ name, servers, measured, figure, quartiles, target, result }) =>
      `| ${name} | ${servers} | ${measured} | ${result === 'missed' ? figure : `**${figure}**`} | ${quartiles} | ${[target, result].join(' ').trim()} |`),
    ...notesOf(cases).map(note => `\n${note}`)
  ].join('\n').replaceAll('>=', '≥').replaceAll('<=', '≤').replaceAll(' us ', ' µs ')
}

/** @param {readonly Measured[]} cases */
function notesOf (cases) {
  return cases.flatMap(({ name, notes }) => [...new Set(notes)].map(note => `${name}: ${note}`))
}
