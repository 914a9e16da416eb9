/**
 * Where a request keeps its visit, and what of it the app may see.
 *
 * Invariant: a request that never boarded has no visit, whoever asks.
 */
import type { FastifyRequest } from 'fastify'
import type { ReplyCoalesce, RequestCoalesce } from '../../../types/index.js'
import type { FastifyVisit } from './visit.js'
import { refreshOf } from '../cache/refresh-request.js'
import type { CoalescedRoute } from './route.js'

/** The symbol under which a request keeps its visit. It is no decorator: requests of routes that are not coalesced have nothing of it. */
const kVisit = Symbol('fastify-coalesce.visit')

/** Stands for the visit of a request that never boarded. */
export class Bypass {
  readonly route: Pick<CoalescedRoute, 'settings'>
  readonly reason: string

  constructor (route: Pick<CoalescedRoute, 'settings'>, reason: string) {
    this.route = route
    this.reason = reason
  }
}

const LEADING: ReadonlySet<string> = new Set(['leader', 'preparing', 'refresher'])

interface Visiting {
  [kVisit]?: FastifyVisit | Bypass
}

/** The request's visit; undefined before it boarded, and for those that never do. */
export function visitOf (request: FastifyRequest): FastifyVisit | undefined {
  const visit = (request as unknown as Visiting)[kVisit]
  return visit instanceof Bypass ? undefined : visit
}

/** The bypass that stands for it, if it has one. */
export function bypassOf (request: FastifyRequest): Bypass | undefined {
  const visit = (request as unknown as Visiting)[kVisit]
  return visit instanceof Bypass ? visit : undefined
}

export function setVisit (request: FastifyRequest, visit: FastifyVisit | Bypass): void {
  (request as unknown as Visiting)[kVisit] = visit
}

/** What `reply.coalesce` is. */
export function replyViewOf (request: FastifyRequest): ReplyCoalesce | undefined {
  const visit = (request as unknown as Visiting)[kVisit]
  if (visit === undefined) return undefined
  return { tag (...tags) { if (!(visit instanceof Bypass)) visit.tag(tags) } }
}

/** What `request.coalesce` is. */
export function viewOf (request: FastifyRequest): RequestCoalesce | undefined {
  const visit = (request as unknown as Visiting)[kVisit]
  if (visit === undefined) {
    if (refreshOf(request) === undefined) return undefined
    return { refresh: true, outcome: undefined, leaderId: undefined, get signal () { return request.signal }, varyOn () {} }
  }
  if (visit instanceof Bypass) return { refresh: false, outcome: 'bypass', leaderId: request.id, signal: request.signal, varyOn () {} }
  return {
    refresh: visit.role.type === 'refresher',
    get outcome () { return visit.outcome ?? (LEADING.has(visit.role.type) ? 'leader' : 'follower') },
    get leaderId () { return visit.leaderId },
    get signal () { return request.signal },
    varyOn (...names) { visit.varyOn(names) }
  }
}
