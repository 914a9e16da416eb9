/**
 * `fastify.coalesce.explain`: what would happen to a request, found out by a request that runs the hooks of its route and not its handler.
 *
 * Invariant: no handler runs, of no route. Of a route that is not coalesced, in whatever context, no hook runs either: it is seen
 * before its first hook which route it is.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, InjectOptions } from 'fastify'
import type { ExplainOptions, Explanation } from '../../../types/index.js'
import { NotExplainableError } from '../../errors.js'
import { readExplain } from '../../options/explain-options.js'
import { coalescedRouteOf } from '../dependencies/hook-reads.js'
import { routeConfigOf, watchIncoming } from '../internals.js'
import type { CoalescedRoute } from '../request/route.js'
import { Inquiry, inquiryOf } from './inquiry.js'

/** What a registration says of the routes of an instance; undefined if none is registered there. */
type RegisteredIn = (server: FastifyInstance) => { readonly settings: { readonly global: boolean } } | undefined

/** How to find the registrations of those who ask. */
const registered = new WeakMap<Inquiry, RegisteredIn>()

export async function explain (
  fastify: FastifyInstance, request: InjectOptions | string, options: ExplainOptions, registeredIn: RegisteredIn
): Promise<Explanation> {
  const { values } = readExplain(options)
  const unwatch = watchIncoming(fastify, meet)
  if (unwatch === undefined) throw new NotExplainableError()
  const inquiry = new Inquiry(values)
  registered.set(inquiry, registeredIn)
  try {
    const given = typeof request === 'string' ? { url: request } : request
    const response = await Promise.race([fastify.inject({ ...given, Request: inquiry.Request }), inquiry.over])
    if (response !== undefined && !inquiry.admitted) {
      const { statusCode: status } = response
      inquiry.tell({ gate: { status, error: inquiry.error }, summary: `it is answered ${status} before it comes to coalescing` })
    }
    return inquiry.explanation
  } finally {
    inquiry.close()
    unwatch()
  }
}

/** A request comes in, and has met no hook yet. */
function meet (request: FastifyRequest, reply: FastifyReply): void {
  const inquiry = inquiryOf(request)
  // Without params it comes to no route: its URL is none.
  if (inquiry === undefined || request.params === null) return
  const route = coalescedRouteOf(request) as CoalescedRoute | undefined
  const { method, url } = request.routeOptions as { readonly method: string | string[], readonly url: string }
  inquiry.tell({ route: request.is404 ? undefined : { method: [method].flat().join(','), url }, coalesced: route !== undefined })
  if (route !== undefined) {
    inquiry.tell({ parking: route.parking })
    return
  }
  inquiry.tell({ summary: request.is404 ? 'no route of the app matches' : `the route is not coalesced: ${whyNot(request, inquiry)}` })
  inquiry.stop(request, reply)
}

function whyNot (request: FastifyRequest, inquiry: Inquiry): string {
  const scope = registered.get(inquiry)?.(request.server)
  if (scope === undefined) return 'fastify-coalesce is not registered in its context'
  const { coalesce } = routeConfigOf(request) as { readonly coalesce?: unknown }
  if (coalesce === false) return 'it says coalesce: false'
  return scope.settings.global
    ? 'it answers neither GET nor HEAD, or was declared before fastify-coalesce was loaded'
    : 'it does not ask for it (config: { coalesce: true })'
}
