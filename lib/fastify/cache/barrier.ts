/**
 * What a write or a purge ends: the use of older results by newer requests.
 *
 * Invariant: a request that comes after it gets no result that was read before it, neither from the cache nor from a flight. Requests
 * on board stay. Its cost does not grow with the number of cached entries or flights.
 */
import type { GuardedStore } from '../../engine/cache/guarded-store.js'
import type { Conductor } from '../../engine/conductor.js'
import { EVERY_FLIGHT, type Coordinator } from '../../engine/coordinators/coordinator.js'
import { isKey, isPathLabel, pathLabel } from '../../http/labels.js'
import type { Recording } from '../../http/recording.js'

export class Barrier {
  /** Some route caches responses. */
  caches = false
  readonly #conductor: Conductor<Recording>
  readonly #guarded: GuardedStore
  readonly #purgesOnWrite: boolean
  readonly #coordinator: Coordinator<Recording>

  constructor (conductor: Conductor<Recording>, guarded: GuardedStore, purgesOnWrite: boolean, coordinator: Coordinator<Recording>) {
    this.#conductor = conductor
    this.#guarded = guarded
    this.#purgesOnWrite = purgesOnWrite
    this.#coordinator = coordinator
  }

  /** New requests join no flight for `path` that is in the air now. */
  fence (path: string): void {
    const label = pathLabel(path)
    this.#conductor.flights.fence(label)
    this.#coordinator.fenced([label])
    if (this.#purgesOnWrite) this.#purge([label], false)
  }

  /** Entries with one of these labels are served no more, or (softly) only as stale. New requests join no flight that is in the air now. */
  purge (labels: readonly string[], softly: boolean): void {
    this.#purge(labels, softly)
    this.#conductor.flights.fenceAll()
    this.#coordinator.fenced([EVERY_FLIGHT])
  }

  /**
   * Another process has purged this: new requests join no flight that is in the air now. Which tags a response has is known at its end only.
   *
   * @param labels undefined if it is not known what
   */
  purged (labels: readonly string[] | undefined): void {
    const { flights } = this.#conductor
    // That one entry is out of date says nothing of runs that are under way.
    const wide = labels?.filter(label => !isKey(label))
    if (wide?.every(isPathLabel) !== true) flights.fenceAll()
    else for (const label of wide) flights.fence(label)
  }

  #purge (labels: readonly string[], softly: boolean): void {
    if (this.caches || this.#guarded.isShared) this.#guarded.purge(labels, softly)
    this.#coordinator.purged(labels, softly)
  }
}
