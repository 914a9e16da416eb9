/**
 * Options that put more into a route's key, or take something out of it.
 *
 * Invariant: what the route says already stays said. Nothing is made of names that an option would not take as they are.
 */
import type { CoalesceRouteOptions, CookiesOption, QueryOption } from '../../types/index.js'
import { namedBy } from '../http/name-patterns.js'
import { isHeaderName } from '../options/parsers.js'
import type { RouteSettings } from '../options/route-options.js'
import { isPlain } from './words.js'

type Settings = Pick<RouteSettings, 'cookies' | 'headers' | 'key' | 'query'>

/** Names of one kind each. */
export interface KeyNames {
  readonly cookies?: readonly string[]
  readonly headers?: readonly string[]
  readonly query?: readonly string[]
}

const union = (some: readonly string[], others: readonly string[]): string[] => [...new Set([...some, ...others])]
const without = (names: readonly string[], others: readonly string[]): string[] => names.filter(name => !others.includes(name))

/** Whether all of them are names, and none stands for others. */
const areNames = (names: readonly string[]): boolean => names.every(name => isPlain(name) && !name.endsWith('*'))

function cookiesOption (key: readonly string[], ignore: readonly string[]): CookiesOption {
  return ignore.length === 0 ? key : key.length === 0 ? { ignore } : { ignore, key }
}

/** Has these in the key as well. Undefined: no option does, or they are there. */
export function withNames ({ cookies, headers, key, query }: Settings, more: KeyNames): CoalesceRouteOptions | undefined {
  const { cookies: ofCookies = [], headers: ofHeaders = [], query: ofQuery = [] } = more
  if (!areNames([...ofCookies, ...ofQuery]) || !ofHeaders.every(isHeaderName)) return undefined
  const newQuery = ofQuery.length === 0 || key !== undefined ? undefined : withParameters(query, ofQuery)
  const patch: CoalesceRouteOptions = {
    ...ofCookies.length > 0 && { cookies: cookiesOption(union(cookies.key, ofCookies), cookies.ignored) },
    ...ofHeaders.length > 0 && { headers: union(headers, ofHeaders.map(name => name.toLowerCase())) },
    ...newQuery !== undefined && { query: newQuery }
  }
  return Object.keys(patch).length === 0 ? undefined : patch
}

function withParameters (query: Settings['query'], names: readonly string[]): QueryOption | undefined {
  if (typeof query === 'string') return undefined
  if (query.only !== undefined) return union(query.only, names)
  const ignore = (query.ignore as readonly string[]).filter(pattern => !names.some(namedBy([pattern])))
  return ignore.length === 0 ? true : { ignore }
}

/** Leaves these parameters out of the key. Undefined: no option does. */
export function withoutParameters ({ key, query }: Settings, names: readonly string[]): CoalesceRouteOptions | undefined {
  if (key !== undefined || query === 'raw' || !areNames(names)) return undefined
  const ignore = [...new Set(names.map(name => name.startsWith('utm_') ? 'utm_*' : name))]
  if (query === 'sorted') return { query: { ignore } }
  return { query: query.only === undefined ? { ignore: union(query.ignore as readonly string[], ignore) } : without(query.only, names) }
}

/** Leaves these headers out of the key. */
export function withoutHeaders ({ headers }: Settings, names: readonly string[]): CoalesceRouteOptions {
  return { headers: without(headers, names) }
}

/** Leaves these cookies out of the key, and takes them out of the requests. */
export function withoutCookies ({ cookies }: Settings, names: readonly string[]): CoalesceRouteOptions | undefined {
  return areNames(names) ? { cookies: cookiesOption(without(cookies.key, names), union(cookies.ignored, names)) } : undefined
}

/** Has the one in the key, and takes the other out of the requests. */
export function withCookies ({ cookies }: Settings, key: readonly string[], ignore: readonly string[]): CoalesceRouteOptions | undefined {
  return areNames([...key, ...ignore]) ? { cookies: cookiesOption(union(cookies.key, key), union(cookies.ignored, ignore)) } : undefined
}
