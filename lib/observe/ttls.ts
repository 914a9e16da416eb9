/**
 * What a cache would have done with the requests of a route, for some values of `ttl`.
 *
 * Invariant: bounded; of a key that another has taken the place of, the next request counts as a miss.
 */
import type { SimulatedTtl } from '../../types/index.js'
import type { Room } from './room.js'
import { Table } from './table.js'

const TTLS: readonly number[] = Object.freeze([1000, 5000, 30_000, 300_000])
const MOST_KEYS = 512
/** Fewer requests say nothing. */
const FEWEST = 30

export class Ttls {
  readonly #table: Table
  readonly #hits = TTLS.map(() => 0)
  readonly #wrong = TTLS.map(() => 0)
  #requests = 0

  constructor (room: Room) {
    this.#table = new Table(TTLS.length * 2, MOST_KEYS, room)
  }

  /** @param outcome stands for the response */
  see (key: number, at: number, outcome: number): void {
    const place = this.#table.placeOf(key)
    if (place < 0) return
    this.#requests++
    const isKnown = this.#table.has(place, key)
    this.#table.claim(place, key)
    TTLS.forEach((ttl, index) => {
      if (isKnown && this.#table.get(place, index * 2) >= at) {
        this.#hits[index]!++
        if (this.#table.get(place, index * 2 + 1) !== outcome) this.#wrong[index]!++
      } else {
        this.#table.set(place, index * 2, at + ttl)
        this.#table.set(place, index * 2 + 1, outcome)
      }
    })
  }

  /** Responses are compared with other eyes from now on. */
  reset (): void {
    this.#table.clear()
    this.#hits.fill(0)
    this.#wrong.fill(0)
    this.#requests = 0
  }

  findings (): readonly SimulatedTtl[] {
    if (this.#requests < FEWEST) return []
    return TTLS.map((ttl, index) => {
      const [hits, wrong] = [this.#hits[index] as number, this.#wrong[index] as number]
      return { ttl, hits: hits / this.#requests, wrong: hits === 0 ? 0 : wrong / hits }
    })
  }
}
