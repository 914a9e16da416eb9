/**
 * Figures and names in words.
 *
 * Invariant: whatever a name is, its words are printable ASCII without quotes, and short.
 */
import type { PairFigures } from '../../types/index.js'
import { shown } from '../observers/advice.js'

/** The most names in one text. */
const MOST = 8

/** A part of 1 in percent: `51 %`, `0.75 %`. */
export function percent (part: number): string {
  const value = part * 100
  return `${value === 0 || value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(2)} %`
}

/** `2,000`. */
export function count (value: number): string {
  return value.toLocaleString('en')
}

/** As options take it: `5s`. */
export function time (milliseconds: number): string {
  for (const [unit, length] of [['h', 3_600_000], ['m', 60_000], ['s', 1000]] as const) {
    if (milliseconds >= length && milliseconds % length === 0) return `${milliseconds / length}${unit}`
  }
  return `${milliseconds}ms`
}

/** Names as a sentence lists them. */
export function listed (names: readonly string[], by = ', '): string {
  const some = names.slice(0, MOST).map(shown)
  return names.length > MOST ? `${some.join(by)} and ${names.length - MOST} more` : some.join(by)
}

/** What the key leaves out, as a sentence names it: `cookie ab`, `?utm_source`. */
export function inputName (name: string): string {
  const space = name.indexOf(' ')
  return space < 0 ? shown(name) : `${shown(name.slice(0, space))} ${shown(name.slice(space + 1))}`
}

/** Whether a name can stand in an option as it is shown. */
export function isPlain (name: string): boolean {
  return name !== '' && shown(name) === name
}

export function total ({ differs, echo, equal, noise }: PairFigures): number {
  return differs + echo + equal + noise
}
