/**
 * The query string as part of a key.
 *
 * Invariant: two queries have one normalized form only if they are the same `name=value` pairs, names in any order, the
 * values of a repeated name in the same order. Nothing is decoded, dropped or lower-cased, so that what a handler could
 * tell apart stays apart. Only which pairs are part of the key is told by their names as the app's parser gives them.
 */
import { namedBy } from './name-patterns.js'

/** Tells whether a pair is part of the key, by the names that it has. */
export type Covers = (names: readonly string[]) => boolean

/** What makes an object of a query. */
export interface Parser {
  readonly parse: (query: string) => unknown
  /** It is the app's own: nobody knows what it does. */
  readonly isOwn: boolean
}

/** Where the path ends, as the router sees it. */
export function queryStart (url: string, semicolonDelimits: boolean): number {
  for (let index = 0; index < url.length; index++) {
    const code = url.charCodeAt(index)
    if (code === 63 /* ? */ || code === 35 /* # */ || (semicolonDelimits && code === 59 /* ; */)) return index
  }
  return url.length
}

function nameOf (pair: string): string {
  const end = pair.indexOf('=')
  return end === -1 ? pair : pair.slice(0, end)
}

function isEncoded (name: string): boolean {
  return name.includes('%') || name.includes('+')
}

/**
 * The pairs of a raw query, sorted stably by raw name; as it is where a name is encoded, because two names that differ raw
 * may be one when decoded, and then their order counts.
 */
export function normalizeQuery (query: string): string {
  if (!query.includes('&')) return query
  const pairs = query.split('&').map(pair => ({ name: nameOf(pair), pair }))
  if (pairs.some(({ name }) => isEncoded(name))) return query
  // Array.prototype.sort is stable, and < compares code units, whatever the locale.
  pairs.sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  return pairs.map(({ pair }) => pair).join('&')
}

function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Deeper than that nobody names what a parser has nested. */
const MAX_DEPTH = 8

/** The names of what a parser made of one pair, nested ones with brackets: `filter` and `filter[name]`, `ids` and `ids[]`. */
function nestedNames (parsed: unknown): string[] {
  const names = keysOf(parsed)
  const [first] = names
  if (first === undefined) return names
  let name = first
  let node = (parsed as Record<string, unknown>)[first]
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const [key] = keysOf(node)
    if (key === undefined) break
    if (Array.isArray(node)) names.push(`${name}[${key}]`)
    name += Array.isArray(node) ? '[]' : `[${key}]`
    names.push(name)
    node = (node as Record<string, unknown>)[key]
  }
  return names
}

function keysOf (value: unknown): string[] {
  return typeof value === 'object' && value !== null ? Object.keys(value) : []
}

/** The names of a pair: as the app's parser gives them, and of a parser of the app's own also as it was sent, decoded. */
export function namesOf (pair: string, { parse, isOwn }: Parser): readonly string[] {
  const raw = nameOf(pair)
  if (!isOwn) return isEncoded(raw) ? Object.keys(parse(raw) as object) : [raw]
  const sent = decode(raw.replaceAll('+', ' '))
  try {
    return [sent, ...nestedNames(parse(pair))]
  } catch {
    return [sent]
  }
}

/** The pairs of a raw query that are covered, in their own order. */
export function narrowQuery (query: string, covers: Covers, parser: Parser): string {
  return query.split('&').filter(pair => pair !== '' && covers(namesOf(pair, parser))).join('&')
}

/** Names as they are written, and decoded where they are written as they are sent. */
function spellings (names: readonly string[]): string[] {
  return names.flatMap(name => name.includes('%') ? [name, decode(name)] : [name])
}

/** Compiles `['q', 'page']`. */
export function coversOnly (names: readonly string[]): Covers {
  const set = new Set(spellings(names))
  return own => own.some(name => set.has(name))
}

/** Compiles `['utm_*', 'gclid']`. */
export function coversAllBut (patterns: readonly string[]): Covers {
  const isNamed = namedBy(spellings(patterns))
  return own => !own.some(isNamed)
}

/** The name, among header names, under which all of a query stands that is not covered; no header can be called so. */
export const REST = '?'

/** The name under which one parameter stands among header names. */
export function parameter (name: string): string {
  return REST + name
}

/** Whether what stands among header names is of the query. */
export function isOfQuery (name: string): boolean {
  return name.startsWith(REST)
}

/** Whether a list such as `['?sig', '?utm_*']` names what stands among header names for something of the query; `?` alone is all of it. */
export function ignoresQuery (list: readonly string[], name: string): boolean {
  return list.some(each => isOfQuery(each) &&
    (each === REST || each === name || (each.endsWith('*') && name.startsWith(each.slice(0, -1)))))
}
