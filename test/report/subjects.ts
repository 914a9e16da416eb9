/**
 * Routes that advice is made for: all is well with them, but for what a test says.
 */
import { readOptions } from '../../lib/options/options.js'
import { readRouteOptions, type RouteSettings } from '../../lib/options/route-options.js'
import { advise } from '../../lib/report/advise.js'
import type { RouteFacts } from '../../lib/report/facts.js'
import type { Advice, CoalesceRouteOptions, PairFigures, RouteFigures, RouteReport } from '../../types/index.js'

const DEFAULTS = readOptions({}, { semicolonDelimits: false, parsesItself: false, trustsByAddress: false }).routes

export function settingsOf (options: CoalesceRouteOptions = {}): RouteSettings {
  return readRouteOptions(options, DEFAULTS, 'GET /x')
}

export const figures: RouteFigures = {
  method: 'GET',
  route: '/x',
  totalRequests: 1000,
  deduplicatedRequests: 100,
  cacheHits: 0,
  actualExecutions: 900,
  deduplicationRate: 0.1,
  reasons: [],
  variesOn: [],
  parking: { at: 'onRequest', why: 'there are no later gates', skips: [] },
  handlerTimeSaved: 0
}

export const pairs = (some: Partial<PairFigures> = {}): PairFigures => ({ equal: 0, noise: 0, echo: 0, differs: 0, ...some })

export const observed: RouteReport = {
  method: 'GET',
  route: '/x',
  mode: 'observe',
  verdict: 'equal',
  requests: 1000,
  skipped: {},
  would: [],
  pairs: { between: pairs({ equal: 400 }), within: pairs({ equal: 400 }) },
  shareable: 0.5,
  differences: [],
  noise: [],
  inert: [],
  ttls: []
}

export interface Given {
  readonly figures?: Partial<RouteFigures>
  readonly options?: CoalesceRouteOptions
  readonly unshared?: RouteFacts['unshared']
  readonly barred?: RouteFacts['barred']
  readonly observed?: Partial<RouteReport>
}

export function facts (given: Given = {}): RouteFacts {
  return {
    figures: { ...figures, ...given.figures },
    settings: settingsOf(given.options),
    unshared: given.unshared,
    barred: given.barred,
    observed: given.observed === undefined ? undefined : { ...observed, ...given.observed }
  }
}

export function advised (given: Given, silenced: readonly string[] = []): Advice[] {
  return advise([facts(given)], new Set(silenced))
}
