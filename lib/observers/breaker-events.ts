/**
 * Tells of circuit breakers that open and close: in the log of each registration that uses one, and on the diagnostics channel
 * `fastify-coalesce:breaker`.
 *
 * Invariant: a breaker that opens is warned of once, until all of its circuits are closed again. What `by` answers is never told. Each
 * change is published once, however many use the breaker.
 */
import { channel } from 'node:diagnostics_channel'
import type { BreakerState, CircuitBreaker } from '../../types/index.js'
import type { Log } from './observer.js'

/** A breaker that can be listened to. */
export interface Turning extends Pick<CircuitBreaker, 'name' | 'state' | 'figures'> {
  /** @returns stops listening */
  listen (listener: (to: BreakerState, from: BreakerState) => void): () => void
}

const turns = channel('fastify-coalesce:breaker')
/** Those that are published: for as long as they live, whoever uses them. */
const published = new WeakSet<Turning>()

export function publishBreaker (breaker: Turning): void {
  if (published.has(breaker)) return
  published.add(breaker)
  const { name } = breaker
  breaker.listen((to, from) => {
    if (turns.hasSubscribers) turns.publish({ name, to, from })
  })
}

/** @returns ends that */
export function logBreaker (breaker: Turning, log: Log): () => void {
  const { name } = breaker
  let isWarnedOf = false
  return breaker.listen((to, from) => {
    if (to === 'open' && !isWarnedOf) {
      isWarnedOf = true
      const { retryAfter } = breaker.figures()
      log.warn({ coalesce: { event: 'breaker-open', breaker: name, retryAfter: Math.round(retryAfter) } },
        `coalesce: the circuit breaker ${name} has opened, and no run begins; unless it was opened by hand, one tries again in ${(retryAfter / 1000).toFixed(1)} s ` +
        '(fastify-coalesce/docs/why-is-nothing-shared.md#breaker-open)')
    } else if (to === 'closed' && isWarnedOf && breaker.state === 'closed') {
      isWarnedOf = false
      log.warn({ coalesce: { event: 'breaker-closed', breaker: name } }, `coalesce: the circuit breaker ${name} is closed again: runs begin as before`)
    } else {
      log.debug({ coalesce: { event: `breaker-${to}`, breaker: name, from } }, `coalesce breaker-${to}`)
    }
  })
}
