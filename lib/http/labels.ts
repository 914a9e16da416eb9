/**
 * Labels, by which cached results are purged. A label matches as a whole only: to purge by something wider, responses need a label for it when
 * they are stored.
 *
 * Invariant: pure. Labels of different kinds are never equal, nor is one to a key, which begins with a bracket.
 */
import { fencedPath } from './path.js'

export function routeLabel (pattern: string): string {
  return `route:${pattern}`
}

export function tagLabel (tag: string): string {
  return `tag:${tag}`
}

/** All paths that a router may take for the same one have one label. */
export function pathLabel (path: string): string {
  return `path:${fencedPath(path)}`
}

export function isPathLabel (label: string): boolean {
  return label.startsWith('path:')
}

/** Whether it is the key of one cached result: of a request, or of a call. */
export function isKey (label: string): boolean {
  return label.startsWith('[') || label.startsWith('"')
}

/** @param own the labels of its route and its paths */
export function labelsOf (own: readonly string[], tags: readonly string[]): readonly string[] {
  return [...own, ...tags.map(tagLabel)]
}

/** The labels of a kind, without the kind. */
export function partOf (labels: readonly string[], kind: 'route' | 'path' | 'tag'): readonly string[] {
  return labels.filter(label => label.startsWith(`${kind}:`)).map(label => label.slice(kind.length + 1))
}
