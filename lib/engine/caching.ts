/**
 * Stores the results of runs, and refreshes stale results in the background.
 *
 * Invariant: a refresh answers no participant. Its result reaches a client only from the cache.
 */
import type { Clock } from '../../types/index.js'
import { FlightTimeoutError } from '../errors.js'
import type { Observer } from '../observers/observer.js'
import { EVERY_FLIGHT } from './coordinators/coordinator.js'
import { NO_LEASE, type Lease } from './coordinators/lease.js'
import type { Participant } from './participant.js'
import { Refresh } from './refresh.js'
import type { Variants } from './variants.js'

export class Caching<R> {
  readonly #clock: Clock
  readonly #observer: Observer
  readonly #variants: Variants

  constructor (clock: Clock, observer: Observer, variants: Variants) {
    this.#clock = clock
    this.#observer = observer
    this.#variants = variants
  }

  /** Stores the complete result of a participant that leads, or refreshes. */
  keep (participant: Participant<R>, recording: R): void {
    const { role } = participant
    if (role.type === 'refresher') this.storeRefreshed(participant, recording, role.refresh)
    if (role.type !== 'leader' && role.type !== 'landed') return
    participant.storedFor = this.#store(participant, recording, role.startedAt, participant.missed?.stale !== undefined)
  }

  /** Stores the complete result of a refresh. */
  storeRefreshed (participant: Participant<R>, recording: R, refresh: Refresh<R>): void {
    if (refresh.over) return
    const storedFor = this.#store(participant, recording, refresh.startedAt, true)
    refresh.result = storedFor === undefined ? 'not-kept' : participant.revalidated ? 'revalidated' : 'refreshed'
  }

  /**
   * Refreshes a stale result in the background, unless a refresh of it is running or its last run failed a short while ago. If other
   * processes have the same cache, one of them refreshes.
   */
  refresh (participant: Participant<R>, stale: R): void {
    const { boardedKey: key, cache, coordinator, labels, limits: { flightTimeout } } = participant
    if (!participant.refreshable || !cache.beginRefresh(key)) return
    const claim = cache.shared
      ? coordinator.claimRefresh({ key, labels: [...labels, EVERY_FLIGHT], leadsFor: flightTimeout })
      : NO_LEASE
    if (claim === NO_LEASE) {
      this.#refresh(participant, stale, NO_LEASE)
      return
    }
    const go = (lease: Lease<R> | undefined): void => {
      if (lease === undefined) cache.endRefresh(key, false)
      else this.#refresh(participant, stale, lease)
    }
    Promise.resolve(claim).then(go, () => { go(NO_LEASE) })
  }

  #refresh (participant: Participant<R>, stale: R, lease: Lease<R>): void {
    const { boardedKey, cache, limits: { flightTimeout } } = participant
    const refresh = new Refresh(participant.key, boardedKey, stale, cache.stamp())
    const end = (error?: unknown): void => {
      if (refresh.over) return
      refresh.over = true
      this.#clock.clearTimeout(timer)
      lease.release()
      cache.endRefresh(boardedKey, refresh.result === 'failed')
      this.#observer.refreshed(participant, refresh.result, error)
    }
    const timer = this.#clock.setTimeout(() => {
      const error = new FlightTimeoutError(flightTimeout)
      end(error)
      refresh.cancel(error)
    }, flightTimeout)
    participant.refresh(refresh).then(() => { end() }, end)
  }

  #store (participant: Participant<R>, recording: R, startedAt: number, replaces: boolean): number | undefined {
    const storing = {
      key: this.#variants.keyOf(participant), plainKey: participant.key, names: this.#variants.namesOf(participant.key), startedAt, replaces
    }
    return participant.cache.store(storing, now => participant.plan(recording, startedAt, now))
  }
}
