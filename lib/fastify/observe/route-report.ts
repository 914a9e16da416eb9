/**
 * What is reported of a route that is observed or verified.
 */
import type { CoalesceFigures, RouteReport } from '../../../types/index.js'
import type { ObservedRoute } from './observed-route.js'

/** @param figures what became of its requests, which is what was shared where it is verified */
export function routeReportOf (observed: ObservedRoute, figures: CoalesceFigures): RouteReport {
  const { comparison, mode, tally: { method, route } } = observed
  return { method, route, mode, shareable: mode === 'verify' ? shared(figures) : wouldShare(observed.outcomes), ...comparison.findings() }
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
