/**
 * What would become of a participant if it arrived now.
 *
 * Invariant: the very code that boards participants decides, on a register of flights of its own: nobody is told, nothing is counted,
 * learned or stored, and no flight is joined.
 */
import type { Clock } from '../../types/index.js'
import { SILENT } from '../observers/silent.js'
import type { BypassReason, Detail, Reason } from '../reasons.js'
import type { Explanation, Outcome } from '../../types/index.js'
import { Endings } from './endings.js'
import type { Flight } from './flights/flight.js'
import { Flights } from './flights/flights.js'
import { Outcomes } from './outcome.js'
import type { Participant } from './participant.js'
import { NEW } from './role.js'
import { Solos } from './solo.js'
import type { Unshareable } from './unshareable.js'
import { areFew, keyWith, type Keyed, type Varied, type Variants } from './variants.js'

/** The engine, as far as it is asked. */
export interface Asked<R> {
  readonly clock: Clock
  readonly flights: Flights<R, Participant<R>>
  readonly variants: Variants
  readonly remembered: Unshareable
}

/** A participant that is here for show. */
export interface Scout<R> extends Participant<R> {
  /** Resolves once it is to run, or is given a result or an error. */
  readonly decided: Promise<void>
}

export interface Foreseen {
  readonly outcome: Outcome
  /** Undefined where only a run tells. */
  readonly reason: Reason | undefined
  readonly detail: Detail | undefined
  /** The names that tell the variants of its key apart. */
  readonly names: readonly string[]
  /** If its key is remembered as one whose results cannot be shared: for how many milliseconds more. */
  readonly unshareableFor: number | undefined
  /** The flight that it would join, or find no place on. `since`: for how many milliseconds it has been in the air. */
  readonly flight: Explanation['flight']
  /** The run that it would join waits for a slot yet. */
  readonly isQueued: boolean
}

const nothing = (): void => {}

/** What is known of the variants of a key, and what would be learned of it. */
class Supposed {
  readonly #variants: Variants
  #names: readonly string[] | undefined

  constructor (variants: Variants) {
    this.#variants = variants
  }

  namesOf (key: string): readonly string[] {
    return this.#names ?? this.#variants.namesOf(key)
  }

  hasOverflowed (participant: Varied): boolean {
    return this.#variants.hasOverflowed(participant)
  }

  keyOf (participant: Keyed): string {
    return keyWith(participant, this.namesOf(participant.key))
  }

  learn (participant: Varied, varies: readonly string[]): boolean {
    const names = this.namesOf(participant.key)
    const all = [...new Set([...names, ...varies])].sort()
    if (!this.#variants.hasRoomFor(participant.origin, varies) || !areFew(all)) return false
    this.#names = all
    return true
  }

  readonly companyOf = nothing as () => undefined
}

/** Lets a scout arrive, for show. */
export async function foresee<R> (scout: Scout<R>, key: string, asked: Asked<R>): Promise<Foreseen> {
  const now = asked.clock.now()
  const clock: Clock = { now: () => now, setTimeout: nothing, clearTimeout: nothing }
  const own = new Flights<R, Participant<R>>({ maxFlights: Infinity, maxWaiters: Infinity }, clock, {
    settle: nothing, isAnsweredBy: nothing as () => never, overdue: nothing, aborted: nothing, outlasted: nothing
  })
  const variants = new Supposed(asked.variants)
  let flight: Flight<R, Participant<R>> | undefined
  let follows = nothing
  const following = new Promise<void>(resolve => { follows = resolve })
  const endings = new Endings<R>({
    clock,
    observer: SILENT,
    flights: {
      has: key => asked.flights.at(key) !== undefined,
      board (key, passenger, maxWaitersPerKey, now) {
        flight = asked.flights.at(key)
        const place = asked.flights.placeFor(key, passenger, maxWaitersPerKey)
        if (place === 'follower') {
          own.board(key, standIn<R>(flight?.leader?.id), maxWaitersPerKey, now)
          follows()
        }
        return place === 'follower' || place === 'leader' ? own.board(key, passenger, maxWaitersPerKey, now) : place
      }
    },
    variants,
    unshareable: { reasonFor: boarder => asked.remembered.reasonFor(boarder, variants), remember: nothing, forget: nothing as () => false },
    caching: { refresh: mayRefresh },
    outcomes: new Outcomes(clock, SILENT)
  })
  scout.key = key
  scout.waitingSince = now
  const place = endings.departures.board(scout, now)
  if (place === 'park') {
    if (scout.role.type === 'served' || scout.role.type === 'refused') endings.parked(scout)
    await Promise.race([scout.decided, following])
  } else if (place !== 'run' && endings.runSolo(scout, place) === 'park') {
    endings.parked(scout)
  }
  const isElsewhere = flight?.leader?.role.type === 'peer'
  return {
    outcome: scout.outcome ?? (scout.refusal !== undefined ? 'shed' : scout.role.type !== 'follower' ? 'leader' : isElsewhere ? 'peer' : 'follower'),
    reason: scout.outcomeReason ?? (scout.refusal === undefined ? undefined : 'fallback'),
    detail: scout.outcomeDetail,
    names: variants.namesOf(key),
    isQueued: flight?.leader?.place !== undefined,
    unshareableFor: scout.unshareableFor === undefined ? undefined : asked.remembered.timeLeft(scout),
    flight: flight === undefined
      ? undefined
      : {
          leaderId: flight.leader?.id || undefined,
          followers: flight.followers,
          since: now - flight.since,
          ...isElsewhere && { elsewhere: true }
        }
  }
}

/** Has a scout that would not board run for itself, for show. */
export function foreseeAlone<R> (
  scout: Scout<R>, reason: BypassReason, detail: Detail | undefined, { clock }: Pick<Asked<R>, 'clock'>
): Pick<Foreseen, 'outcome' | 'reason' | 'detail'> {
  const solos = new Solos<R>({ outcomes: new Outcomes(clock, SILENT) }, { parked: nothing })
  solos.pass(scout, { type: 'solo', startedAt: 0 }, { outcome: 'bypass', reason, detail })
  const { role } = scout
  return role.type === 'refused'
    ? { outcome: 'shed', reason: role.refusal.reason, detail: undefined }
    : { outcome: scout.outcome as Outcome, reason: scout.outcomeReason, detail: scout.outcomeDetail }
}

/** Whether a stale result would be refreshed in the background. */
function mayRefresh ({ boardedKey, cache, protection, refreshable, subject }: Participant<unknown>): boolean {
  // None is less urgent than a refresh.
  return refreshable && cache.mayRefresh(boardedKey) && typeof protection.foresee(subject, Infinity) === 'string'
}

/** Leads on a register of its own in the place of who leads. */
function standIn<R> (id: string | undefined): Participant<R> {
  return { id, role: NEW, mayLead: true, flightTimeout: 0, fleet: undefined, labels: [], joined: nothing } as unknown as Participant<R>
}
