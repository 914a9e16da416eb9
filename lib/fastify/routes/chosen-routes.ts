/**
 * Which routes are coalesced.
 *
 * Invariant: a route that asks for it and cannot have it stops the app at boot; one that is merely there is left alone.
 */
import type { RouteOptions } from 'fastify'
import { InvalidOptionError } from '../../errors.js'
import type { Settings } from '../../options/options.js'
import type { RouteSettings } from '../../options/route-options.js'

const METHODS = ['GET', 'HEAD', 'QUERY', 'POST']

export function methodsOf (options: RouteOptions): string[] {
  return Array.isArray(options.method) ? options.method : [options.method]
}

/** How messages name a route. */
export function routeName (options: RouteOptions): string {
  return `${methodsOf(options).join(',')} ${options.url}`
}

export function isCoalesced (options: RouteOptions, settings: Settings): boolean {
  const choice = options.config?.coalesce
  if (choice !== undefined) return choice !== false
  return settings.global && !isForWebSockets(options) && methodsOf(options).some(method => method === 'GET' || method === 'HEAD')
}

/** @throws FST_COALESCE_INVALID_OPTION if a route that asks for it has nothing to coalesce */
export function checkChoice (options: RouteOptions, { body }: RouteSettings, name: string): void {
  if (options.config?.coalesce === undefined) return
  const methods = methodsOf(options)
  if (!methods.some(method => METHODS.includes(method) && (body !== undefined || method === 'GET' || method === 'HEAD'))) {
    throw new InvalidOptionError(`config.coalesce of ${name}`, 'on a GET or HEAD route, or with body: true on a QUERY or POST route that only reads (one that writes purges its path as it is)', methods.join(','))
  }
  if (isForWebSockets(options)) {
    throw new InvalidOptionError(`config.coalesce of ${name}`, 'on a route that answers requests', 'websocket: true')
  }
}

/** Whether the handler of a route is given sockets by `@fastify/websocket`, and no requests: so it is whatever `wsHandler` says. */
function isForWebSockets ({ websocket }: RouteOptions & { readonly websocket?: unknown }): boolean {
  return websocket === true
}
