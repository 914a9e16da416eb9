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
import { giveBack, NO_PERMIT, NO_PROTECTION, type Permission, type Permit, type Place } from '../protection/permits.js'
import { Refresh } from './refresh.js'
import type { Variants } from './variants.js'

export class Caching<R> {
  readonly #clock: Clock
  readonly #observer: Observer
  readonly #variants: Variants
  /** Gives up the refreshes that wait for a permit. */
  readonly #waiting = new Set<() => void>()

  constructor (clock: Clock, observer: Observer, variants: Variants) {
    this.#clock = clock
    this.#observer = observer
    this.#variants = variants
  }

  /** Stores the complete result of a participant that leads, or refreshes. */
  keep (participant: Participant<R>, recording: R): void {
    const { refusal, role } = participant
    if (refusal !== undefined) return
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
   * processes have the same cache, one of them refreshes. Returns whether it has begun, or waits for that.
   */
  refresh (participant: Participant<R>, stale: R): boolean {
    const { boardedKey: key, cache, coordinator, labels, limits: { flightTimeout }, protection, protection: { patience } } = participant
    // Other processes must not be kept from a refresh by one that may not begin it.
    if (!participant.refreshable || protection.refusalFor(participant.subject) !== undefined || !cache.beginRefresh(key)) return false
    const claim = cache.shared
      ? coordinator.claimRefresh({ key, labels: [...labels, EVERY_FLIGHT], leadsFor: patience + flightTimeout })
      : NO_LEASE
    if (claim === NO_LEASE) return this.#ask(participant, stale, NO_LEASE)
    const go = (lease: Lease<R> | undefined): void => {
      if (lease === undefined) cache.endRefresh(key, false)
      else this.#ask(participant, stale, lease)
    }
    Promise.resolve(claim).then(go, () => { go(NO_LEASE) })
    return true
  }

  /** Gives up the refreshes that wait. For an app that closes: the queue may be that of others as well. */
  close (): void {
    for (const giveUp of this.#waiting) giveUp()
    this.#waiting.clear()
  }

  /** Has a refresh pass protection. One that is refused has not failed: the next stale hit tries again. */
  #ask (participant: Participant<R>, stale: R, lease: Lease<R>): boolean {
    const { boardedKey, cache, flightTimeout: runTimeout, level, protection } = participant
    const drop = (): void => {
      lease.release()
      cache.endRefresh(boardedKey, false)
    }
    const go = (permission: Permission): boolean => {
      if (permission.type === 'granted') this.#refresh(participant, stale, lease, permission)
      else drop()
      return permission.type === 'granted'
    }
    if (protection === NO_PROTECTION) return go(NO_PERMIT)
    const giveUp = (): void => {
      (answer as Place).leave()
      drop()
    }
    const answered = (permission: Permission): void => {
      if (this.#waiting.delete(giveUp)) go(permission)
      else giveBack(permission)
    }
    const answer = protection.ask({ level, subject: participant.subject, runTimeout, isRefresh: true, answered })
    if (answer.type !== 'waits') return go(answer)
    this.#waiting.add(giveUp)
    return true
  }

  #refresh (participant: Participant<R>, stale: R, lease: Lease<R>, permit: Permit): void {
    const { boardedKey, cache, limits: { flightTimeout } } = participant
    const refresh = new Refresh(participant.key, boardedKey, stale, cache.stamp())
    refresh.permit = permit
    const end = (error?: unknown): void => {
      permit.release()
      if (refresh.over) return
      refresh.over = true
      this.#clock.clearTimeout(timer)
      lease.release()
      cache.endRefresh(boardedKey, refresh.result === 'failed')
      this.#observer.refreshed(participant, refresh.result, error)
    }
    const timer = this.#clock.setTimeout(() => {
      const error = new FlightTimeoutError(flightTimeout)
      permit.tell({ status: undefined, error })
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
