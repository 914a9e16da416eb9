/**
 * A request as a participant that takes part for show.
 *
 * Invariant: it asks what a request asks, and whatever it is told, it runs nothing and answers nobody.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { NO_CACHE, type ResultCache } from '../../engine/cache/cache.js'
import type { Found } from '../../engine/cache/guarded-store.js'
import { LOCAL, type Coordinator } from '../../engine/coordinators/coordinator.js'
import type { Scout } from '../../engine/foresight.js'
import { NO_PERMIT, NO_PROTECTION, type Protection } from '../../engine/protection/permits.js'
import type { RequestDirectives } from '../../http/request-directives.js'
import type { Recording } from '../../http/recording.js'
import { Tally } from '../../observers/tally.js'
import { RequestFacts } from '../request/facts.js'
import type { Requests } from '../request/requests.js'
import type { CoalescedRoute } from '../request/route.js'

export class RequestScout extends RequestFacts implements Scout<Recording> {
  readonly decided: Promise<void>
  /** The cached response that its lookup came upon. */
  found: Found | undefined
  /** Its run would wait for a slot. */
  wouldWait = false
  readonly gone = false
  readonly error = undefined
  readonly failed = false
  protected readonly requestHeadersAtCapture = undefined
  readonly run: () => void
  readonly give: () => void
  readonly refuse: () => void
  readonly cancel: () => void
  readonly joined: () => void
  readonly readAddress: () => void
  readonly record: () => never
  readonly plan: () => never
  readonly #tally = new Tally('', '')
  readonly #cache: ResultCache<Recording>

  constructor (requests: Requests, route: CoalescedRoute, request: FastifyRequest, reply: FastifyReply, directives: RequestDirectives) {
    super(requests, route, request, reply)
    this.directives = directives
    let decide!: () => void
    this.decided = new Promise(resolve => { decide = resolve })
    this.run = this.give = this.refuse = this.cancel = this.joined = this.readAddress = decide
    this.record = this.plan = decide as () => never
    const { cache } = route
    this.#cache = {
      ...NO_CACHE, standIn: fallback => cache.standIn(fallback), lookUp: key => cache.peek(key, this, found => { this.found = found })
    }
  }

  override get tally (): Tally {
    return this.#tally
  }

  override get fleet (): undefined {
    return undefined
  }

  override get coordinator (): Coordinator<Recording> {
    return LOCAL
  }

  /** It is told what would be said, and takes nothing. */
  override get protection (): Protection {
    const { route: { protection } } = this
    return {
      ...NO_PROTECTION,
      refusalFor: subject => protection.refusalFor(subject),
      ask: ({ level, subject }) => {
        const foreseen = protection.foresee(subject, level)
        if (typeof foreseen !== 'string') return foreseen
        this.wouldWait = foreseen === 'waits'
        return NO_PERMIT
      }
    }
  }

  override get cache (): ResultCache<Recording> {
    return this.#cache
  }
}
