/**
 * The conductor: the life of a participant, from its key to its outcome.
 *
 * Invariant: each participant that arrives gets one outcome, and is answered once: by its own run, or with a result that it may have.
 * A result is cached before its flight lands, so that a newcomer always finds one of the two.
 */
import type { Clock } from '../../types/index.js'
import { NobodyWaitsError } from '../errors.js'
import type { Subject } from '../observers/observer.js'
import type { AbandonedReason, BypassReason, Detail, Reason, UnshareableReason } from '../reasons.js'
import { NO_VARIANT, variantOf } from '../variant.js'
import type { ResultCache } from './cache/cache.js'
import { Caching } from './caching.js'
import { Endings } from './endings.js'
import { forgetElsewhere, pass } from './word.js'
import type { Flight } from './flights/flight.js'
import { Flights, type FlightLimits } from './flights/flights.js'
import { NOBODY_WAITS, type Landing } from './flights/landing.js'
import { pace } from './flights/pace.js'
import { leave, type LeaveReason } from './leave.js'
import { Live } from './live.js'
import { outcomeOf, Outcomes } from './outcome.js'
import type { Participant } from './participant.js'
import type { Seams } from './parts.js'
import type { Refresh } from './refresh.js'
import { ANSWERED, LANDED, STRANDED } from './role.js'
import { Unshareable } from './unshareable.js'
import { Variants } from './variants.js'

/** The roles of participants that get a fallback if their run fails. */
const OWN_RUN: ReadonlySet<string> = new Set(['leader', 'landed', 'solo', 'alone'])
/** Why followers are released while the run goes on. */
const NO_RESULT: ReadonlySet<Reason> = new Set(['disabled', 'hijacked'])

export class Conductor<R> {
  readonly flights: Flights<R, Participant<R>>
  readonly clock: Clock
  readonly variants: Variants
  /** Keys whose last result could not be shared. */
  readonly remembered: Unshareable
  /** True: no participant boards. */
  disabled = false
  readonly caching: Caching<R>
  readonly #endings: Endings<R>
  readonly #outcomes: Outcomes
  readonly live: Live<R>
  readonly #seams: Seams

  constructor (limits: FlightLimits, seams: Seams) {
    const { clock, observer } = this.#seams = seams
    this.clock = clock
    this.flights = new Flights(limits, clock, {
      settle: (follower, ending, flight) => { this.#endings.settle(follower, ending, flight) },
      isAnsweredBy: (follower, ending) => this.#endings.isAnsweredBy(follower, ending),
      overdue: leader => { this.#endings.overdue(leader) },
      aborted: (leader, reason) => { this.#endings.aborted(leader, reason) },
      outlasted: leader => { this.#endings.outlasted(leader) }
    })
    this.variants = new Variants(clock)
    this.#outcomes = new Outcomes(clock, observer)
    this.remembered = new Unshareable(clock, this.variants)
    this.caching = new Caching(clock, observer, this.variants)
    this.live = new Live(this.caching, this.variants)
    this.#endings = new Endings({
      ...seams,
      flights: this.flights,
      variants: this.variants,
      unshareable: this.remembered,
      caching: this.caching,
      outcomes: this.#outcomes
    })
  }

  /** Counts a participant that runs without boarding. */
  bypass (subject: Subject, reason: BypassReason, detail?: Detail): void {
    subject.tally.requests++
    subject.tally.runs++
    this.#seams.observer.settled(subject, 'bypass', reason, 0, detail)
  }

  /** The fresh result that a newcomer without conditions gets at once: nobody runs for its key, which has no known variants. Undefined: it boards. */
  freshFor (key: string, cache: ResultCache<R>): R | undefined {
    const fresh = cache.freshFor(key)
    return fresh === undefined || this.flights.has(key) || this.remembered.knows(key) || this.variants.hasNames(key) ? undefined : fresh
  }

  /** Counts one that gets a fresh result without boarding. */
  hit (subject: Subject): void {
    subject.tally.requests++
    subject.tally.saveMean()
    this.#seams.observer.settled(subject, 'hit', 'fresh', 0, undefined)
  }

  /** Boards a participant. True: it runs now; false: it waits. */
  arrive (participant: Participant<R>, key: string): boolean {
    participant.tally.requests++
    participant.key = key
    participant.waitingSince = this.clock.now()
    const place = this.#endings.departures.board(participant, participant.waitingSince)
    if (place === 'park') return false
    return place === 'run' || this.#endings.runSolo(participant, place) === 'run'
  }

  /** Has one that does not board run for itself, once protection lets it. True: it runs now; false: it waits. */
  passBy (participant: Participant<R>, reason: BypassReason, detail?: Detail): boolean {
    participant.tally.requests++
    participant.runner = participant
    participant.waitingSince = this.clock.now()
    return this.#endings.solos.pass(participant, { type: 'solo', startedAt: 0 }, { outcome: 'bypass', reason, detail }) === 'run'
  }

  /** A participant that did not run at once can be answered from now on. */
  parked (participant: Participant<R>): void {
    this.#endings.parked(participant)
  }

  /** Makes a participant the run of a refresh; false if its key is not the key of the refresh. */
  takeRefresh (participant: Participant<R>, refresh: Refresh<R>, key: string): boolean {
    participant.key = key
    participant.boardedKey = this.variants.keyOf(participant)
    if (participant.boardedKey !== refresh.boardedKey) return false
    participant.role = { type: 'refresher', refresh }
    participant.permit = refresh.permit
    participant.tally.runs++
    return true
  }

  /**
   * The run of a leader, a refresher or a probe came to a result that may be shared.
   *
   * @param names what the result depends on besides the key. It has been learned already
   * @param failed the run failed
   * @param joined given if the result is a live stream: the flight then stays open for newcomers until `close`. Called when all who
   * are on board read the stream
   */
  land (participant: Participant<R>, names: readonly string[], failed: boolean, joined?: () => void): void {
    const live = joined !== undefined
    const { cache, flight, limits, refusal, role } = participant
    if (!failed && refusal === undefined && this.remembered.forget(participant)) forgetElsewhere(participant)
    if (role.type === 'probe') participant.role = { ...role, type: 'solo' }
    if (role.type !== 'leader' && role.type !== 'refresher') return
    const waited = flight !== undefined && (live || participant.isRecorded)
    const stores = cache.stores && !live
    const recording = waited || stores ? participant.record(names) : undefined
    if (stores && recording !== undefined) this.caching.keep(participant, recording)
    if (role.type === 'refresher') return
    const type = failed ? 'failed' : 'shared'
    if (!waited || recording === undefined) {
      this.#land(participant, NOBODY_WAITS, type, type)
    } else if (failed && limits.onError === 'promote' && flight.promotions === 0 && flight.followers > 0 && mayRunAgain(participant)) {
      this.abandon(participant, 'failed')
    } else {
      // Newcomers of other processes are told if the key has turned out to have variants.
      const split = participant.boardedKey !== this.variants.keyOf(participant)
      const landing = { type, recording, took: refusal === undefined ? this.#took(participant, flight) : 0 } as const
      this.#land(participant, landing, type, type, joined)
      if (live) this.live.begun(participant, type, recording, names)
      else pass(participant, landing, names, split)
    }
  }

  /** A run failed. Returns the cached result for its client and for all who wait for it; undefined if there is none. */
  fallBack (participant: Participant<R>): R | undefined {
    const { cache, flight, missed, role } = participant
    const isOwn = OWN_RUN.has(role.type)
    const cached = isOwn ? cache.standIn(missed?.fallback) : undefined
    if (cached === undefined) return undefined
    participant.served = cached
    cache.failed(participant.boardedKey)
    // If it does not lead any more, its followers have been answered, or wait for another leader.
    if (role.type === 'leader' && flight !== undefined) {
      participant.role = LANDED
      this.#seams.observer.landed(participant, 'failed', cached.reason, flight.followers, this.#took(participant, flight))
      this.#outcomes.report(participant, outcomeOf(cached), cached.reason)
      flight.land(participant, { type: 'cached', ...cached })
      pass(participant, { type: 'cached', ...cached }, this.variants.namesOf(participant.key), false)
    }
    return cached.recording
  }

  /**
   * The result of a run is for its own participant only: its followers run by themselves.
   *
   * @param remember later participants of its key and variant run by themselves as well, for `unshareableTtl`
   * @param names what this depends on besides the key, in the order in which it was read
   */
  unshareable (participant: Participant<R>, reason: UnshareableReason, remember: boolean, names: readonly string[]): void {
    const { limits, role } = participant
    const variant = variantOf(participant, names)
    if (remember && participant.refusal === undefined) {
      this.remembered.remember(participant, variant, reason, limits.unshareableTtl)
      this.supersede(participant)
    }
    if (role.type === 'probe') participant.role = { ...role, type: 'solo' }
    const landing = { type: 'unshareable', reason, variant } as const
    // Followers of other variants ask for the same key again at once, and must not be told to wait for this run.
    pass(participant, landing, names, remember)
    this.#land(participant, landing, 'unshareable', reason)
  }

  /** Its run did well, but its result is not cached: the older result in the cache is out of date, and is dropped. */
  supersede ({ boardedKey, cache, missed, role }: Participant<R>): void {
    if (role.type === 'refresher') role.refresh.result = 'not-kept'
    if (role.type === 'refresher' || missed?.stale !== undefined) cache.supersede(boardedKey)
  }

  /**
   * The run of a leader comes to nothing: one of its followers is promoted.
   *
   * @param newest promotes the follower that came last: the older ones are close to the timeout that ended their leader
   */
  abandon (participant: Participant<R>, reason: AbandonedReason, newest = false): void {
    const { flight, role } = participant
    if (flight === undefined || (role.type !== 'leader' && role.type !== 'preparing')) return
    participant.role = role.type === 'leader' ? LANDED : STRANDED
    const end = reason === 'failed' ? 'failed' : 'abandoned'
    this.#seams.observer.landed(participant, end, reason, flight.followers, reason === 'failed' ? this.#took(participant, flight) : undefined)
    this.#outcomes.report(participant, 'leader', reason)
    flight.abandon(participant, reason, newest)
    participant.lease.release()
  }

  /** The client of a participant left, or was answered by something else. A leader's run goes on for its followers. */
  leave (participant: Participant<R>, reason: LeaveReason): void {
    leave(participant, reason, this.#outcomes, () => { this.abandon(participant, reason) })
  }

  /** Ignores whatever its run comes to. */
  retire (participant: Participant<R>): void {
    participant.role = ANSWERED
    participant.lease.release()
  }

  /** A participant that runs alone makes room for the next one. */
  finished ({ role }: Participant<R>): void {
    if (role.type === 'alone') role.finished()
  }

  /** Lets the followers of leaders run by themselves. */
  release (leaders: Iterable<Participant<R>>): void {
    const next = leaders[Symbol.iterator]()
    pace(this.clock, () => {
      const leader = next.next().value as Participant<R> | undefined
      if (leader === undefined) return false
      if (leader.role.type === 'peer') {
        leader.flight?.land(leader, { type: 'unshareable', reason: 'disabled', variant: NO_VARIANT })
        leader.cancel(new NobodyWaitsError())
        return true
      }
      this.live.close(leader)
      this.unshareable(leader, 'disabled', false, [])
      return true
    })
  }

  /** A shared stream is cut off for one participant. */
  cutOff (participant: Participant<R>, reason: string): void {
    this.#seams.observer.cutOff(participant, reason)
  }

  #land (participant: Participant<R>, landing: Landing<R>, type: 'shared' | 'failed' | 'unshareable', reason: Reason, joined?: () => void): void {
    const { flight, role } = participant
    const live = joined !== undefined
    if (flight === undefined || (role.type !== 'leader' && role.type !== 'preparing')) return
    participant.role = role.type === 'preparing' ? STRANDED : live ? { type: 'landed', startedAt: role.startedAt } : LANDED
    const end = type === 'shared' ? 'completed' : type
    const hasResult = !NO_RESULT.has(reason) && participant.refusal === undefined
    const took = !hasResult ? undefined : 'took' in landing ? landing.took : this.#took(participant, flight)
    this.#seams.observer.landed(participant, end, reason, flight.followers, took)
    this.#reportLanded(participant, flight.followers, reason)
    if (live) {
      // The key may have turned out to have variants. Newcomers board under the key of their variant.
      this.flights.rename(flight, this.variants.keyOf(participant))
      flight.open(participant, landing, joined)
    } else {
      flight.land(participant, landing, 'recording' in landing ? participant.sharing(landing.recording) : undefined)
      this.#endings.solos.leaveIfGone(participant)
    }
  }

  /** How long a leader has run. */
  #took ({ heldFor }: Participant<R>, { since }: Flight<R, Participant<R>>): number {
    return this.clock.now() - since - heldFor
  }

  /** Where nobody could share it, for others ran for the same key at the same time, that is the reason. */
  #reportLanded (participant: Participant<R>, followers: number, reason: Reason): void {
    const split = reason === 'shared' && followers === 0 && !participant.isAwaitedElsewhere && participant.company?.hadOthers === true
    // This very result may have shown that the key does not vary any more.
    const names = split ? this.variants.namesOf(participant.key) : []
    if (names.length === 0) this.#outcomes.report(participant, 'leader', reason)
    else this.#outcomes.report(participant, 'leader', 'split', participant.splitBy(names))
  }
}

/** Whether another run may follow one that failed. */
function mayRunAgain ({ protection, refusal, subject }: Participant<unknown>): boolean {
  return refusal === undefined && protection.refusalFor(subject) === undefined
}
