/**
 * What to purge in (`fastify.coalesce.invalidate`); labels out.
 *
 * Invariant: as for all options: a wrong one throws with its name. Nothing to purge is wrong.
 */
import type { Purge } from '../../types/index.js'
import type { Router } from '../http/key.js'
import { pathLabel, routeLabel, tagLabel } from '../http/labels.js'
import { queryStart } from '../http/query.js'
import { boolean, fail, isName, isObject, names, optional, read } from './parsers.js'

/** Reads what to purge, of an app whose router is this one. */
export function readPurge (purge: Purge, router: Router): { readonly labels: readonly string[], readonly soft: boolean } {
  const path = 'invalidate'
  if (!isObject(purge)) return fail(path, 'an object', purge)
  const name = optional((value: unknown, own: string) => isName(value) ? value : fail(own, 'a non-empty string', value))
  type Chosen = Record<'key' | 'route' | 'url', string | undefined> & { tags: readonly string[], soft: boolean }
  const { tags, key, route, url, soft } = read<Chosen>(
    { tags: names, key: name, route: name, url: name, soft: boolean }, purge, { tags: Object.freeze([]), soft: false }, path)
  const labels = tags.map(tagLabel)
  if (key !== undefined) labels.push(key)
  if (route !== undefined) labels.push(routeLabel(route))
  if (url !== undefined) labels.push(pathLabel(url.slice(0, queryStart(url, router.semicolonDelimits))))
  return labels.length === 0 ? fail(path, 'made of tags, key, route or url', purge) : { labels, soft }
}
