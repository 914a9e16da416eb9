/**
 * What a write or a purge puts an end to.
 *
 * Invariant: nobody who comes after it is given what was read before it, from the cache or from a flight. Those on board stay. What
 * it costs does not grow with what is cached, nor with the flights in the air.
 */
import type { GuardedStore } from '../../engine/cache/guarded-store.js'
import type { Conductor } from '../../engine/conductor.js'
import { pathLabel } from '../../http/labels.js'
import type { Recording } from '../../http/recording.js'

export class Barrier {
  /** Some route caches responses. */
  caches = false
  readonly #conductor: Conductor<Recording>
  readonly #guarded: GuardedStore
  readonly #purgesOnWrite: boolean

  constructor (conductor: Conductor<Recording>, guarded: GuardedStore, purgesOnWrite: boolean) {
    this.#conductor = conductor
    this.#guarded = guarded
    this.#purgesOnWrite = purgesOnWrite
  }

  /** Nobody joins a flight for `path` that is in the air now. */
  fence (path: string): void {
    const label = pathLabel(path)
    this.#conductor.flights.fence(label)
    if (this.#purgesOnWrite) this.#purge([label], false)
  }

  /** Serves nothing any more that has one of these labels, or (softly) only as stale; and what is in the air is for who is on board. */
  purge (labels: readonly string[], softly: boolean): void {
    this.#purge(labels, softly)
    this.#conductor.flights.fenceAll()
  }

  #purge (labels: readonly string[], softly: boolean): void {
    if (this.caches) this.#guarded.purge(labels, softly)
    this.#conductor.purged(labels, softly)
  }
}
