/**
 * Keys whose last result could not be shared (hit-for-miss). Newcomers of such a key run without waiting.
 *
 * Invariant: bounded. A key is forgotten after a while, or with the first result that can be shared. An entry holds for one variant. A
 * participant of another variant is told apart by the first value in which they differ, because until a run reads that value, the runs
 * of both variants are the same.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../types/index.js'
import { MEMORY } from './cache/memory-limits.js'
import type { UnshareableReason } from '../reasons.js'
import { sizeOfVariant, type Variant } from '../variant.js'
import type { Varied, Variants } from './variants.js'

/** A variant whose last result was not shared, and why. */
interface Remembered extends Variant {
  readonly reason: UnshareableReason
}

/** A participant that boards. Its `boardedKey` says what is known of its variant. */
export interface Boarder extends Varied {
  boardedKey: string
}

/** What tells variants apart. */
export type Telling = Pick<Variants, 'hasOverflowed' | 'keyOf' | 'learn'>

export class Unshareable {
  /** Variants, by the key with as much of the variant as is known. */
  #known: LRUCache<string, Remembered> | undefined
  readonly #clock: Clock
  readonly #variants: Variants

  constructor (clock: Clock, variants: Variants) {
    this.#clock = clock
    this.#variants = variants
  }

  /** Whether this is remembered of a key that has no known variants. */
  knows (key: string): boolean {
    return this.#known?.has(key) === true
  }

  /**
   * Why the last result of a boarder's variant could not be shared; undefined if it could. Extends its `boardedKey` where that tells
   * variants apart.
   *
   * @param supposed given to ask for show: stands for what is known of variants, and nothing is written
   */
  reasonFor (boarder: Boarder, supposed?: Telling): UnshareableReason | undefined {
    const variants = supposed ?? this.#variants
    if (variants.hasOverflowed(boarder)) return 'varies-too-much'
    const known = this.#known
    if (known === undefined || known.size === 0) return undefined
    for (;;) {
      const { boardedKey } = boarder
      const variant = known.get(boardedKey)
      if (variant === undefined) return undefined
      const place = variant.names.findIndex((name, index) => boarder.value(name) !== variant.values[index])
      if (place < 0) return variant.reason
      const ttl = known.getRemainingTTL(boardedKey)
      // Otherwise the key has too many names already, and the two cannot be told apart.
      if (!variants.learn(boarder, variant.names.slice(place, place + 1))) return variant.reason
      boarder.boardedKey = variants.keyOf(boarder)
      if (supposed !== undefined) continue
      known.delete(boardedKey)
      known.set(this.#variants.keyOf({ key: boarder.key, value: name => valueIn(variant, name, boarder) }), variant, { ttl })
    }
  }

  /** How much longer the reason for a boarder holds, in milliseconds. */
  timeLeft (boarder: Boarder): number {
    return this.#known?.getRemainingTTL(boarder.boardedKey) || this.#variants.overflowsFor(boarder)
  }

  /** Made when it is needed: an LRU cache allocates room for all of its entries at once. */
  #memory (): LRUCache<string, Remembered> {
    // lru-cache takes a start time of 0 for none.
    const origin = this.#clock.now() - 1
    return new LRUCache<string, Remembered>({
      ...MEMORY,
      sizeCalculation: (variant, key) => key.length + sizeOfVariant(variant) + 1,
      ttl: 1,
      ttlResolution: 0,
      perf: { now: () => this.#clock.now() - origin }
    })
  }

  /** @param ttl for how many milliseconds */
  remember (boarder: Boarder, { names, values }: Variant, reason: UnshareableReason, ttl: number): void {
    (this.#known ??= this.#memory()).set(this.#variants.keyOf(boarder), { names, values, reason }, { ttl })
  }

  /** A result of a boarder's variant can be shared. Returns whether another was known of it. */
  forget (boarder: Boarder): boolean {
    const known = this.#known
    if (known === undefined || known.size === 0) return false
    const asItBoarded = known.delete(boarder.boardedKey)
    // More may be known of its key than when it boarded.
    return known.delete(this.#variants.keyOf(boarder)) || asItBoarded
  }
}

/** A value of a variant. What the variant does not name is as in `boarder`, which boards under the same key. */
function valueIn ({ names, values }: Variant, name: string, boarder: Boarder): string | null {
  const place = names.indexOf(name)
  return place < 0 ? boarder.value(name) : values[place] as string | null
}
