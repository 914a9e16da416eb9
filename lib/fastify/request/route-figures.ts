/**
 * What is told of a route: its figures, and what advice rests on.
 */
import type { RouteFigures } from '../../../types/index.js'
import { figuresOf } from '../../observers/figures.js'
import type { RouteFacts } from '../../report/facts.js'
import { routeReportOf } from '../observe/route-report.js'
import type { CoalescedRoute } from './route.js'

export function routeFiguresOf ({ learned, parking, tally }: CoalescedRoute): RouteFigures {
  return { ...figuresOf(tally), variesOn: learned.all, parking }
}

export function factsOf (route: CoalescedRoute): RouteFacts {
  const { observed, settings, tally } = route
  const figures = routeFiguresOf(route)
  const found = observed && routeReportOf(observed, figures)
  return { figures, settings, unshared: tally.unshared, barred: observed?.causes.most, observed: found }
}

/** Whether somebody wrote it: Fastify makes HEAD routes of GET routes. */
export function isWritten ({ methods }: Pick<CoalescedRoute, 'methods'>): boolean {
  return methods.some(method => method !== 'HEAD')
}
