/**
 * A route of which nothing is shared although requests overlap: what the warning says, and an option where one follows from it.
 */
import type { CoalesceRouteOptions, ReasonFigures } from '../../types/index.js'
import { adviceText, READS_ALL_HEADERS, sortCookies, whyText } from '../observers/advice.js'
import type { Unshared } from '../observers/tally.js'
import { ENOUGH, isUnshared, READS_ALL, type Draft, type RouteFacts } from './facts.js'
import { withCookies, withNames } from './key-patch.js'
import { headersOf } from './too-broad.js'
import { count, percent } from './words.js'

/** The part of the requests that is worth a word of its own. */
const MOST = 0.5

export function nothingShared (facts: RouteFacts): Draft[] {
  return [...silence(facts), ...barred(facts), ...readsAll(facts)]
}

/** Requests came while an identical one was being answered. */
function silence (facts: RouteFacts): Draft[] {
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

/** Requests of a route that is observed would not be shared. */
function barred (facts: RouteFacts): Draft[] {
  const { barred: cause, figures: { totalRequests } } = facts
  if (cause === undefined || !areMost(cause.count, totalRequests)) return []
  const { advice, count: times } = cause
  const names = [...cause.names]
  const patch = patchOf(facts, advice, names)
  return [{
    id: advice.replace('nothing-shared-', 'nothing-shared/'),
    kind: 'nothing-shared',
    text: `Most requests of this route, which is observed, would not be shared, because ${whyText(advice, names)}.`,
    evidence: partOf(times, totalRequests),
    confidence: 'high',
    ...patch !== undefined && { patch }
  }]
}

/** Nobody can tell what the responses depend on, and no option that is safe for sure changes that. */
function readsAll ({ figures: { reasons, totalRequests }, observed }: RouteFacts): Draft[] {
  const seen: ReadonlyArray<Pick<ReasonFigures, 'cause' | 'count' | 'reason'>> = [...reasons, ...observed?.would ?? []]
  const times = seen.reduce((sum, { cause, count, reason }) => reason === READS_ALL || cause === READS_ALL ? sum + count : sum, 0)
  if (!areMost(times, totalRequests)) return []
  return [{
    id: `nothing-shared/${READS_ALL}`,
    kind: 'nothing-shared',
    text: `${READS_ALL_HEADERS.replace(/^t/, 'T')}, at the price that it must be complete. ` +
      'Read, or log, headers by name; or log all of them in an onResponse hook, which does not count.',
    evidence: partOf(times, totalRequests),
    confidence: 'high'
  }]
}

function areMost (times: number, all: number): boolean {
  return all >= ENOUGH && times >= all * MOST
}

function partOf (times: number, all: number): string {
  return `${count(times)} of ${count(all)} requests (${percent(times / all)})`
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
