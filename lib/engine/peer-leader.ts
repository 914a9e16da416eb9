/**
 * Leads a flight in the place of another process that runs for its key.
 *
 * Invariant: it never runs, is no request or call, and counts nowhere. It leads for as long as somebody waits. It knows of the key what
 * the participant knows that asked first.
 */
import type { Readable } from 'node:stream'
import type { ResultCache } from './cache/cache.js'
import type { Miss } from './cache/lookup.js'
import type { Fleet } from './flights/fleet.js'
import type { Flight } from './flights/flight.js'
import type { Log } from '../observers/observer.js'
import type { Tally } from '../observers/tally.js'
import type { Revived, RevivedListener } from './relayed.js'
import type { Limits, Participant } from './participant.js'
import { NO_PERMIT } from '../protection/permits.js'
import { PEER } from './role.js'
import type { Peer } from './coordinators/coordinator.js'
import { NO_LEASE, type Lease } from './coordinators/lease.js'

/** What a flight, and those on board, ask of who leads but does not run. */
type Leading<R> = Pick<Participant<R>,
'flight' | 'role' | 'key' | 'boardedKey' | 'missed' | 'id' | 'leaderId' | 'request' | 'log' | 'tally' | 'cache' | 'limits' | 'origin' | 'labels' | 'fleet' | 'mayLead' | 'flightTimeout' |
'isAwaitedElsewhere' | 'lease' | 'permit' | 'place' | 'refusal' | 'level' | 'joined' | 'cancel' | 'value' | 'learned' | 'tooVaried' | 'sharing' | 'revived'>

export class PeerLeader<R> implements Leading<R> {
  flight: Flight<R, Participant<R>> | undefined
  readonly role = PEER
  readonly key: string
  readonly boardedKey: string
  readonly missed: Miss<R> | undefined
  /** That of the request that runs is not known before its end. */
  readonly id = ''
  readonly leaderId = undefined
  readonly request = undefined
  readonly cache: ResultCache<R>
  readonly limits: Limits
  readonly origin: object
  readonly labels: readonly string[]
  readonly fleet: Fleet<Flight<R, Participant<R>>> | undefined
  readonly mayLead = true
  readonly permit = NO_PERMIT
  readonly place = undefined
  readonly refusal = undefined
  readonly level = 0
  readonly flightTimeout: number
  /** It is read while it is being made, and takes newcomers until its end. */
  isAwaitedElsewhere = false
  /** Ends with the wait for the other process. */
  lease: Lease<R>
  readonly #asker: Participant<R>

  private constructor (asker: Participant<R>, peer: Peer<R>) {
    this.#asker = asker
    const release = (): void => {
      this.lease = NO_LEASE
      peer.leave()
    }
    this.lease = { ...NO_LEASE, release }
    this.key = asker.key
    this.boardedKey = asker.boardedKey
    this.missed = asker.missed
    this.cache = asker.cache
    this.limits = asker.limits
    this.origin = asker.origin
    this.labels = asker.labels
    this.fleet = asker.fleet
    this.flightTimeout = asker.flightTimeout
  }

  /** A leader, as far as flights go. */
  static of<R> (asker: Participant<R>, peer: Peer<R>): Participant<R> {
    return new PeerLeader(asker, peer) as unknown as Participant<R>
  }

  value (name: string): string | null {
    return this.#asker.value(name)
  }

  learned (names: readonly string[]): void {
    this.#asker.learned(names)
  }

  tooVaried (): void {
    this.#asker.tooVaried()
  }

  sharing (recording: R): (() => void) | undefined {
    return this.#asker.sharing(recording)
  }

  revived (recording: R, body: Readable, listener: RevivedListener): Revived<R> | undefined {
    const revived = this.#asker.revived(recording, body, listener)
    this.isAwaitedElsewhere = revived !== undefined
    return revived
  }

  /** What is told of it is told of the one that asked first. */
  get log (): Log {
    return this.#asker.log
  }

  get tally (): Tally {
    return this.#asker.tally
  }

  /** Nobody here waits any more. */
  cancel (): void {
    this.lease.release()
  }

  joined (): void {}
}
