/**
 * The queues and breakers that protect the routes and functions of one registration.
 *
 * Invariant: what is made here ends with it. A queue or breaker that was given to it is only used.
 */
import type { Clock } from '../../types/index.js'
import { publishBreaker } from '../observers/breaker-events.js'
import type { Log } from '../observers/observer.js'
import { warn } from '../observers/warn.js'
import type { Breaker } from '../protection/breaker.js'
import { levelOf, type LevelOf, type NoLevel } from '../protection/levels.js'
import type { Protection } from '../protection/permits.js'
import { protect, type ProtectedBy } from '../protection/protect.js'
import type { Queue } from '../protection/queue.js'

/** What a route or function is to be protected by. */
export interface Protecting<Subject extends readonly unknown[]> extends ProtectedBy {
  readonly priority: string | ((...subject: Subject) => unknown) | undefined
}

/** What protects it. */
export interface Protected<Subject extends readonly unknown[]> {
  readonly protection: Protection
  /** Undefined where all are equally urgent. */
  readonly levelOf: LevelOf<Subject> | undefined
  readonly queue: Queue | undefined
  readonly breaker: Breaker | undefined
}

export class Protections {
  readonly queues = new Set<Queue>()
  readonly breakers = new Set<Breaker>()
  readonly #clock: Clock
  readonly #log: Log
  readonly #watch: (breaker: Breaker) => () => void
  readonly #ends: Array<() => void> = []

  /**
   * @param log for what a `priority` function answers that is no level
   * @param watch begins to watch a breaker, and returns what ends that
   */
  constructor (clock: Clock, log: Log, watch: (breaker: Breaker) => () => void = () => () => {}) {
    this.#clock = clock
    this.#log = log
    this.#watch = watch
  }

  /** @param name of the route or function */
  of<Subject extends readonly unknown[]> (settings: Protecting<Subject>, name: string): Protected<Subject> {
    const { breaker, close, protection, queue } = protect(settings, this.#clock, name)
    this.#ends.push(close)
    if (breaker !== undefined && !this.breakers.has(breaker)) {
      this.breakers.add(breaker)
      publishBreaker(breaker)
      this.#ends.push(this.#watch(breaker))
    }
    if (queue === undefined) return { breaker, levelOf: undefined, protection, queue }
    this.queues.add(queue)
    return { breaker, levelOf: levelOf(settings.priority, queue.levels, this.#warnOnce(name, queue)), protection, queue }
  }

  close (): void {
    for (const end of this.#ends) end()
  }

  #warnOnce (route: string, { levels }: Queue): (what: NoLevel) => void {
    let isWarned = false
    return what => {
      if (isWarned) return
      isWarned = true
      if (what.type === 'threw') {
        warn(this.#log, what.error, { event: 'priority-threw', route }, 'coalesce: the priority function threw; its runs are of the middle level')
      } else {
        const fields = { event: 'priority-unknown', route, got: String(what.got).slice(0, 64), levels }
        this.#log.warn({ coalesce: fields }, `coalesce: the priority function answered no level of the queue (${levels.join(', ')}); its runs are of the middle level`)
      }
    }
  }
}
