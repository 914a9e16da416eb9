/**
 * Makes run queues and circuit breakers that routes and functions share.
 *
 * Invariant: whoever is given the same one shares it; no two have a name that nobody gave.
 */
import type { BreakerOptions, CircuitBreaker, QueueOptions, RunQueue } from '../../types/index.js'
import { systemClock } from '../clock.js'
import { Breaker } from '../protection/breaker.js'
import { Queue } from '../protection/queue.js'
import { forCaller } from './parsers.js'
import { readBreaker, readQueue } from './protection-options.js'

let queues = 0
let breakers = 0

/**
 * Makes a run queue for the `queue` option of routes and functions: all that are given it together have at most `maxRuns` runs under way.
 *
 * @throws FST_COALESCE_INVALID_OPTION if an option is wrong
 * @example
 * const database = runQueue({ maxRuns: 20, name: 'database' })
 * app.get('/word/:word', { config: { coalesce: { queue: database } } }, async request => await lookUp(request.params.word))
 */
export function runQueue (options: QueueOptions): RunQueue {
  return forCaller(runQueue, () => {
    const setup = readQueue(options, 'runQueue options')
    return new Queue(setup, setup.clock ?? systemClock, setup.name ?? `queue-${++queues}`)
  })
}

/**
 * Makes a circuit breaker for the `breaker` option of routes and functions: the runs of all that are given it count together, and while it is
 * open none of them has one.
 *
 * @throws FST_COALESCE_INVALID_OPTION if an option is wrong
 * @example
 * const database = circuitBreaker({ consecutive: 5, name: 'database' })
 * app.get('/word/:word', { config: { coalesce: { breaker: database } } }, async request => await lookUp(request.params.word))
 */
export function circuitBreaker<By extends readonly unknown[] = readonly unknown[]> (options: BreakerOptions<By> = {}): CircuitBreaker {
  return forCaller(circuitBreaker, () => {
    const setup = readBreaker(options, 'circuitBreaker options')
    return new Breaker(setup, setup.clock ?? systemClock, setup.name ?? `breaker-${++breakers}`)
  })
}
