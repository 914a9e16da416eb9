/**
 * Results that are being made while their followers read them already.
 *
 * Invariant: other processes, and the cache, get such a result when it is complete, or not at all.
 */
import type { AbandonedReason } from '../reasons.js'
import { variantOf } from '../variant.js'
import type { Caching } from './caching.js'
import { pass } from './word.js'
import type { Landing } from './flights/landing.js'
import type { Participant } from './participant.js'
import type { Variants } from './variants.js'

export class Live<R> {
  readonly #caching: Caching<R>
  readonly #variants: Variants

  constructor (caching: Caching<R>, variants: Variants) {
    this.#caching = caching
    this.#variants = variants
  }

  /** A result is complete: other processes get it, and it is stored if its leader still leads its flight. */
  completed (participant: Participant<R>, names: readonly string[], failed: boolean): void {
    const { cache, flight, lease, role } = participant
    const stores = cache.stores && (flight?.leader === participant || role.type === 'refresher')
    if ((!stores && !lease.isShared) || !this.#variants.learn(participant, names)) return
    const recording = participant.record(names)
    if (stores) this.#caching.keep(participant, recording)
    pass(participant, { type: failed ? 'failed' : 'shared', recording }, names, names.length > 0)
  }

  /** A result has become too large for newcomers and for other processes. */
  outgrown (participant: Participant<R>, names: readonly string[]): void {
    pass(participant, { type: 'unshareable', reason: 'too-large', variant: variantOf(participant, names) }, names, false)
    this.close(participant)
  }

  /** A result will never be complete. Followers that have not begun to read it get another leader. */
  cutShort (participant: Participant<R>, reason: AbandonedReason): void {
    participant.lease.release()
    participant.flight?.abandon(participant, reason)
  }

  /** Ends the flight of a result. Its followers get that result, or `rest`. Other processes get it only if it was complete. */
  close (participant: Participant<R>, rest?: Landing<R>): void {
    if (rest === undefined) participant.lease.release()
    if (participant.role.type === 'landed') participant.flight?.close(participant, rest)
  }
}
