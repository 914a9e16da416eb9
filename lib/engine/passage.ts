/**
 * A leader and its protection: its run takes off, waits for that, or is refused.
 *
 * Invariant: while a leader waits for a permit, its flight may end. It is then stranded, and runs for its own client with that permit. Whoever
 * takes the place of a leader takes its slot, or its place among those who wait for one.
 */
import type { Cached } from './cache/lookup.js'
import { NO_LEASE } from './coordinators/lease.js'
import type { Flight } from './flights/flight.js'
import type { Participant } from './participant.js'
import type { Parts } from './parts.js'
import { giveBack, NO_PROTECTION, type Permission, type Refusal } from '../protection/permits.js'
import { leadsSince, type Preparing } from './role.js'
import type { Solos } from './solo.js'

/** Lets a leader whose run is refused wait for a run of another process; false if that cannot be. Without such a run, `otherwise` is called. */
export type FollowInstead<R> = (leader: Participant<R>, otherwise: () => void) => boolean

export class Passage<R> {
  readonly #parts: Pick<Parts<R>, 'caching' | 'observer' | 'variants'>
  readonly #solos: Solos<R>
  readonly #followInstead: FollowInstead<R>

  constructor (parts: Pick<Parts<R>, 'caching' | 'observer' | 'variants'>, solos: Solos<R>, followInstead: FollowInstead<R>) {
    this.#parts = parts
    this.#solos = solos
    this.#followInstead = followInstead
  }

  pass (leader: Participant<R>): 'run' | 'park' {
    const { protection } = leader
    if (protection === NO_PROTECTION) return this.#start(leader)
    const { flightTimeout: runTimeout, level, subject } = leader
    if (protection.wouldProbe(subject) && this.#isProbedByRefresh(leader)) return 'park'
    const flight = leader.flight as Flight<R, Participant<R>>
    const { lastLeader } = flight
    const role: Preparing = { type: 'preparing' }
    leader.role = role
    const answered = (permission: Permission): void => { this.#later(leader, role, permission) }
    if (lastLeader?.place !== undefined) {
      const place = leader.place = lastLeader.place
      lastLeader.place = undefined
      place.handOver(answered)
      flight.wait()
      return 'park'
    }
    const answer = protection.ask({ level, subject, runTimeout, isRefresh: false, answered }, lastLeader?.permit.passOn())
    if (answer.type !== 'waits') return this.#answered(leader, answer)
    leader.place = answer
    flight.hold(answer)
    return 'park'
  }

  /** It has waited for this. */
  #later (leader: Participant<R>, role: Preparing, permission: Permission): void {
    if (leader.role === role) {
      leader.place = undefined
      this.#solos.goOn(leader, this.#answered(leader, permission))
    } else if (leader.role.type === 'stranded') {
      leader.place = undefined
      this.#solos.runStranded(leader, permission)
    } else {
      giveBack(permission)
    }
  }

  #answered (leader: Participant<R>, permission: Permission): 'run' | 'park' {
    if (permission.type === 'refused') return this.#refused(leader, permission)
    leader.permit = permission
    leader.heldFor = 0
    leader.flight?.takeOff()
    return this.#start(leader)
  }

  /** A leader's run begins. */
  #start (leader: Participant<R>): 'run' {
    this.#lead(leader)
    leader.tally.runs++
    this.#parts.observer.started(leader)
    return 'run'
  }

  #lead (leader: Participant<R>): void {
    leader.role = leadsSince(leader.cache.stamp())
    const company = this.#parts.variants.companyOf(leader.key)
    if (company !== leader.company) leader.company = company
  }

  /** Its run would try whether what is behind is up again. If it can have a stale result meanwhile, a refresh does that. */
  #isProbedByRefresh (leader: Participant<R>): boolean {
    const cached = leader.cache.standIn(leader.missed?.fallback)
    if (cached === undefined || !this.#parts.caching.refresh(leader, cached.recording)) return false
    this.#serve(leader, { ...cached, reason: 'breaker-probing' })
    return true
  }

  #refused (leader: Participant<R>, refusal: Refusal): 'run' | 'park' {
    const cached = leader.cache.standIn(leader.missed?.fallback)
    if (cached !== undefined) return this.#serve(leader, { ...cached, reason: refusal.reason })
    const isAsked = this.#followInstead(leader, () => { this.#solos.goOn(leader, this.#refuse(leader, refusal)) })
    return isAsked ? 'park' : this.#refuse(leader, refusal)
  }

  /** `run`: its fallback answers all on board. */
  #refuse (leader: Participant<R>, refusal: Refusal): 'run' | 'park' {
    leader.lease.release()
    leader.lease = NO_LEASE
    if (leader.hasFallback) {
      leader.refusal = refusal
      leader.heldFor = 0
      leader.flight?.takeOff()
      this.#lead(leader)
      return 'run'
    }
    leader.role = { type: 'refused', refusal }
    leader.flight?.land(leader, refusal)
    return 'park'
  }

  #serve (leader: Participant<R>, cached: Cached<R>): 'park' {
    leader.lease.release()
    leader.role = { type: 'served', cached }
    leader.flight?.land(leader, { type: 'cached', ...cached })
    return 'park'
  }
}
