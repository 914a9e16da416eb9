/**
 * Options of observe mode in, of a route and as the default of a registration; complete settings out.
 *
 * Invariant: as for all options: a wrong one throws with its name, and nothing is repaired. What all routes of a registration have together
 * is given there only.
 */
import type { ComparedResponse } from '../../types/index.js'
import { below, callable, duration, fail, integer, isName, isObject, listOf, oneOf, optional, part, read, type Parser, type Parsers } from './parsers.js'

export interface ObserveSettings {
  readonly rate: number
  /** 0: nothing of the route is shared. */
  readonly verify: number
  /** In milliseconds. */
  readonly window: number
  readonly ignore: readonly string[]
  readonly clean: ((response: ComparedResponse) => unknown) | undefined
  readonly onMismatch: 'report' | 'disable'
  /** Of the registration. */
  readonly budget: number
  /** Of the registration. */
  readonly maxBytes: number
}

export const OBSERVE: ObserveSettings = Object.freeze({
  rate: 1,
  verify: 0,
  window: 5_000,
  ignore: Object.freeze([]),
  clean: undefined,
  onMismatch: 'report',
  budget: 0.01,
  maxBytes: 8_388_608
})

const isPath = (value: unknown): value is string => isName(value) && (value.startsWith('$') || value.startsWith('<'))

const readers: Parsers<ObserveSettings> = {
  rate: part(0, 1),
  verify: part(0, 1),
  window: duration,
  ignore: listOf("an array of paths, such as '$.took' and '$.items[].seen'", isPath),
  clean: optional(callable<NonNullable<ObserveSettings['clean']>>),
  onMismatch: oneOf('report', 'disable'),
  budget: part(0, 1),
  maxBytes: integer(0)
}

/** Those that all routes have together. */
const OF_ALL = ['budget', 'maxBytes'] as const

/** For a registration. What it sets is the default of its routes. */
export const observeOfRoutes: Parser<ObserveSettings | undefined> = (value, name, inherited) => {
  if (value === false) return undefined
  const before = inherited as ObserveSettings | undefined ?? OBSERVE
  if (value === true) return before
  if (!isObject(value)) return fail(name, 'true, false or an object', value)
  const settings = read<ObserveSettings>(readers, value, before, name)
  if (settings.verify > 0 && value.rate !== undefined) {
    fail(below(name, 'rate'), 'left out with verify, which says itself how many are compared', value.rate)
  }
  if (settings.verify === 0 && value.onMismatch === 'disable') {
    fail(below(name, 'onMismatch'), 'given with verify, because without it nothing is shared that could be switched off', value.onMismatch)
  }
  return settings
}

/** For a route. */
export const observe: Parser<ObserveSettings | undefined> = (value, name, inherited) => {
  const given = isObject(value) ? OF_ALL.find(each => value[each] !== undefined) : undefined
  if (given !== undefined) {
    fail(below(name, given), 'given at registration, because its routes have it together', (value as Record<string, unknown>)[given])
  }
  return observeOfRoutes(value, name, inherited)
}
