/**
 * Makes the protection of a route or function of what it is given: a queue and a breaker, made ones or options of its own.
 *
 * Invariant: without either there is none, and nothing is asked.
 */
import type { Clock } from '../../types/index.js'
import { Breaker, type BreakerSettings } from './breaker.js'
import { Guard, NO_CIRCUITS, NO_SLOTS } from './guard.js'
import { NO_PROTECTION, type Protection } from './permits.js'
import { Queue, type QueueSettings } from './queue.js'

interface WithClock {
  readonly clock: Clock | undefined
}

export interface ProtectedBy {
  readonly queue: Queue | (QueueSettings & WithClock) | undefined
  readonly breaker: Breaker | (BreakerSettings & WithClock) | undefined
}

/** What protects a route or function. */
export interface Made {
  readonly protection: Protection
  readonly queue: Queue | undefined
  readonly breaker: Breaker | undefined
  /** Clears timers that are set for nobody. */
  readonly close: () => void
}

const NOTHING: Made = Object.freeze({ protection: NO_PROTECTION, queue: undefined, breaker: undefined, close () {} })

/** @param name for what has no name of its own */
export function protect ({ breaker: ofBreaker, queue: ofQueue }: ProtectedBy, clock: Clock, name: string): Made {
  if (ofQueue === undefined && ofBreaker === undefined) return NOTHING
  const queue = ofQueue === undefined || ofQueue instanceof Queue
    ? ofQueue
    : new Queue(ofQueue, ofQueue.clock ?? clock, ofQueue.name ?? name)
  const breaker = ofBreaker === undefined || ofBreaker instanceof Breaker
    ? ofBreaker
    : new Breaker(ofBreaker, ofBreaker.clock ?? clock, ofBreaker.name ?? name)
  const guard = new Guard(breaker ?? NO_CIRCUITS, queue ?? NO_SLOTS, clock)
  return {
    protection: guard,
    queue,
    breaker,
    close () {
      queue?.sweep()
      guard.sweep()
    }
  }
}
