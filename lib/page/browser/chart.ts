/**
 * Five minutes as a stacked area, and a minute as a line.
 *
 * Invariant: one path for each outcome, changed in place; what it shows is said in words beside it.
 */
import { SERIES } from '../state.js'
import { attribute, byId, el, say, svg } from './dom.js'
import { all, FIVE_MINUTES, type History, minus, saved } from './figures.js'
import { count, percent, rate, seconds } from './format.js'
import { OUTCOMES } from './words.js'

/** About so many points are enough for the eye. */
const POINTS = 150

/** 1, 2 or 5 times a power of ten, not below `value`. */
function roundUp (value: number): number {
  const power = 10 ** Math.floor(Math.log10(value || 1))
  return ([1, 2, 5].find(step => step * power >= value) ?? 10) * power
}

const series = SERIES.map((name, index) => {
  const fill = `var(--o${index})`
  const path = svg('path', { fill })
  const figure = el('b')
  const item = el('li', '', svg('svg', { viewBox: '0 0 9 9', 'aria-hidden': 'true' }, svg('rect', { width: '9', height: '9', fill })), ` ${OUTCOMES[index]} (${name}) `, figure)
  byId('chart').append(path)
  byId('legend').append(item)
  return { path, item, figure }
})

/** Draws in a picture of 1000 by 200. */
export function showChart (history: History): void {
  const { samples } = history
  const end = history.last ?? 0
  const every = Math.ceil(samples.length / POINTS)
  // Counted from the end, so that points do not change places as samples come.
  const points = samples.filter((_, index) => (samples.length - 1 - index) % every === 0)
  const steps = points.slice(1).map((sample, index) => {
    const before = points[index] as typeof sample
    return {
      x: (1000 * (1 - (end - sample.at) / FIVE_MINUTES)).toFixed(1),
      rates: minus(sample.counts, before.counts).map(value => value / (sample.at - before.at) * 1000)
    }
  })
  const top = roundUp(Math.max(0, ...steps.map(({ rates }) => all(rates))))
  say('chart-top', steps.length > 0 ? `${rate(top)} requests/s` : '')
  const edge = (series: number): string[] => steps.map(({ x, rates }) => `${x} ${(200 * (1 - all(rates.slice(0, series)) / top)).toFixed(1)}`)

  const lately = history.recent(FIVE_MINUTES)
  const now = history.recent()
  series.forEach(({ path, item, figure }, index) => {
    item.hidden = !lately?.counts[index]
    attribute(path, 'd', item.hidden || steps.length < 2 ? '' : `M${edge(index + 1).join('L')}L${edge(index).reverse().join('L')}Z`)
    say(figure, `${rate((now?.counts[index] ?? 0) / (now?.seconds ?? 1))}/s`)
  })
  const whole = all(lately?.counts ?? [])
  byId('plot').hidden = whole === 0
  say('chart-summary', lately && whole > 0
    ? `In the last ${seconds(lately.seconds * 1000)} ${count(whole)} requests and ${count(lately.runs)} runs. ${percent(saved(lately.counts) / whole)} needed no run of their own: ` +
      `${lately.counts.flatMap((value, index) => value > 0 ? `${percent(value / whole)} ${OUTCOMES[index]}` : []).join(', ')}.`
    : 'No request in five minutes.')
}

/** A line of one minute. */
export function sparkline (): { node: Node, show: (rates: ReadonlyArray<readonly [ago: number, rate: number]>) => void } {
  const line = svg('path', {})
  return {
    node: svg('svg', { class: 'spark', viewBox: '0 0 100 20', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, line),
    show (rates) {
      const top = Math.max(...rates.map(([, value]) => value)) || 1
      attribute(line, 'd', rates.length < 2 ? '' : `M${rates.map(([ago, value]) => `${(100 - ago * 100).toFixed(1)} ${(19 - value / top * 18).toFixed(1)}`).join('L')}`)
    }
  }
}
