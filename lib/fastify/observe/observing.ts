/**
 * What the observed routes of one registration have together: what comparing may cost, and who would lead, and what would be cached, now.
 *
 * Invariant: bounded. Who would lead is in the air; of what would be cached there are digests, and the oldest go first.
 */
import { createHash } from 'node:crypto'
import type { Clock } from '../../../types/index.js'
import { Allowance } from '../../observe/allowance.js'
import type { ObserveSettings } from '../../options/observe-options.js'
import type { Varying } from '../../variant.js'
import type { ObservedRoute } from './observed-route.js'

/** Who would lead. */
export interface Ahead extends Varying {
  /** The keys, with their variants, of those who would have followed it, had they not turned out to be other variants: they would have led. */
  splits: Set<string> | undefined
}

/** The most responses of which it is known for how long they would be cached. */
const MOST_KEPT = 4_096

export class Observing {
  readonly clock: Clock
  readonly allowance: Allowance
  readonly routes: ObservedRoute[] = []
  /** Those whose responses are compared: HEAD rides along with GET. */
  readonly compared: ObservedRoute[] = []
  /** Who would lead, by key and variant. */
  readonly #leaders = new Map<string, Ahead>()
  /** Until when a response would be cached, by the clock. */
  readonly #kept = new Map<string, number>()

  constructor ({ budget, maxBytes }: Pick<ObserveSettings, 'budget' | 'maxBytes'>, clock: Clock) {
    this.clock = clock
    this.allowance = new Allowance({ budget, maxBytes, clock })
  }

  add (route: ObservedRoute): void {
    this.routes.push(route)
    if (route.tally.method !== 'HEAD') this.compared.push(route)
  }

  leaderOf (key: string): Ahead | undefined {
    return this.#leaders.get(key)
  }

  lead (key: string, leader: Ahead): void {
    this.#leaders.set(key, leader)
  }

  /** Newcomers would not follow it any more. */
  land (key: string, leader: Ahead): void {
    if (this.#leaders.get(key) === leader) this.#leaders.delete(key)
  }

  /** A response would be cached for so many milliseconds. */
  keep (key: string, freshFor: number): void {
    const short = digest(key)
    this.#kept.delete(short)
    this.#kept.set(short, this.clock.now() + freshFor)
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(this.#kept.keys().next().value as string)
  }

  /** Whether a response would be cached, and fresh. */
  isKept (key: string): boolean {
    return (this.#kept.get(digest(key)) ?? -Infinity) > this.clock.now()
  }

  close (): void {
    this.allowance.close()
  }
}

function digest (key: string): string {
  return createHash('sha256').update(key).digest('base64url')
}
