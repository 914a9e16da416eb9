/**
 * The metrics: their names, what they say, and what of the tallies they are read from.
 *
 * Invariant: labels are route patterns, methods and closed sets of names. Counters end in `_total`, times are in seconds, and what is no
 * sum is left out where processes are added up.
 */
import type { CoalesceFigures, Store } from '../../types/index.js'
import type { Distribution } from './distribution.js'
import { histogramOf, type Definition, type Labels, type Sample } from './read-metric.js'
import type { StoreTally } from './store-tally.js'
import type { StoresSeen } from './stores-seen.js'
import { totalOf, type Tally } from './tally.js'

/** What there is to read. */
export interface Readings {
  readonly series: Iterable<Tally>
  readonly seen: StoresSeen
  flights (): number
  waiters (): number
  recordedBytes (): number
  stores (): readonly Store[]
  storeTally (): StoreTally
}

/** @param before what comes before each name */
export function metricsOf (before: string, readings: Readings): readonly Definition[] {
  const { series, seen, flights, waiters, recordedBytes, stores, storeTally } = readings
  return [
    perRoute('counter', 'requests_total', 'Requests on coalesced routes, and calls of deduplicated functions, by how they were served',
      requests),
    perRoute('counter', 'handler_runs_total', 'Runs of handlers of coalesced routes, and of deduplicated functions',
      tally => [of(tally, tally.runs)]),
    perRoute('counter', 'saved_seconds_total', 'How long the runs took that were not made, because another one\'s result was there',
      tally => [of(tally, tally.saved / 1000)]),
    perRoute('counter', 'cut_off_total', 'Responses that are a shared stream and ended before its end, by reason',
      each('reason', tally => tally.cuts)),
    perRoute('counter', 'peers_lost_total', 'Runs of other processes that came to nothing while some waited here, by reason',
      each('reason', tally => tally.lostPeers)),
    perRoute('counter', 'cache_misses_total', 'Lookups in the cache that found nothing to serve, by reason', each('reason', tally => tally.misses)),
    perRoute('counter', 'cache_refreshes_total', 'Runs in the background that refresh what is cached, by result',
      each('result', tally => tally.refreshes)),
    total('counter', 'cache_evictions_total', 'What had to go from stores before its time', () => seen.evictions(stores())),
    define('counter', 'store_errors_total', 'Calls of stores that failed, took too long, or were not made, by operation and reason',
      () => [...storeTally().errors].map(([operation, reasons]) =>
        [...reasons].map(([reason, value]) => ({ labels: { operation, reason }, value })))),
    define('counter', 'store_rejected_entries_total', 'What stores gave and was not what was asked for, by reason',
      () => [[...storeTally().rejections].map(([reason, value]) => ({ labels: { reason }, value }))]),
    total('gauge', 'flights', 'Runs in the air that others can share', flights),
    total('gauge', 'waiters', 'Followers that wait', waiters),
    total('gauge', 'recorded_bytes', 'Bytes of bodies that are being recorded', recordedBytes),
    total('gauge', 'cache_entries', 'What stores hold that can tell', () => seen.held(stores()).entries),
    total('gauge', 'cache_bytes', 'How many bytes that takes', () => seen.held(stores()).bytes),
    ...ratios('deduplication_ratio', 'answered with another one\'s run', ({ deduplicationRate }) => deduplicationRate),
    ...ratios('cache_hit_ratio', 'answered from the cache', ({ cacheHits, totalRequests }) => totalRequests === 0 ? 0 : cacheHits / totalRequests),
    distributions('wait_seconds', 'How long followers waited', tally => tally.waits),
    distributions('handler_seconds', 'How long runs took that others could share, until their result was there', tally => tally.runTimes),
    distributions('followers_per_flight', 'Followers of a flight when it landed', tally => tally.followers),
    define('histogram', 'store_look_seconds', 'How long stores took to answer a lookup that they did not answer at once',
      () => [histogramOf(`${before}store_look_seconds`, {}, storeTally().lookups)])
  ]

  function define (
    type: Definition['type'], name: string, help: string, read: Definition['read'], aggregator: Definition['aggregator'] = 'sum'
  ): Definition {
    return { name: before + name, help, type, aggregator, read }
  }

  /** A metric of one sample. */
  function total (type: 'counter' | 'gauge', name: string, help: string, read: () => number, aggregator?: Definition['aggregator']): Definition {
    return define(type, name, help, () => [[{ labels: {}, value: read() }]], aggregator)
  }

  function perRoute (
    type: Definition['type'], name: string, help: string, read: (tally: Tally) => readonly Sample[], aggregator?: Definition['aggregator']
  ): Definition {
    return define(type, name, help, function * () { for (const tally of series) yield read(tally) }, aggregator)
  }

  /** A histogram has no series before its first value: that would be a line for each bucket of each route. */
  function distributions (name: string, help: string, read: (tally: Tally) => Distribution): Definition {
    return perRoute('histogram', name, help, tally => {
      const distribution = read(tally)
      return distribution.count === 0 ? [] : histogramOf(before + name, routeOf(tally), distribution)
    })
  }

  /** A ratio of all requests, and of those of each route. The ratios of several processes are no ratio of all. */
  function ratios (name: string, what: string, read: (figures: CoalesceFigures) => number): readonly Definition[] {
    return [
      total('gauge', name, `Requests ${what}, as a fraction of all`, () => read(totalOf(series)), 'omit'),
      perRoute('gauge', `route_${name}`, `Requests of a route ${what}, as a fraction of all`, tally => [of(tally, read(tally.figures()))], 'omit')
    ]
  }
}

function routeOf ({ method, route }: Tally): Labels {
  return { method, route }
}

function of (tally: Tally, value: number): Sample {
  return { labels: routeOf(tally), value }
}

function requests (tally: Tally): readonly Sample[] {
  return [...tally.counts()].map(({ outcome, reason, cause, count }) =>
    ({ labels: { ...routeOf(tally), outcome, reason, ...cause === undefined ? {} : { cause } }, value: count }))
}

/** One sample for each name that a tally counts. */
function each (label: string, read: (tally: Tally) => ReadonlyMap<string, number>): (tally: Tally) => readonly Sample[] {
  return tally => [...read(tally)].map(([name, value]) => ({ labels: { ...routeOf(tally), [label]: name }, value }))
}
