/**
 * Gives routes what protects their runs.
 *
 * Invariant: a GET route and the HEAD route of the same handler have one queue and one breaker.
 */
import { NO_PROTECTION } from '../../protection/permits.js'
import type { CoalescedRoute } from '../request/route.js'
import type { Scope } from '../scope.js'
import { pairHeads } from './head-routes.js'

const isHead = ({ methods }: CoalescedRoute): boolean => methods.every(method => method === 'HEAD')

/** Pairs HEAD routes with GET routes, and protects all that want that. */
export function protectRoutes ({ protect, routes }: Scope): void {
  const give = (route: CoalescedRoute): void => {
    Object.assign(route, protect(route.settings, `${route.tally.method} ${route.tally.route}`))
  }
  for (const route of routes) if (!isHead(route)) give(route)
  pairHeads(routes)
  for (const route of routes) if (isHead(route) && route.protection === NO_PROTECTION) give(route)
}
