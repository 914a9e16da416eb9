/**
 * What is reported of a route that is observed or verified.
 */
import type { CoalesceFigures, RouteReport, WouldFigures } from '../../../types/index.js'
import type { ObservedRoute } from './observed-route.js'

/** The most of what would have become of requests. */
const MOST = 12

/** @param figures what became of its requests, which is what was shared where it is verified */
export function routeReportOf (observed: ObservedRoute, figures: CoalesceFigures): RouteReport {
  const { comparison, mode, tally: { method, route } } = observed
  const { outcomes } = observed
  return { method, route, mode, would: wouldOf(outcomes), shareable: mode === 'verify' ? shared(figures) : wouldShare(outcomes), ...comparison.findings() }
}

function wouldOf (outcomes: ReadonlyMap<string, number>): WouldFigures[] {
  return [...outcomes].filter(([, count]) => count > 0).sort(([, one], [, other]) => other - one).slice(0, MOST).map(([name, count]) => {
    const [outcome, reason] = name.split(' ') as [WouldFigures['outcome'], string]
    return { outcome, reason, count }
  })
}

function shared ({ cacheHits, deduplicatedRequests, totalRequests }: CoalesceFigures): number {
  return totalRequests === 0 ? 0 : (cacheHits + deduplicatedRequests) / totalRequests
}

function wouldShare (outcomes: ReadonlyMap<string, number>): number {
  let all = 0
  let shared = 0
  for (const [outcome, count] of outcomes) {
    all += count
    if (outcome === 'follower shared' || outcome.startsWith('hit ')) shared += count
  }
  return all === 0 ? 0 : shared / all
}
