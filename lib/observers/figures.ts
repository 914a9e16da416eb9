/**
 * What `stats()` tells of a tally.
 *
 * Invariant: durations are milliseconds. Percentiles are estimates, from the same buckets as the metrics.
 */
import type { ReasonFigures, RouteFigures } from '../../types/index.js'
import type { Distribution } from './distribution.js'
import type { Tally } from './tally.js'

/** All but what only routes have. */
export function figuresOf (tally: Tally): Omit<RouteFigures, 'variesOn' | 'parking'> {
  const { method, route, waits, runTimes, saved } = tally
  return {
    method,
    route,
    ...tally.figures(),
    reasons: reasonsOf(tally),
    ...waits.count === 0 ? {} : { waits: { count: waits.count, p50: part(waits, 0.5), p90: part(waits, 0.9), p99: part(waits, 0.99) } },
    ...runTimes.count === 0
      ? {}
      : { handlerTime: { count: runTimes.count, mean: milliseconds(runTimes.mean), p50: part(runTimes, 0.5), p99: part(runTimes, 0.99) } },
    handlerTimeSaved: saved
  }
}

function part (distribution: Distribution, part: number): number {
  return milliseconds(distribution.quantile(part))
}

/** To the microsecond. */
function milliseconds (seconds: number): number {
  return Math.round(seconds * 1e6) / 1e3
}

function reasonsOf (tally: Tally): ReasonFigures[] {
  return [...tally.counts()].filter(({ count }) => count > 0)
    .map(({ outcome, reason, cause, count }) => ({ outcome, reason, ...cause === undefined ? {} : { cause }, count }))
    .sort((one, other) => other.count - one.count)
}
