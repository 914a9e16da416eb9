/**
 * A route of which nothing is shared although requests overlap: what the warning says, and an option where one follows from it.
 */
import type { CoalesceRouteOptions } from '../../types/index.js'
import { adviceText, sortCookies } from '../observers/advice.js'
import type { Unshared } from '../observers/tally.js'
import { isUnshared, type Draft, type RouteFacts } from './facts.js'
import { withCookies, withNames } from './key-patch.js'
import { headersOf } from './too-broad.js'
import { count } from './words.js'

export function nothingShared (facts: RouteFacts): Draft[] {
  if (!isUnshared(facts)) return []
  const { name, names, overlapped } = facts.unshared as Unshared
  const patch = patchOf(facts, name, names)
  return [{
    id: name.replace('nothing-shared-', 'nothing-shared/'),
    kind: 'nothing-shared',
    text: `${adviceText(name, overlapped, names)}.`,
    evidence: `0 of ${count(facts.figures.totalRequests)} requests shared; of the first ${count(overlapped)} that overlapped, most for this reason`,
    confidence: 'high',
    ...patch !== undefined && { patch }
  }]
}

/** Of options that cannot give a client what is another one's. */
function patchOf ({ figures, settings }: RouteFacts, name: string, names: readonly string[]): CoalesceRouteOptions | undefined {
  // A name that was shortened is not the one that requests have.
  if (names.some(each => each.length >= 64)) return undefined
  switch (name) {
    case 'nothing-shared-credentials-cookie': {
      const { ignore, key } = sortCookies(names)
      return names.length === 0 ? undefined : withCookies(settings, key, ignore)
    }
    case 'nothing-shared-credentials-other':
      return withNames(settings, { headers: names })
    case 'nothing-shared-vary':
      return withNames(settings, { headers: headersOf(figures).slice(0, 4) })
    default:
      return undefined
  }
}
