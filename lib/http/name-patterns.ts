/**
 * Names as options list them: a star at the end of a name stands for any rest, a star alone for all names.
 *
 * Invariant: names are compared as they are, upper case and all.
 */

/** Compiles `['utm_*', 'gclid']`. */
export function namedBy (patterns: readonly string[]): (name: string) => boolean {
  const names = new Set(patterns.filter(pattern => !pattern.endsWith('*')))
  const prefixes = patterns.filter(pattern => pattern.endsWith('*')).map(pattern => pattern.slice(0, -1))
  return name => names.has(name) || prefixes.some(prefix => name.startsWith(prefix))
}
