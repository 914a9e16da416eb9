/**
 * Where a request keeps its participant, and what of it the app may see.
 *
 * Invariant: a request that never boarded has no participant, whoever asks.
 */
import type { FastifyRequest } from 'fastify'
import type { ReplyCoalesce, RequestCoalesce } from '../../../types/index.js'
import type { RequestParticipant } from './participant.js'
import { refreshOf } from '../cache/refresh-request.js'
import { fail, isName } from '../../options/parsers.js'
import type { Log, Subject } from '../../observers/observer.js'
import type { Tally } from '../../observers/tally.js'
import type { BypassReason, Detail } from '../../reasons.js'
import type { CoalescedRoute } from './route.js'

/** The symbol under which a request keeps its participant. It is no decorator: requests of routes that are not coalesced have nothing of it. */
const kParticipant = Symbol('fastify-coalesce.participant')
/** The same for what stands in for one. */
const kStandIn = Symbol('fastify-coalesce.stand-in')

/** Stands for the participant of a request that never boarded. */
export class Bypass {
  readonly route: Pick<CoalescedRoute, 'settings'>
  readonly reason: BypassReason
  readonly detail: Detail | undefined

  constructor (route: Pick<CoalescedRoute, 'settings'>, reason: BypassReason, detail: Detail | undefined) {
    this.route = route
    this.reason = reason
    this.detail = detail
  }
}

/** Stands for the participant of a request that was answered with a fresh recording, and needed none. */
export class Hit implements Subject {
  readonly route: CoalescedRoute
  readonly request: FastifyRequest
  readonly leaderId = undefined

  constructor (route: CoalescedRoute, request: FastifyRequest) {
    this.route = route
    this.request = request
  }

  get id (): string {
    return this.request.id
  }

  get log (): Log {
    return this.request.log
  }

  get tally (): Tally {
    return this.route.tally
  }
}

const LEADING: ReadonlySet<string> = new Set(['leader', 'preparing', 'refresher'])

interface WithParticipant {
  [kParticipant]?: RequestParticipant
  [kStandIn]?: Bypass | Hit
}

/** The request's participant; undefined before it boarded, and for those that never do. */
export function participantOf (request: FastifyRequest): RequestParticipant | undefined {
  return (request as unknown as WithParticipant)[kParticipant]
}

/** The bypass that stands for it, if it has one. */
export function bypassOf (request: FastifyRequest): Bypass | undefined {
  const standIn = (request as unknown as WithParticipant)[kStandIn]
  return standIn instanceof Bypass ? standIn : undefined
}

export function setParticipant (request: FastifyRequest, participant: RequestParticipant): void {
  (request as unknown as WithParticipant)[kParticipant] = participant
}

/** Has something stand for the participant of a request that needs none. */
export function setStandIn (request: FastifyRequest, standIn: Bypass | Hit): void {
  (request as unknown as WithParticipant)[kStandIn] = standIn
}

/**
 * A wrong argument is the caller's mistake, and is told to it on every request, so that it does not come to light only where it counts.
 *
 * @throws FST_COALESCE_INVALID_OPTION
 */
function checkArguments (what: string, args: readonly unknown[], isRight: (arg: unknown) => boolean, wanted: string): void {
  const wrong = args.findIndex(arg => !isRight(arg))
  if (wrong >= 0) fail(what, wanted, args[wrong])
}

function checkNames (...names: unknown[]): void {
  checkArguments('request.coalesce.varyOn', names, name => typeof name === 'string', "called with header names, or '*'")
}

function checkTags (...tags: unknown[]): void {
  checkArguments('reply.coalesce.tag', tags, isName, 'called with tags, which are texts and not empty')
}

/** That of replies that nobody else is given. */
const OF_ONE: ReplyCoalesce = Object.freeze({ tag: checkTags })

/** What `reply.coalesce` is. */
export function replyViewOf (request: FastifyRequest): ReplyCoalesce {
  const participant = participantOf(request)
  if (participant === undefined) return OF_ONE
  return {
    tag (...tags) {
      checkTags(...tags)
      participant.tag(tags)
    }
  }
}

/** What `request.coalesce` is. */
export function viewOf (request: FastifyRequest): RequestCoalesce | undefined {
  const { [kParticipant]: participant, [kStandIn]: standIn } = request as unknown as WithParticipant
  if (standIn instanceof Bypass) {
    const { detail, reason } = standIn
    return { refresh: false, outcome: 'bypass', reason, cause: detail?.cause, leaderId: request.id, signal: request.signal, varyOn: checkNames }
  }
  if (standIn instanceof Hit) {
    return { refresh: false, outcome: 'hit', reason: 'fresh', cause: undefined, leaderId: undefined, get signal () { return request.signal }, varyOn: checkNames }
  }
  if (participant === undefined) {
    if (refreshOf(request) === undefined) return undefined
    return {
      refresh: true,
      outcome: undefined,
      reason: undefined,
      cause: undefined,
      leaderId: undefined,
      get signal () { return request.signal },
      varyOn: checkNames
    }
  }
  return {
    refresh: participant.role.type === 'refresher',
    get outcome () { return participant.outcome ?? (LEADING.has(participant.role.type) ? 'leader' : 'follower') },
    get reason () { return participant.outcomeReason },
    get cause () { return participant.outcomeDetail?.cause },
    get leaderId () { return participant.leaderId },
    get signal () { return request.signal },
    varyOn (...names) {
      checkNames(...names)
      participant.varyOn(names)
    }
  }
}
