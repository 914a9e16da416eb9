/**
 * The query string as part of a key.
 *
 * Invariant: two queries have the same normalized form only if they have the same `name=value` pairs. Names may be in any order; the
 * values of a repeated name must be in the same order. Nothing is decoded, dropped or lower-cased, so queries that differ for a handler
 * stay different. Names as the app's parser gives them are used only to choose the pairs that are part of the key.
 */
import { namedBy } from './name-patterns.js'

/** Says whether a pair with these names is part of the key. */
export type Covers = (names: readonly string[]) => boolean

/** A parser of queries. */
export interface Parser {
  readonly parse: (query: string) => unknown
  /** Whether it is the app's own parser. Its rules are then unknown. */
  readonly isOwn: boolean
}

/** The index at which the path ends for the router. */
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
 * Sorts the pairs of a raw query stably by raw name. Returns the query unchanged if a name is encoded: two different raw names may be
 * equal when decoded, and then their order matters.
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

/** The greatest depth at which nested names are found. */
const MAX_DEPTH = 8

/** The names in the parsed form of one pair. Nested names have brackets: `filter` and `filter[name]`, `ids` and `ids[]`. */
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

/** The names of a pair, as the app's parser gives them. If the parser is the app's own, also the decoded name that was sent. */
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

/** The covered pairs of a raw query, in their original order. */
export function narrowQuery (query: string, covers: Covers, parser: Parser): string {
  return query.split('&').filter(pair => pair !== '' && covers(namesOf(pair, parser))).join('&')
}

/** The names as an option has them. An encoded name is in the list a second time, decoded. */
function spellings (names: readonly string[]): string[] {
  return names.flatMap(name => name.includes('%') ? [name, decode(name)] : [name])
}

/** Compiles a list of covered names, such as `['q', 'page']`. */
export function coversOnly (names: readonly string[]): Covers {
  const set = new Set(spellings(names))
  return own => own.some(name => set.has(name))
}

/** Compiles a list of names and patterns that are not covered, such as `['utm_*', 'gclid']`. */
export function coversAllBut (patterns: readonly string[]): Covers {
  const isNamed = namedBy(spellings(patterns))
  return own => !own.some(isNamed)
}

/** The name of a dependency on all of the query that is not covered. It stands among header names; no header can have this name. */
export const REST = '?'

/** The name of a dependency on one query parameter. */
export function parameter (name: string): string {
  return REST + name
}

/** Whether a dependency with this name is one on the query. */
export function isOfQuery (name: string): boolean {
  return name.startsWith(REST)
}

/** Whether a list such as `['?sig', '?utm_*']` matches a dependency on the query. `?` alone matches all of them. */
export function ignoresQuery (list: readonly string[], name: string): boolean {
  return list.some(each => isOfQuery(each) &&
    (each === REST || each === name || (each.endsWith('*') && name.startsWith(each.slice(0, -1)))))
}
