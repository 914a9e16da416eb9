/**
 * Has routes be observed, or verified, that ask for that.
 *
 * Invariant: what comparing may cost is that of the registration, for all its routes together.
 */
import type { Log } from '../../observers/observer.js'
import { ObservedRoute } from '../observe/observed-route.js'
import type { CoalescedRoute } from '../request/route.js'
import type { Scope } from '../scope.js'

/** Undefined: the route is neither observed nor verified. */
export function observedOf (scope: Scope, route: CoalescedRoute, log: Log): ObservedRoute | undefined {
  const { observe, ttl } = route.settings
  if (observe === undefined) return undefined
  const { observing } = scope.requests
  const { allowance, clock } = observing
  const observed = new ObservedRoute(route.tally, observe, {
    allowance,
    clock,
    log,
    silenced: scope.settings.warnings,
    caches: ttl !== undefined,
    switchOff: () => scope.switchOff(route)
  })
  observing.add(observed)
  scope.instruments?.observe()
  return observed
}
