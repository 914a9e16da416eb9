/**
 * Options of a route for TypeScript, checked where they are written.
 *
 * Invariant: at run time nothing happens to them.
 */
import type { RouteGenericInterface } from 'fastify'
import type { CoalesceRouteOptions } from '../../types/index.js'

/**
 * Options of a route (`config.coalesce`) for TypeScript: a name that there is not is an error here, and functions see the route's own
 * types. Fastify infers the type of `config` from what is written there, and so takes any name.
 *
 * @example
 * const coalesce = defineCoalesce<{ Params: { id: string } }>({ key: request => request.params.id })
 * app.get<{ Params: { id: string } }>('/word/:id', { config: { coalesce } }, handler)
 */
export function defineCoalesce<RouteGeneric extends RouteGenericInterface = RouteGenericInterface> (
  options: CoalesceRouteOptions<RouteGeneric>
): CoalesceRouteOptions {
  return options as CoalesceRouteOptions
}
