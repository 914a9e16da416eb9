// @ts-check
/**
 * A page that shows a Grafana dashboard's panels, in Grafana's manner: time series, stats, bars, heatmaps and state timelines, as far as
 * grafana/dashboard.json has them. It is drawn as SVG, without a script.
 */

/**
 * @typedef {{ metric: Record<string, string>, values: Array<[number, string]>, value?: [number, string] }} Line
 * @typedef {{ start: number, end: number, step: number, answers: Record<string, Line[]> }} Told
 * @typedef {{ id: number, type: string, title: string, gridPos: { x: number, y: number, w: number, h: number }, targets?: any[], fieldConfig: any, options: any }} Panel
 * @typedef {{ name: string, colour: string, values: Map<number, number>, unit: string, isRight: boolean, isDashed: boolean }} Series
 */

const ROW = 27
const GAP = 6
const PALETTE = ['#73bf69', '#f2cc0c', '#8ab8ff', '#ff780a', '#f2495c', '#5794f2', '#b877d9', '#a16cdb', '#37872d', '#fade2a', '#6ed0e0', '#c15c17']
/** @type {Record<string, string>} */
const COLOURS = {
  green: '#73bf69', 'dark-green': '#37872d', 'light-green': '#96d98d', yellow: '#fade2a', blue: '#5794f2', orange: '#ff9830', purple: '#b877d9', red: '#f2495c', gray: '#8e8e8e', transparent: 'none'
}

/** @param {unknown} text */
const escaped = text => String(text).replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`)

/**
 * @param {number} value
 * @param {string} unit
 * @param {number} [decimals]
 */
function told (value, unit, decimals) {
  const digits = (/** @type {number} */ number) => decimals !== undefined ? number.toFixed(decimals) : String(Number(number.toPrecision(3)))
  if (!Number.isFinite(value)) return ''
  if (unit === 'percentunit') return `${decimals !== undefined ? (value * 100).toFixed(decimals) : Number((value * 100).toPrecision(3))}%`
  if (unit === 's') return value >= 1 || value === 0 ? `${digits(value)} s` : `${Number((value * 1000).toPrecision(3))} ms`
  if (unit === 'bytes') return value >= 1024 * 1024 ? `${digits(value / 1024 / 1024)} MiB` : value >= 1024 ? `${digits(value / 1024)} KiB` : `${digits(value)} B`
  const plain = value >= 1000 ? `${digits(value / 1000)}k` : digits(value)
  return unit === 'reqps' ? `${plain} req/s` : unit === 'ops' ? `${plain} ops/s` : plain
}

/**
 * Marks of an axis from 0.
 *
 * @param {number} most
 * @param {number} count
 * @param {string} unit
 */
function marks (most, count, unit) {
  const rough = most / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const steps = unit === 'bytes' ? [2 ** Math.ceil(Math.log2(rough))] : [1, 2, 2.5, 5, 10].map(times => times * power)
  const step = steps.find(each => each >= rough) ?? rough
  const last = Math.ceil(most / step - 1e-9)
  return Array.from({ length: last + 1 }, (_, index) => index * step)
}

/**
 * @param {Panel} panel
 * @param {Told} figures
 * @returns {Series[]}
 */
function seriesOf (panel, { answers }) {
  const { defaults, overrides } = panel.fieldConfig
  const lines = (panel.targets ?? []).flatMap(({ expr, legendFormat }) => (answers[expr] ?? []).map(line => ({
    name: legendFormat.replace(/\{\{(\w+)\}\}/g, (/** @type {string} */ _, /** @type {string} */ label) => line.metric[label] ?? '').trim(),
    values: new Map((line.values ?? [line.value]).map(([at, value]) => [at, Number(value)]).filter(([, value]) => Number.isFinite(value)))
  }))).filter(({ values }) => values.size > 0)
  return lines.map(({ name, values }, index) => {
    const fits = (/** @type {any} */ { matcher: { id, options } }) => id === 'byName' ? options === name : new RegExp(options).test(name)
    const properties = overrides.filter(fits).flatMap((/** @type {any} */ each) => each.properties)
    const property = (/** @type {string} */ id) => properties.find((/** @type {any} */ each) => each.id === id)?.value
    return {
      name,
      values,
      colour: COLOURS[property('color')?.fixedColor] ?? PALETTE[index % PALETTE.length],
      unit: property('unit') ?? defaults.unit ?? 'short',
      isRight: property('custom.axisPlacement') === 'right',
      isDashed: property('custom.lineStyle') !== undefined
    }
  })
}

/** @param {number} at */
const clock = at => new Date(at * 1000).toISOString().slice(11, 16)

/**
 * @param {Told} figures
 * @param {number} left
 * @param {number} right
 * @param {number} bottom
 */
function times ({ start, end }, left, right, bottom) {
  let drawn = ''
  for (let at = Math.ceil(start / 60) * 60; at < end; at += 60) {
    const x = left + (at - start) / (end - start) * (right - left)
    drawn += `<line x1="${x}" x2="${x}" y1="4" y2="${bottom}" class="grid"/><text x="${x}" y="${bottom + 12}" text-anchor="middle">${clock(at)}</text>`
  }
  return drawn
}

/**
 * @param {Series[]} series
 * @param {number} width
 */
function legend (series, width) {
  return `<div class="legend" style="width:${width}px">${series.map(({ name, colour }) => `<span><i style="background:${colour}"></i>${escaped(name)}</span>`).join('')}</div>`
}

/**
 * @param {Panel} panel
 * @param {Told} figures
 * @param {number} width
 * @param {number} height
 */
function timeSeries (panel, figures, width, height) {
  const series = seriesOf(panel, figures)
  const { defaults } = panel.fieldConfig
  const isStacked = defaults.custom.stacking.mode === 'normal'
  const { start, end, step } = figures
  const perLine = Math.max(1, Math.floor((width - 10) / Math.max(50, ...series.map(({ name }) => name.length * 5.4 + 24))))
  const legendHeight = Math.min(2, Math.ceil(series.length / perLine)) * 14 + 4
  const [left, bottom] = [52, height - legendHeight - 18]
  const right = width - (series.some(({ isRight }) => isRight) ? 44 : 8)
  const x = (/** @type {number} */ at) => (left + (at - start) / (end - start) * (right - left)).toFixed(1)
  let drawn = times(figures, left, right, bottom)
  for (const isRight of [false, true]) {
    const own = series.filter(each => each.isRight === isRight)
    if (own.length === 0) continue
    const moments = Array.from({ length: Math.floor((end - start) / step) + 1 }, (_, index) => start + index * step)
    const tops = moments.map(at => {
      const heights = own.map(({ values }) => values.get(at) ?? 0)
      return isStacked ? heights.reduce((sum, each) => sum + each, 0) : Math.max(0, ...heights)
    })
    const thresholds = defaults.thresholds?.steps.filter((/** @type {any} */ each) => each.value !== null) ?? []
    const highest = Math.max(...tops, ...thresholds.map((/** @type {any} */ each) => each.value)) || 1
    const axis = marks(defaults.max ?? highest, 4, defaults.unit)
    const most = axis.at(-1) ?? 1
    const y = (/** @type {number} */ value) => (bottom - Math.min(value / most, 1) * (bottom - 6)).toFixed(1)
    for (const mark of axis) {
      drawn += isRight
        ? `<text x="${right + 5}" y="${Number(y(mark)) + 3}">${told(mark, own[0]?.unit ?? '')}</text>`
        : `<line x1="${left}" x2="${right}" y1="${y(mark)}" y2="${y(mark)}" class="grid"/><text x="${left - 5}" y="${Number(y(mark)) + 3}" text-anchor="end">${told(mark, own[0]?.unit ?? '')}</text>`
    }
    for (const { value, color } of thresholds) drawn += `<line x1="${left}" x2="${right}" y1="${y(value)}" y2="${y(value)}" stroke="${COLOURS[color]}" stroke-dasharray="6 5"/>`
    const below = new Map(moments.map(at => [at, 0]))
    for (const { values, colour, isDashed } of own) {
      /** @type {number[][]} */
      const pieces = [[]]
      for (const at of moments) {
        if (values.has(at) || isStacked) pieces.at(-1)?.push(at)
        else if (pieces.at(-1)?.length !== 0) pieces.push([])
      }
      const top = (/** @type {number} */ at) => (isStacked ? below.get(at) ?? 0 : 0) + (values.get(at) ?? 0)
      for (const piece of pieces.filter(({ length }) => length > 0)) {
        const line = piece.map(at => `${x(at)},${y(top(at))}`)
        const base = piece.toReversed().map(at => `${x(at)},${y(isStacked ? below.get(at) ?? 0 : 0)}`)
        const fill = isDashed ? 0 : defaults.custom.fillOpacity / 100
        if (fill > 0) drawn += `<polygon points="${line.concat(base).join(' ')}" fill="${colour}" opacity="${fill}"/>`
        drawn += piece.length === 1
          ? `<circle cx="${x(piece[0] ?? 0)}" cy="${y(top(piece[0] ?? 0))}" r="1.5" fill="${colour}"/>`
          : `<polyline points="${line.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.3" ${isDashed ? 'stroke-dasharray="6 4"' : ''}/>`
      }
      if (isStacked) for (const at of moments) below.set(at, top(at))
    }
  }
  return `<svg width="${width}" height="${height - legendHeight}">${drawn}</svg>${legend(series, width)}`
}

/**
 * @param {any} thresholds
 * @param {number} value
 */
function thresholdColour (thresholds, value) {
  const reached = thresholds.steps.filter((/** @type {any} */ step) => step.value === null || value >= step.value).at(-1)
  return COLOURS[reached.color] ?? '#5794f2'
}

/**
 * @param {Panel} panel
 * @param {Told} figures
 * @param {number} width
 * @param {number} height
 */
function stat (panel, figures, width, height) {
  const { defaults } = panel.fieldConfig
  const [series] = seriesOf(panel, figures)
  const values = [...series?.values.entries() ?? []]
  const last = values.at(-1)?.[1] ?? NaN
  const colour = thresholdColour(defaults.thresholds, last)
  const most = Math.max(...values.map(([, value]) => value)) || 1
  const points = values.map(([at, value]) => `${((at - figures.start) / (figures.end - figures.start) * width).toFixed(1)},${(height - value / most * height * 0.45).toFixed(1)}`)
  const area = `<polygon points="0,${height} ${points.join(' ')} ${width},${height}" fill="${colour}" opacity=".2"/>`
  const line = panel.options.graphMode === 'area' ? `${area}<polyline points="${points.join(' ')}" fill="none" stroke="${colour}"/>` : ''
  return `<svg width="${width}" height="${height}">${line}<text x="${width / 2}" y="${height / 2 + 8}" text-anchor="middle" style="font-size:28px;font-weight:500;fill:${colour}">${told(last, defaults.unit, defaults.decimals)}</text></svg>`
}

/**
 * @param {Panel} panel
 * @param {Told} figures
 * @param {number} width
 * @param {number} height
 */
function bars (panel, figures, width, height) {
  const { unit, decimals } = panel.fieldConfig.defaults
  const all = seriesOf(panel, figures).map(({ name, values }) => ({ name, value: [...values.values()].at(-1) ?? 0 }))
    .sort((a, b) => b.value - a.value)
  const most = Math.max(...all.map(({ value }) => value))
  const each = Math.min(28, (height - 4) / all.length)
  const left = Math.min(width * 0.5, Math.max(...all.map(({ name }) => name.length)) * 5.9 + 14)
  const room = width - left - 74
  return `<svg width="${width}" height="${height}">${all.map(({ name, value }, index) => {
    const y = index * each
    return `<text x="${left - 8}" y="${y + each / 2 + 4}" text-anchor="end" style="font-size:11px;fill:#ccccdc">${escaped(name)}</text><rect x="${left}" y="${y + 2}" width="${room}" height="${each - 4}" fill="#22252b"/>` +
      `<rect x="${left}" y="${y + 2}" width="${Math.max(2, value / most * room)}" height="${each - 4}" fill="#8f62b3"/><text x="${width - 8}" y="${y + each / 2 + 4}" text-anchor="end" style="font-size:11px;fill:#b877d9">${told(value, unit, decimals)}</text>`
  }).join('')}</svg>`
}

/**
 * @param {Panel} panel
 * @param {Told} figures
 * @param {number} width
 * @param {number} height
 */
function heatmap (panel, figures, width, height) {
  const buckets = seriesOf(panel, figures).sort((a, b) => Number(a.name.replace('+Inf', 'Infinity')) - Number(b.name.replace('+Inf', 'Infinity')))
  /** Buckets hold what is below them as well. */
  const above = (/** @type {number} */ index, /** @type {number} */ at) =>
    Math.max(0, (buckets[index]?.values.get(at) ?? 0) - (buckets[index - 1]?.values.get(at) ?? 0))
  const used = buckets.findLastIndex(({ values }, index) => [...values.keys()].some(at => above(index, at) > 0.01)) + 2
  const shown = buckets.slice(0, Math.max(used, 3))
  const [left, bottom] = [34, height - 18]
  const { start, end, step } = figures
  const every = step * 3
  const rowHeight = (bottom - 4) / shown.length
  const counts = shown.map(({ values }, index) => [...values].filter(([at]) => (at - start) % every === 0)
    .map(([at]) => /** @type {const} */ ([at, above(index, at)])))
  const most = Math.max(...counts.flat().map(([, count]) => count))
  const cellWidth = every / (end - start) * (width - left - 8)
  return `<svg width="${width}" height="${height}">${counts.map((cells, index) => {
    const y = bottom - (index + 1) * rowHeight
    return `<text x="${left - 5}" y="${y + rowHeight / 2 + 3}" text-anchor="end">${escaped(shown[index]?.name)}</text>` + cells.filter(([, count]) => count > 0.01).map(([at, count]) =>
      `<rect x="${(left + (at - start) / (end - start) * (width - left - 8)).toFixed(1)}" y="${(y + 0.5).toFixed(1)}" width="${(cellWidth - 1).toFixed(1)}" height="${(rowHeight - 1).toFixed(1)}" fill="hsl(28 95% ${(22 + 55 * Math.sqrt(count / most)).toFixed(0)}%)"/>`).join('')
  }).join('')}${times(figures, left, width - 8, bottom)}</svg>`
}

/**
 * @param {Panel} panel
 * @param {Told} figures
 * @param {number} width
 * @param {number} height
 */
function states (panel, figures, width, height) {
  const { defaults } = panel.fieldConfig
  const series = seriesOf(panel, figures)
  const [left, bottom] = [Math.max(...series.map(({ name }) => name.length)) * 6 + 14, height - 40]
  const { start, end, step } = figures
  const rowHeight = bottom / series.length
  /** @type {Record<string, { text: string, color: string }>} */
  const mapping = defaults.mappings[0].options
  const x = (/** @type {number} */ at) => left + (Math.min(at, end) - start) / (end - start) * (width - left - 8)
  const drawn = series.map(({ name, values }, row) => {
    /** @type {Array<{ value: number, from: number, to: number }>} */
    const runs = []
    for (const [at, value] of values) {
      const last = runs.at(-1)
      if (last !== undefined && last.value === value && last.to >= at) last.to = at + step
      else runs.push({ value, from: at, to: at + step })
    }
    return `<text x="${left - 6}" y="${(row + 0.5) * rowHeight + 4}" text-anchor="end" style="font-size:11px;fill:#ccccdc">${escaped(name)}</text>` + runs.map(({ value, from, to }) => {
      const { text = '', color = 'gray' } = mapping[value] ?? {}
      const wide = x(to) - x(from)
      return `<rect x="${x(from)}" y="${(row + 0.1) * rowHeight}" width="${wide}" height="${rowHeight * 0.8}" fill="${COLOURS[color]}" opacity=".8"/>` +
        (wide > text.length * 7 ? `<text x="${x(from) + 5}" y="${(row + 0.5) * rowHeight + 4}" style="fill:#111217;font-size:11px">${text}</text>` : '')
    }).join('')
  }).join('')
  const names = new Map(Object.values(mapping).map(({ text, color }) => [text, color]))
  return `<svg width="${width}" height="${height - 18}">${times(figures, left, width - 8, bottom)}${drawn}</svg>` +
    `<div class="legend">${[...names].map(([text, color]) => `<span><i style="background:${COLOURS[color]}"></i>${text}</span>`).join('')}</div>`
}

/** @type {Record<string, (panel: Panel, figures: Told, width: number, height: number) => string>} */
const DRAW = { timeseries: timeSeries, stat, bargauge: bars, heatmap, 'state-timeline': states }

/**
 * @param {{ title: string, panels: Panel[], templating: { list: any[] } }} dashboard
 * @param {Told} figures
 * @param {number} width
 */
export function page (dashboard, figures, width) {
  const column = (width - GAP) / 24
  const HEAD = 46
  const panels = dashboard.panels.map(panel => {
    const { x, y, w, h } = panel.gridPos
    const [wide, high] = [w * column - GAP, h * ROW - GAP]
    const place = `left:${GAP + x * column}px;top:${HEAD + y * ROW}px;width:${wide}px;height:${high}px`
    if (panel.type === 'row') return `<h2 style="${place}">⌄ ${escaped(panel.title)}</h2>`
    const isEmpty = seriesOf(panel, figures).length === 0
    const inner = isEmpty ? `<p>${escaped(panel.fieldConfig.defaults.noValue)}</p>` : DRAW[panel.type]?.(panel, figures, wide - 2, high - 26) ?? ''
    return `<section style="${place}"><h3>${escaped(panel.title)}</h3>${inner}</section>`
  })
  const bottom = Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => y + h)) * ROW + HEAD + GAP
  return `<!doctype html><meta charset="utf-8"><style>
body { margin: 0; background: #111217; color: #ccccdc; font: 12px Inter, "DejaVu Sans", Helvetica, Arial, sans-serif; position: relative; height: ${bottom}px }
h1 { font-size: 14px; font-weight: 500; position: absolute; left: ${GAP + 4}px; top: 4px }
nav { position: absolute; right: ${GAP}px; top: 11px; color: #9a9aa8 } nav b { font-weight: 400; color: #ccccdc; background: #181b1f; border: 1px solid #34373f; padding: 3px 8px; margin: 0 8px 0 4px; border-radius: 2px }
h2 { position: absolute; margin: 0; font-size: 13px; font-weight: 500; line-height: ${ROW}px }
section { position: absolute; box-sizing: border-box; background: #181b1f; border: 1px solid #25282e; border-radius: 2px; overflow: hidden }
h3 { margin: 0; padding: 5px 8px 0; font-size: 12px; font-weight: 500; height: 19px; white-space: nowrap }
section p { text-align: center; color: #8e8e9c; margin: 0; position: absolute; top: 50%; width: 100% }
svg { display: block } text { font-size: 9.5px; fill: #9a9aa8 } .grid { stroke: #26292f }
.legend { padding: 0 8px; box-sizing: border-box; line-height: 14px; font-size: 10px; max-height: 28px; overflow: hidden } .legend span { margin-right: 10px; display: inline-block } .legend i { display: inline-block; width: 12px; height: 4px; border-radius: 2px; margin-right: 4px; vertical-align: middle }
</style><h1>${escaped(dashboard.title)}</h1><nav>${dashboard.templating.list.slice(2).map(({ label }) => `${label}<b>All</b>`).join('')}</nav>${panels.join('')}`
}
