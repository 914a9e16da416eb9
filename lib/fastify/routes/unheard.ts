/**
 * Routes that ask for coalescing and would not have it, because no registration has adopted them; and names that look like ours.
 *
 * Invariant: every route of an app is looked at once, at boot, wherever it is declared; one that any registration has adopted is heard. A
 * Fastify whose routes cannot be listed is watched at run time: then a route is warned of at its first request.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { UnheardRouteError } from '../../errors.js'
import type { Log } from '../../observers/observer.js'
import { nearest } from '../../options/near.js'
import { isAdopted } from '../dependencies/hook-reads.js'
import { dropHook, routeConfigOf, unbound, watchRoutes, type DeclaredRoute } from '../internals.js'
import { type Scope, scopeOf } from '../scope.js'

const OURS = 'coalesce'
/** The most routes that an error lists. */
const MOST = 8

const EARLY = 'declared before fastify-coalesce was loaded: write "await app.register(coalesce)" before the routes; without await, ' +
  'declare them in app.after() or in a plugin that is registered after it'
const OUTSIDE = 'declared outside the context that fastify-coalesce is registered in: register it in the context around them, and ' +
  'wrap the plugin that registers it in fastify-plugin'

/** The routes of each app, which all of its instances have one server of. */
const routesOf = new WeakMap<object, DeclaredRoute[]>()

/** Begins to collect the routes of an app. */
export function collectRoutes (fastify: FastifyInstance, silenced: ReadonlySet<string>): void {
  if (routesOf.has(fastify.server)) return
  const routes: DeclaredRoute[] = []
  if (watchRoutes(fastify, route => { routes.push(route) })) routesOf.set(fastify.server, routes)
  else if (!silenced.has('unheard-route')) fastify.addHook('onResponse', warnUnheard)
}

/** All routes are declared. The first registration that asks looks at them, for all. */
export function checkRoutes (fastify: FastifyInstance, log: Log): Error | undefined {
  const routes = routesOf.get(fastify.server)?.splice(0) ?? []
  for (const route of routes) warnMisspelled(log, route)
  const adopted = routes.some(({ config }) => isAdopted(config))
  const unheard = routes.filter(route => isUnheard(route, adopted))
  const early = unheard.filter(({ server }) => scopeAround(server) !== undefined)
  const outside = unheard.filter(({ server }) => scopeAround(server) === undefined)
  const said = [...sentence(early, EARLY), ...sentence(outside, OUTSIDE)]
  return said.length === 0 ? undefined : new UnheardRouteError(said.join('. '))
}

function scopeAround (server: FastifyInstance): Scope | undefined {
  return scopeOf(server)
}

/** @param adopted some route of the app is coalesced */
function isUnheard ({ config, server }: DeclaredRoute, adopted: boolean): boolean {
  if (isAdopted(config)) return false
  const choice = config[OURS]
  if (choice !== undefined) return choice !== false
  // Routes that are older than a registration for all may be meant to stay out, but not every single one.
  return !adopted && scopeAround(server)?.settings.global === true && methodsOf(config).includes('GET')
}

function methodsOf ({ method }: DeclaredRoute['config']): string[] {
  return [method].flat()
}

function nameOf ({ config }: DeclaredRoute): string {
  return `${methodsOf(config).join(',')} ${config.url}`
}

function sentence (routes: readonly DeclaredRoute[], why: string): string[] {
  const names = [...new Set(routes.filter(({ byFastify }) => !byFastify).map(nameOf))]
  if (names.length === 0) return []
  const few = names.slice(0, MOST)
  const last = names.length > MOST ? `${names.length - MOST} more` : few.length > 1 ? few.pop() : undefined
  const one = names.length === 1
  return [`${few.join(', ')}${last === undefined ? '' : ` and ${last}`} ${one ? 'asks' : 'ask'} for coalescing, but ${one ? 'was' : 'were'} ${why}`]
}

function warnMisspelled (log: Log, route: DeclaredRoute): void {
  if (route.byFastify) return
  for (const name of Object.keys(route.config)) {
    if (name === OURS || nearest(name, [OURS]) === undefined) continue
    log.warn({ coalesce: { event: 'misspelled', route: nameOf(route), name } },
      `coalesce: config.${name} of ${nameOf(route)} means nothing; did you mean config.${OURS}?`)
  }
}

/** A route that is being declared has the option beside its config, where Fastify takes no notice of it. */
export function warnMisplaced (log: Log, options: object, name: string): void {
  const { coalesce, config } = options as { readonly coalesce?: unknown, readonly config?: { readonly coalesce?: unknown } }
  if (coalesce === undefined || coalesce === false || config?.coalesce !== undefined) return
  // Fastify adds one of the same options to each GET route.
  if (name.startsWith('HEAD ')) return
  log.warn({ coalesce: { event: 'misplaced', route: name } },
    `coalesce: ${OURS} of ${name} means nothing beside config; did you mean config: { ${OURS}: … }?`)
}

/** Where routes cannot be listed. */
function warnUnheard (request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const config = routeConfigOf(request) as DeclaredRoute['config']
  dropHook(request, 'onResponse', warnUnheard)
  if (!isAdopted(config) && (config[OURS] ?? false) !== false && !warned.has(config)) {
    warned.add(config)
    const route = nameOf({ config, server: request.server, byFastify: false })
    request.log.warn({ coalesce: { event: 'unheard-route', route } }, `coalesce: ${route} asks for coalescing, but was ${EARLY}`)
  }
  done()
}
unbound(warnUnheard)

const warned = new WeakSet<object>()
