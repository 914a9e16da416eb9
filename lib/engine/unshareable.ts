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
import { sizeOfVariant, type Variant } from '../variant.js'
import type { Varied, Variants } from './variants.js'

/** Who boards under a key that says what is known of its variant. */
export interface Boarder extends Varied {
  boardedKey: string
}

export class Unshareable {
  /** The variant, by the key and as much of it as is known there. */
  #known: LRUCache<string, Variant> | undefined
  readonly #clock: Clock
  readonly #variants: Variants

  constructor (clock: Clock, variants: Variants) {
    this.#clock = clock
    this.#variants = variants
  }

  /** Whether the last response of a boarder's variant could not be shared, or none of its key can. The key that it boards with tells it apart from others. */
  has (boarder: Boarder): boolean {
    if (this.#variants.isSpilt(boarder)) return true
    const known = this.#known
    if (known === undefined || known.size === 0) return false
    for (;;) {
      const { boardedKey } = boarder
      const variant = known.get(boardedKey)
      if (variant === undefined) return false
      const place = variant.names.findIndex((name, index) => boarder.value(name) !== variant.values[index])
      if (place < 0) return true
      const ttl = known.getRemainingTTL(boardedKey)
      // Else there is no telling them apart: too much is known of the key already.
      if (!this.#variants.learn(boarder, variant.names.slice(place, place + 1))) return true
      boarder.boardedKey = this.#variants.keyOf(boarder)
      known.delete(boardedKey)
      known.set(this.#variants.keyOf({ key: boarder.key, value: name => valueIn(variant, name, boarder) }), variant, { ttl })
    }
  }

  /** Room for the places of all is taken at once, so not before there is one. */
  #memory (): LRUCache<string, Variant> {
    // To lru-cache a time of 0 is no time.
    const origin = this.#clock.now() - 1
    return new LRUCache<string, Variant>({
      ...MEMORY,
      sizeCalculation: (variant, key) => key.length + sizeOfVariant(variant) + 1,
      ttl: 1,
      ttlResolution: 0,
      perf: { now: () => this.#clock.now() - origin }
    })
  }

  /** @param ttl for how many milliseconds */
  remember (boarder: Boarder, variant: Variant, ttl: number): void {
    (this.#known ??= this.#memory()).set(this.#variants.keyOf(boarder), variant, { ttl })
  }

  /** A response of a boarder's variant can be shared. */
  forget (boarder: Boarder): void {
    const known = this.#known
    if (known === undefined || known.size === 0) return
    known.delete(boarder.boardedKey)
    // More may be known of its key than when it boarded.
    known.delete(this.#variants.keyOf(boarder))
  }
}

/** Of one that boarded under the key of `boarder`, so that the two agree in what a variant says nothing of. */
function valueIn ({ names, values }: Variant, name: string, boarder: Boarder): string | null {
  const place = names.indexOf(name)
  return place < 0 ? boarder.value(name) : values[place] as string | null
}
