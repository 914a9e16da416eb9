/**
 * The options that routes and functions have in common: how long to wait, and how long to serve what is cached.
 *
 * Invariant: a default or bound of them is written here only, and told in `types/` and docs/options.md, which a test compares.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Coordinator, Store } from '../../types/index.js'
import { below, duration, fail, isObject, oneOf, part, span, type Parser, type Parsers } from './parsers.js'

/** Durations are in milliseconds. */
export interface FunctionSettings {
  readonly waitTimeout: number
  readonly onWaitTimeout: 'run' | 'error'
  readonly flightTimeout: number
  readonly onError: 'share' | 'promote'
}

export const functionReaders: Parsers<FunctionSettings> = {
  waitTimeout: duration,
  onWaitTimeout: oneOf('run', 'error'),
  flightTimeout: duration,
  onError: oneOf('share', 'promote')
}

/** Durations are in milliseconds. */
export interface KeepingSettings {
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  readonly ttlJitter: number
  /** As a fraction of the time that a result is fresh; infinite for never. */
  readonly eagerRefresh: number
}

export const keepingReaders: Parsers<KeepingSettings> = {
  staleWhileRevalidate: span,
  staleIfError: span,
  ttlJitter: part(0, 1),
  eagerRefresh: (value, name) => value === false ? Infinity : part(0, 1, ', or false')(value, name)
}

export const store: Parser<Store> = (value, name) =>
  isObject(value) && !(value instanceof Map) && ['get', 'set', 'delete'].every(method => typeof value[method] === 'function')
    ? value as unknown as Store
    : fail(name, 'an object with get(key), set(entry, keepFor) and delete(key), so no Map', value)

/** A store can be opened as well, and is no coordinator. */
const coordinator: Parser<Coordinator> = (value, name) =>
  isObject(value) && typeof value.open === 'function' && typeof value.get !== 'function'
    ? value as unknown as Coordinator
    : fail(name, 'an object with open(member), and no store, or false', value)

export const coordinatorOrFalse: Parser<Coordinator | false> = (value, name) => value === false ? false : coordinator(value, name)

export const FUNCTION_DEFAULTS: FunctionSettings = Object.freeze({
  waitTimeout: 30_000,
  onWaitTimeout: 'run',
  flightTimeout: 60_000,
  onError: 'share'
})

export const KEEPING_DEFAULTS: KeepingSettings = Object.freeze({
  staleWhileRevalidate: 0,
  staleIfError: 0,
  ttlJitter: 0,
  eagerRefresh: Infinity
})

/**
 * Checks that a route or function sets nothing that has no effect.
 *
 * @param names options that have an effect only with others, which are not set
 * @param off their values that switch nothing on
 * @param wanted what would give them an effect
 */
export function checkEffect<T extends object> (
  names: ReadonlyArray<keyof T & string>, options: Readonly<Record<string, unknown>>, settings: T, off: Partial<T>,
  path: string, wanted: string
): void {
  const useless = names.find(name => options[name] !== undefined && !isDeepStrictEqual(settings[name], off[name]))
  if (useless !== undefined) fail(below(path, useless), wanted, options[useless])
}
