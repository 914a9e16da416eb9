/**
 * Limits that requests come up against: which option raises them, and what that costs.
 */
import type { CoalesceRouteOptions, RouteFigures } from '../../types/index.js'
import type { RouteSettings } from '../options/route-options.js'
import { ENOUGH, type Draft, type RouteFacts } from './facts.js'
import { count, percent, time } from './words.js'

/** The fewest requests, and the smallest part of all, that are worth a word. */
const FEWEST = 5
const LEAST = 0.01
/** A timer of Node cannot wait for longer. */
const LONGEST = 2 ** 31 - 1
/** Durations that people write. */
const ROUND = [1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000]

interface Limit {
  readonly id: string
  readonly reasons: readonly string[]
  readonly text: (facts: RouteFacts) => string
  readonly patch?: (settings: RouteSettings, figures: RouteFigures) => CoalesceRouteOptions
}

const LIMITS: readonly Limit[] = [
  {
    id: 'limits/wait-timeout',
    reasons: ['wait-timeout'],
    text: ({ figures, settings }) => `Followers wait for waitTimeout (${time(settings.waitTimeout)}) in vain${slowest(figures)}: a longer one lets more share, for the price of longer waits.`,
    patch: ({ waitTimeout }, figures) => ({ waitTimeout: longer(waitTimeout, figures) })
  },
  {
    id: 'limits/flight-timeout',
    reasons: ['flight-timeout'],
    text: ({ figures, settings }) => `Runs take longer than flightTimeout (${time(settings.flightTimeout)})${slowest(figures)}: a longer one lets them end, for the price that those who wait for a run that hangs wait longer.`,
    patch: ({ flightTimeout }, figures) => ({ flightTimeout: longer(flightTimeout, figures) })
  },
  {
    id: 'limits/too-large',
    reasons: ['too-large'],
    text: ({ settings }) => `Responses are larger than maxBodyBytes (${count(settings.maxBodyBytes)}), or all together than the registration's maxRecordedBytes: raise it, for the price of as much memory for each run in the air.`,
    patch: ({ maxBodyBytes }) => ({ maxBodyBytes: Math.min(Math.max(maxBodyBytes, 1024) * 4, Number.MAX_SAFE_INTEGER) })
  },
  {
    id: 'limits/max-waiters-per-key',
    reasons: ['max-waiters-per-key'],
    text: ({ settings }) => `Flights have as many followers as maxWaitersPerKey allows (${count(settings.maxWaitersPerKey)}), and the others run by themselves: raise it, for the price of some kilobytes for each who waits.`,
    patch: ({ maxWaitersPerKey }) => ({ maxWaitersPerKey: Math.min(Math.max(maxWaitersPerKey, 50) * 2, Number.MAX_SAFE_INTEGER) })
  },
  {
    id: 'limits/max-waiters',
    reasons: ['max-waiters'],
    text: () => 'As many requests wait as maxWaiters of the registration allows, and the others run by themselves: raise it there, for the price of some kilobytes for each who waits.'
  },
  {
    id: 'limits/max-flights',
    reasons: ['max-flights'],
    text: () => 'As many runs are in the air as maxFlights of the registration allows, and the others are not shared: raise it there, for the price of memory for each.'
  },
  {
    id: 'limits/queue',
    reasons: ['queue-full', 'queue-timeout', 'evicted'],
    text: () => 'The queue refuses runs: raise its maxRuns, if what is behind the handler can bear more at a time; or maxQueued and queueTimeout, for the price of longer waits. A ttl with staleIfError answers what is refused.'
  }
]

export function limits (facts: RouteFacts): Draft[] {
  const { figures, settings } = facts
  const { reasons, totalRequests } = figures
  if (totalRequests < ENOUGH) return []
  return LIMITS.flatMap(({ id, patch, reasons: names, text }) => {
    const met = reasons.filter(({ cause = '', reason }) => names.includes(reason) || names.includes(cause)).reduce((sum, each) => sum + each.count, 0)
    if (met < FEWEST || met < totalRequests * LEAST) return []
    return [{
      id,
      kind: 'limits',
      text: text(facts),
      evidence: `${count(met)} of ${count(totalRequests)} requests (${percent(met / totalRequests)})`,
      confidence: 'medium',
      ...patch !== undefined && { patch: patch(settings, figures) }
    }]
  })
}

function slowest ({ handlerTime }: RouteFigures): string {
  return handlerTime === undefined ? '' : `; one run of a hundred takes ${time(Math.round(handlerTime.p99))} or more`
}

/** Twice what slow runs take, and longer than it is, as people write it. */
function longer (limit: number, { handlerTime }: RouteFigures): number {
  const wanted = Math.max(limit * 2, 2 * (handlerTime?.p99 ?? 0))
  return ROUND.find(round => round >= wanted) ?? Math.min(Math.ceil(wanted), LONGEST)
}
