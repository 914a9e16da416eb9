/**
 * Figures as people read them.
 *
 * Invariant: pure. What is not a number yet is a dash.
 */

/** `1,234`; from a million on `1.2 M`. */
export function count (value = NaN): string {
  return isNaN(value) ? '–' : value >= 1e6 ? `${(value / 1e6).toFixed(1)} M` : Math.round(value).toLocaleString('en-US')
}

/** So many a second. */
export function rate (value = NaN): string {
  return value > 0 && value < 9.95 ? value < 0.05 ? '< 0.1' : value.toFixed(1) : count(value)
}

/** A part of one. Neither 0 nor 100 unless it is. */
export function percent (part = NaN): string {
  const value = part * 100
  if (value > 0 && value < 0.1) return '< 0.1 %'
  if (value > 99.9 && value < 100) return '> 99.9 %'
  return isNaN(value) ? '–' : `${value < 10 || value > 99 ? Number(value.toFixed(1)) : Math.round(value)} %`
}

/** Of milliseconds. */
export function duration (ms = NaN): string {
  if (isNaN(ms)) return '–'
  if (ms < 999.5) return ms > 0 && ms < 1 ? '< 1 ms' : `${Math.round(ms)} ms`
  const seconds = ms / 1000
  if (seconds < 119.5) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** Whole seconds, for what counts up or down before one's eyes. */
export function seconds (ms: number): string {
  return ms < 119_500 ? `${Math.ceil(ms / 1000)} s` : duration(ms)
}

export function bytes (value = NaN): string {
  const unit = value < 1024 ? 0 : value < 1024 ** 2 ? 1 : value < 1024 ** 3 ? 2 : 3
  const scaled = value / 1024 ** unit
  return unit > 0 && scaled < 10 ? `${scaled.toFixed(1)} ${UNITS[unit]}` : `${count(scaled)} ${UNITS[unit]}`
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB']

export function plural (value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

/** A name inside of a sentence: short, and apart from its direction of writing. */
export function named (name: string, most = 70): string {
  return `\u2068${name.length > most ? `${name.slice(0, most).replace(/[\ud800-\udbff]$/, '')}…` : name}\u2069`
}

/** Options as one would write them. */
export function source (options: object): string {
  return JSON.stringify(options).replace(/"((?:\\.|[^"\\])*)"(:?)|[,{}]/g, (token, text: string, colon) => {
    if (colon) return `${/^[a-z]\w*$/i.test(text) ? text : `"${text}"`}: `
    return token === '{' ? '{ ' : token === '}' ? ' }' : token === ',' ? ', ' : token
  })
}
