/**
 * Logs advice: what is new or still holds, at most once an hour for each id and route.
 *
 * Invariant: there is a timer only while there may be something to say: from the first request that was served in a way that advice is made
 * of, until a minute in which none was. Of a route nothing is kept but when its advice was logged, for an hour.
 */
import type { Clock } from '../../types/index.js'
import type { Log } from '../observers/observer.js'
import type { Reason } from '../reasons.js'
import { ADVICE } from '../warnings.js'
import { advise, warningOf } from './advise.js'
import type { RouteFacts } from './facts.js'

/** In milliseconds. */
const LOOK = 60_000
const AGAIN = 3_600_000

/** Why requests are served as they are where something is to be advised. Of what is never shared the route's own warning tells. */
const SIGNS: ReadonlySet<Reason> = new Set<Reason>([
  'observed', 'verified', 'split', 'wait-timeout', 'flight-timeout', 'too-large', 'max-waiters-per-key', 'max-waiters', 'max-flights',
  'queue-full', 'queue-timeout', 'evicted'
])

export class AdviceLog<Route> {
  readonly #clock: Clock
  readonly #log: Pick<Log, 'warn'>
  readonly #silenced: ReadonlySet<string>
  readonly #factsOf: (route: Route) => RouteFacts
  /** Those with a sign since the last look. */
  #routes = new Set<Route>()
  /** When advice was logged, by id and route. */
  readonly #logged = new Map<string, number>()
  #timer: unknown
  #isClosed = false

  constructor (clock: Clock, log: Pick<Log, 'warn'>, silenced: ReadonlySet<string>, factsOf: (route: Route) => RouteFacts) {
    this.#clock = clock
    this.#log = log
    this.#silenced = silenced
    this.#factsOf = factsOf
  }

  /** What is to be told why a request of the route was served as it was; undefined if nobody wants to know. */
  alarmOf (route: Route): ((reason: Reason) => void) | undefined {
    if (ADVICE.every(name => this.#silenced.has(name))) return undefined
    return reason => {
      if (!SIGNS.has(reason) || this.#isClosed) return
      this.#routes.add(route)
      this.#timer ??= this.#clock.setTimeout(() => { this.#look() }, LOOK)
    }
  }

  close (): void {
    this.#isClosed = true
    this.#clock.clearTimeout(this.#timer)
    this.#routes.clear()
    this.#logged.clear()
  }

  #look (): void {
    this.#timer = undefined
    const now = this.#clock.now()
    for (const [name, at] of this.#logged) if (now - at >= AGAIN) this.#logged.delete(name)
    const routes = [...this.#routes]
    this.#routes.clear()
    for (const advice of advise(routes.map(this.#factsOf), this.#silenced)) {
      const { confidence, evidence, id, kind, method, patch, route, text } = advice
      const name = `${id} ${method} ${route}`
      if (kind === 'nothing-shared' || this.#logged.has(name)) continue
      this.#logged.set(name, now)
      this.#log.warn({ coalesce: { event: warningOf(advice), id, method, route, evidence, confidence, ...patch !== undefined && { patch } } }, `coalesce: ${text}`)
    }
  }
}
