/**
 * A coalesced route: what its requests have in common.
 *
 * Invariant: once the app is ready, only `disabled` and `warned` change.
 */
import type { FastifyRequest } from 'fastify'
import type { CircuitBreaker, RunQueue } from '../../../types/index.js'
import type { ResultCache } from '../../engine/cache/cache.js'
import type { Fleet } from '../../engine/flights/fleet.js'
import type { Flight } from '../../engine/flights/flight.js'
import type { Participant } from '../../engine/participant.js'
import type { Protection } from '../../protection/permits.js'
import type { KeyHead } from '../../http/key.js'
import type { Recording } from '../../http/recording.js'
import type { Tally } from '../../observers/tally.js'
import type { RouteSettings } from '../../options/route-options.js'
import type { Requests } from './requests.js'
import type { Strategies } from '../dependencies/constraints.js'
import type { LearnedNames } from '../dependencies/learned-names.js'
import type { ObservedRoute } from '../observe/observed-route.js'

export interface CoalescedRoute {
  /** Those of its registration. */
  readonly requests: Requests
  readonly methods: readonly string[]
  readonly url: string
  /** Mostly one; two of a route that is `/` under a prefix. */
  readonly urls: readonly string[]
  readonly constraints: object
  /** The app's own handler, which an automatic HEAD route shares with its GET route. */
  readonly handler: unknown
  /** Its `config.coalesce`. */
  readonly choice: unknown
  /** What tells its keys from those of every other route. */
  keyHead: KeyHead
  readonly settings: RouteSettings
  readonly tally: Tally
  /** Purging one of these purges all cached responses of the route. */
  readonly labels: readonly string[]
  /** Its flights in the air. */
  readonly fleet: Fleet<Flight<Recording, Participant<Recording>>>
  readonly cache: ResultCache<Recording>
  /** What its runs have to pass. */
  protection: Protection
  /** How urgent a request is; undefined where all are equally urgent. */
  levelOf: ((request: FastifyRequest) => number) | undefined
  queue: RunQueue | undefined
  breaker: CircuitBreaker | undefined
  disabled: boolean
  parksAt: 'onRequest' | 'preHandler'
  /** Where, why there, and which hooks followers skip because of that. */
  parking: { readonly at: 'onRequest' | 'preHandler', readonly why: string, readonly skips: readonly string[] }
  /** Whether no hook of others comes between capturing a response and deciding upon it. */
  decidesAtOnce: boolean
  /** Whether no hook of others comes after that. */
  decidesLast: boolean
  /** Whether replays may be written past the hooks of replies, because there are none. */
  hasFastLane: boolean
  /** Whether hooks of others run before its requests board. */
  watchesHooks: boolean
  /** The app's constraint strategies; undefined if the route has a constraint of one that is not known. */
  readonly strategies: Strategies | undefined
  /** Whether the cookies that it ignores are taken out of its requests. */
  takesCookies: boolean
  /** Whether the handler sees validation's findings about a query, though not the parameters that it read. */
  tellsValidation: boolean
  /** What its responses were seen to depend on. */
  readonly learned: LearnedNames
  /** Undefined: it is neither observed nor verified. */
  observed: ObservedRoute | undefined
  /** The cookies that it ignores stay in its requests, and are left out of what is asked of them. */
  setsCookiesAside: boolean
  /** What was warned of already. */
  readonly warned: Set<string>
  /** Decides where to park, once all hooks are known. */
  readonly settle: () => void
}
