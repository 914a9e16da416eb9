/**
 * Switches coalescing off and on while the app runs, for all routes of a registration or for some.
 *
 * Invariant: who waits when it is switched off runs by itself at once.
 */
import type { RouteSelector } from '../../../types/index.js'
import type { Conductor } from '../../engine/conductor.js'
import type { Participant } from '../../engine/participant.js'
import { UnknownRouteError } from '../../errors.js'
import type { Recording } from '../../http/recording.js'
import type { CoalescedRoute } from './route.js'

export function setDisabled (
  conductor: Conductor<Recording>, routes: readonly CoalescedRoute[], disabled: boolean, selector: RouteSelector | undefined
): void {
  if (selector === undefined) {
    conductor.disabled = disabled
    if (disabled) conductor.release(conductor.flights.leaders())
    return
  }
  // Of one that has two URLs either names both, and the HEAD routes of both.
  const urls = new Set(routes.filter(route => route.urls.includes(selector.url)).flatMap(route => route.urls))
  const chosen = routes.filter(({ urls: own, methods }) =>
    own.some(url => urls.has(url)) && (selector.method === undefined || methods.includes(selector.method.toUpperCase())))
  if (chosen.length === 0) throw new UnknownRouteError(`${selector.method ?? '*'} ${selector.url}`)
  for (const route of chosen) setRouteDisabled(conductor, route, disabled)
}

export function setRouteDisabled (conductor: Conductor<Recording>, route: CoalescedRoute, disabled: boolean): void {
  route.disabled = disabled
  if (disabled) conductor.release(leadersOf(route))
}

/** Those who lead a flight of a route now. */
function leadersOf ({ fleet }: CoalescedRoute): Array<Participant<Recording>> {
  return fleet.flights().map(({ leader }) => leader as Participant<Recording>)
}
