/**
 * What a write or a purge puts an end to.
 *
 * Invariant: nobody who comes after it is given what was read before it, from the shelf or from a flight. Those on board stay. What
 * it costs does not grow with what is kept, nor with the flights in the air.
 */
import type { Flights } from './flights/flights.js'
import { pathLabel } from '../http/labels.js'
import type { Recording } from '../http/recording.js'
import type { Keeper } from '../fastify/cache/response-cache.js'

export class Barrier {
  readonly #flights: Flights<Recording>
  readonly #keeper: Keeper
  readonly #purgesOnWrite: boolean

  constructor (flights: Flights<Recording>, keeper: Keeper, purgesOnWrite: boolean) {
    this.#flights = flights
    this.#keeper = keeper
    this.#purgesOnWrite = purgesOnWrite
  }

  /** Nobody joins a flight for `path` that is in the air now. */
  fence (path: string): void {
    const label = pathLabel(path)
    this.#flights.fence(label)
    if (this.#purgesOnWrite) this.#keeper.purge([label], false)
  }

  /** Serves nothing any more that has one of these labels, or (softly) only as stale; and what is in the air is for who is on board. */
  purge (labels: readonly string[], softly: boolean): void {
    this.#keeper.purge(labels, softly)
    this.#flights.fenceAll()
  }
}
