/**
 * What advice rests on: the figures of a route, its settings, and what observe mode found of it.
 *
 * Invariant: plain data. Names in figures and findings come from requests and responses, and may hold anything.
 */
import type { Advice, RouteFigures, RouteReport } from '../../types/index.js'
import type { Cause } from '../observers/causes.js'
import type { Unshared } from '../observers/tally.js'
import type { RouteSettings } from '../options/route-options.js'

export interface RouteFacts {
  readonly figures: RouteFigures
  readonly settings: RouteSettings
  /** Why nothing of it was shared, if that was found out. */
  readonly unshared: Unshared | undefined
  /** Why requests that are only observed would not be shared: the most frequent reason that there is advice for. */
  readonly barred: Cause | undefined
  /** Undefined where it is neither observed nor verified. */
  readonly observed: RouteReport | undefined
}

/** What a rule advises. The route and how to silence it are added for all rules alike. */
export type Draft = Omit<Advice, 'method' | 'route' | 'silence'>

/** A route whose handler reads all headers has this reason, and a warning of this name. */
export const READS_ALL = 'reads-all-headers'

/** Requests of a route below which its figures say nothing. */
export const ENOUGH = 100

/** Whether nothing of it was shared, and it is known why. */
export function isUnshared ({ figures: { cacheHits, deduplicatedRequests }, unshared }: RouteFacts): boolean {
  return unshared !== undefined && cacheHits + deduplicatedRequests === 0
}
