/**
 * Parsers of single options, for all kinds of options.
 *
 * Invariant: a parser returns the setting, or throws `FST_COALESCE_INVALID_OPTION` with the option's name, what it wants and what
 * it got. Nothing is repaired.
 */
import ms, { type StringValue } from 'ms'
import type { Clock } from '../../types/index.js'
import { InvalidOptionError } from '../errors.js'
import { nearest } from './near.js'

/** Parses one option. `name` is its name in messages; `inherited` is what it would be if it were not given. */
export type Parser<T> = (value: unknown, name: string, inherited?: unknown) => T
export type Parsers<T> = { readonly [Name in keyof T]: Parser<T[Name]> }

const MAX_TIMEOUT = 2 ** 31 - 1
/** RFC 9111 section 1.2.2. */
const MAX_SECONDS = 2 ** 31
/** A token of RFC 9110 without `*`, which no real name has: it would be meant as a wildcard, as in a query's `ignore`. */
const HEADER_NAME = /^[!#$%&'+\-.^_`|~0-9A-Za-z]+$/

export function fail (name: string, wanted: string, got: unknown): never {
  throw new InvalidOptionError(name, wanted, describe(got))
}

/** The name of an option inside another one: where there is a route it comes last, as in `config.coalesce.headers of GET /x`. */
export function below (path: string, name: string): string {
  const place = path.indexOf(' of ')
  return place < 0 ? `${path}.${name}` : `${path.slice(0, place)}.${name}${path.slice(place)}`
}

function failUnknown (path: string, name: string, known: readonly string[]): never {
  const meant = nearest(name, known)
  if (meant === undefined) fail(path, `made of ${known.join(', ')}`, name)
  const error = new InvalidOptionError(below(path, name), `${meant}`, name)
  error.message = `${below(path, name)} is unknown; did you mean ${meant}?`
  Error.captureStackTrace(error, failUnknown)
  throw error
}

/** Has the stack of a wrong option begin where the app called `entry`, which runs this. */
export function forCaller<T> (entry: (...args: never[]) => unknown, action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (error instanceof InvalidOptionError) Error.captureStackTrace(error, entry)
    throw error
  }
}

function describe (value: unknown): string {
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value !== 'object' || value === null) return String(value)
  try {
    return JSON.stringify(value)
  } catch {
    return Object.prototype.toString.call(value)
  }
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const boolean: Parser<boolean> = (value, name) =>
  typeof value === 'boolean' ? value : fail(name, 'true or false', value)

export const integer = (least: number, most = Infinity): Parser<number> => (value, name) =>
  Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
    ? value as number
    : fail(name, `a whole number from ${least}${most === Infinity ? '' : ` to ${most}`}`, value)

export const oneOf = <T extends string>(...values: T[]): Parser<T> => (value, name) =>
  values.includes(value as T) ? value as T : fail(name, values.map(each => `'${each}'`).join(' or '), value)

export const callable = <F>(value: unknown, name: string): F =>
  typeof value === 'function' ? value as F : fail(name, 'a function', value)

export const optional = <T>(parser: Parser<T>): Parser<T | undefined> => (value, name) =>
  value === undefined ? undefined : parser(value, name)

/** Milliseconds, as a number or in words. */
function millisecondsOf (value: unknown): unknown {
  // ms throws on the empty string and takes at most 100 characters.
  return typeof value === 'string' && /^[\d.]+ ?[a-z]+$/i.test(value) && value.length <= 100 ? ms(value as StringValue) : value
}

/** @param others other values of the option, for the message */
const timeSpan = (others: string): Parser<number> => (value, name) => {
  const wanted = `a duration from 1 ms to ${MAX_TIMEOUT} ms: milliseconds, or a string like '30s'${others}`
  const parsed = millisecondsOf(value)
  return typeof parsed === 'number' && parsed >= 1 && parsed <= MAX_TIMEOUT ? parsed : fail(name, wanted, value)
}

export const duration = timeSpan('')
export const durationOr = (others: string): Parser<number> => timeSpan(`; or ${others}`)

/** A duration for a header, in seconds. */
export const seconds: Parser<number> = (value, name) => {
  const parsed = millisecondsOf(value)
  return typeof parsed === 'number' && parsed % 1000 === 0 && parsed >= 1000 && parsed <= MAX_SECONDS * 1000
    ? parsed / 1000
    : fail(name, `a duration of whole seconds from 1 s to ${MAX_SECONDS} s: milliseconds, or a string like '5m'`, value)
}

/** A duration that may be 0. */
export const span: Parser<number> = (value, name) => value === 0 ? 0 : durationOr('0')(value, name)

export const part = (least: number, most: number, others = ''): Parser<number> => (value, name) =>
  typeof value === 'number' && value >= least && value <= most ? value : fail(name, `a number from ${least} to ${most}${others}`, value)

export const listOf = <T>(wanted: string, isMember: (member: unknown) => member is T): Parser<readonly T[]> => (value, name) =>
  Array.isArray(value) && value.every(isMember) ? Object.freeze([...value]) : fail(name, wanted, value)

export const isName = (value: unknown): value is string => typeof value === 'string' && value !== ''
export const isHeaderName = (value: unknown): value is string => typeof value === 'string' && HEADER_NAME.test(value)
export const names = listOf('an array of names', isName)
export const headers: Parser<readonly string[]> = (value, name) =>
  Object.freeze(listOf('an array of header names', isHeaderName)(value, name).map(each => each.toLowerCase()))

export const clock: Parser<Clock> = (value, name) =>
  isObject(value) && [value.now, value.setTimeout, value.clearTimeout, value.wall ?? value.now].every(method => typeof method === 'function')
    ? value as unknown as Clock
    : fail(name, 'an object with now, setTimeout and clearTimeout, and with wall as a function if it has that', value)

/** Parses each given option, and takes the others from `defaults`. An option without a default is required. */
export function read<T extends object> (readers: Parsers<T>, options: Record<string, unknown>, defaults: Partial<T>, path: string): T {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(readers, name)) failUnknown(path, name, Object.keys(readers))
  }
  const settings: Partial<T> = {}
  for (const name of Object.keys(readers) as Array<keyof T & string>) {
    const value = options[name]
    settings[name] = value === undefined && name in defaults ? defaults[name] : readers[name](value, below(path, name), defaults[name])
  }
  return Object.freeze(settings as T)
}
