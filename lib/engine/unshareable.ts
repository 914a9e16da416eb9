/**
 * Keys whose last response could not be shared (hit-for-miss): who comes meanwhile does not wait for nothing.
 *
 * Invariant: bounded, and each is forgotten after a while, or with the first response that can be shared. What is remembered is
 * true of one variant; who is of another is told apart from it by the first look in which they differ, for until then the run of
 * either goes the same way.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../types/index.js'
import { MEMORY } from './cache/memory.js'
import { sizeOfVariant, type Variant } from '../http/recording.js'
import type { Variants } from './variants.js'
import type { Visit } from './participant.js'

export class Unshareable {
  /** The variant, by the key and as much of it as is known there. */
  readonly #keys: LRUCache<string, Variant>
  readonly #variants: Variants

  constructor (clock: Clock, variants: Variants) {
    // To lru-cache a time of 0 is no time.
    const origin = clock.now() - 1
    this.#keys = new LRUCache<string, Variant>({
      ...MEMORY,
      sizeCalculation: (variant, key) => key.length + sizeOfVariant(variant) + 1,
      ttl: 1,
      ttlResolution: 0,
      perf: { now: () => clock.now() - origin }
    })
    this.#variants = variants
  }

  /** Whether the last response of a visit's variant could not be shared, or none of its key can. The key that it boards with tells it apart from others. */
  has (visit: Visit): boolean {
    if (this.#variants.isSpilt(visit)) return true
    if (this.#keys.size === 0) return false
    for (;;) {
      const { boardedKey } = visit
      const variant = this.#keys.get(boardedKey)
      if (variant === undefined) return false
      const place = variant.names.findIndex((name, index) => visit.value(name) !== variant.values[index])
      if (place < 0) return true
      const ttl = this.#keys.getRemainingTTL(boardedKey)
      // Else there is no telling them apart: too much is known of the key already.
      if (!this.#variants.learn(visit, variant.names.slice(place, place + 1))) return true
      visit.boardedKey = this.#variants.keyOf(visit)
      this.#keys.delete(boardedKey)
      this.#keys.set(this.#variants.keyOf({ key: visit.key, value: name => valueIn(variant, name, visit) }), variant, { ttl })
    }
  }

  /** @param ttl for how many milliseconds */
  remember (visit: Visit, variant: Variant, ttl: number): void {
    this.#keys.set(this.#variants.keyOf(visit), variant, { ttl })
  }

  /** A response of a visit's variant can be shared. */
  forget (visit: Visit): void {
    if (this.#keys.size === 0) return
    this.#keys.delete(visit.boardedKey)
    // More may be known of its key than when it boarded.
    this.#keys.delete(this.#variants.keyOf(visit))
  }
}

/** Of one that boarded under the key of `visit`, so that the two agree in what a variant says nothing of. */
function valueIn ({ names, values }: Variant, name: string, visit: Visit): string | null {
  const place = names.indexOf(name)
  return place < 0 ? visit.value(name) : values[place] as string | null
}
