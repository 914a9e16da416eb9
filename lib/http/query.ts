/**
 * The query string as part of a key.
 *
 * Invariant: two queries have one normalized form only if they are the same `name=value` pairs, names in any order, the
 * values of a repeated name in the same order. Nothing is decoded, dropped or lower-cased, so that what a handler could
 * tell apart stays apart.
 */

/** Tells whether a pair's raw name is part of the key. */
export type Covers = (name: string) => boolean

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

/**
 * The pairs of a raw query, sorted stably by raw name; as it is where a name is encoded, because two names that differ raw
 * may be one when decoded, and then their order counts.
 */
export function normalizeQuery (query: string): string {
  if (!query.includes('&')) return query
  const pairs = query.split('&').map(pair => ({ name: nameOf(pair), pair }))
  if (pairs.some(({ name }) => name.includes('%') || name.includes('+'))) return query
  // Array.prototype.sort is stable, and < compares code units, whatever the locale.
  pairs.sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  return pairs.map(({ pair }) => pair).join('&')
}

/** The pairs of a raw query whose names are covered, in their own order. */
export function narrowQuery (query: string, covers: Covers): string {
  return query.split('&').filter(pair => pair !== '' && covers(nameOf(pair))).join('&')
}

/** Compiles `['q', 'page']`. */
export function coversOnly (names: readonly string[]): Covers {
  const set = new Set(names)
  return name => set.has(name)
}

/** Compiles `['utm_*', 'gclid']`; a star at the end of a name stands for any rest. */
export function coversAllBut (patterns: readonly string[]): Covers {
  const names = new Set(patterns.filter(pattern => !pattern.endsWith('*')))
  const prefixes = patterns.filter(pattern => pattern.endsWith('*')).map(pattern => pattern.slice(0, -1))
  return name => !names.has(name) && !prefixes.some(prefix => name.startsWith(prefix))
}
