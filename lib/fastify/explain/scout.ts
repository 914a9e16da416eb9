/**
 * A request as a participant that takes part for show.
 *
 * Invariant: it asks what a request asks, and whatever it is told, it runs nothing and answers nobody.
 */
import type { FastifyReply } from 'fastify'
import { NO_CACHE, type ResultCache } from '../../engine/cache/cache.js'
import type { Found } from '../../engine/cache/guarded-store.js'
import { LOCAL, type Coordinator } from '../../engine/coordinators/coordinator.js'
import type { Scout } from '../../engine/foresight.js'
import { NO_PERMIT, NO_PROTECTION, type Protection, type Refusal } from '../../protection/permits.js'
import type { RequestDirectives } from '../../http/request-directives.js'
import type { Recording } from '../../http/recording.js'
import type { Reason } from '../../reasons.js'
import { Tally } from '../../observers/tally.js'
import { RequestFacts } from '../request/facts.js'
import type { CoalescedRoute } from '../request/route.js'

export class RequestScout extends RequestFacts implements Scout<Recording> {
  readonly decided: Promise<void>
  /** The cached response that its lookup came upon. */
  found: Found | undefined
  /** What protection would say of its run; undefined if it was not asked. */
  permission: 'runs' | 'waits' | Refusal | undefined
  /** Why that run would be for its own client only. */
  alone: Reason | undefined
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

  constructor (route: CoalescedRoute, reply: FastifyReply, directives: RequestDirectives) {
    super(route, reply)
    this.directives = directives
    let decide!: () => void
    this.decided = new Promise(resolve => { decide = resolve })
    this.run = this.give = this.refuse = this.cancel = this.joined = this.readAddress = decide
    this.record = this.plan = decide as () => never
    const { cache } = route
    this.#cache = {
      ...NO_CACHE,
      standIn: fallback => cache.standIn(fallback),
      mayRefresh: key => cache.mayRefresh(key),
      lookUp: key => cache.peek(key, this, found => { this.found = found })
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
      wouldProbe: subject => protection.wouldProbe(subject),
      foresee: (subject, level) => protection.foresee(subject, level),
      ask: ({ level, subject }) => {
        const { role } = this
        if (role.type === 'queued') this.alone = role.as?.reason
        this.permission = protection.foresee(subject, level)
        return typeof this.permission === 'string' ? NO_PERMIT : this.permission
      }
    }
  }

  override get cache (): ResultCache<Recording> {
    return this.#cache
  }
}
