/**
 * Results that are being made while their followers read them already.
 *
 * Invariant: the cache gets such a result when it is complete, or not at all. So do other processes, unless they read it as it is made:
 * then what they read ends if it is complete, and is broken off if it never will be, or is not for all of them.
 */
import type { Readable } from 'node:stream'
import type { AbandonedReason } from '../reasons.js'
import { variantOf } from '../variant.js'
import type { Caching } from './caching.js'
import { pass } from './word.js'
import type { Flight } from './flights/flight.js'
import { MISMATCH, type Landing } from './flights/landing.js'
import type { Participant } from './participant.js'
import type { Variants } from './variants.js'

export class Live<R> {
  readonly #caching: Caching<R>
  readonly #variants: Variants

  constructor (caching: Caching<R>, variants: Variants) {
    this.#caching = caching
    this.#variants = variants
  }

  /** A result can be read while it is being made: in other processes as well. */
  begun (participant: Participant<R>, type: 'shared' | 'failed', recording: R, names: readonly string[]): void {
    const { id: leaderId, lease } = participant
    const relayed = lease.isShared ? participant.relayed(recording) : undefined
    if (relayed !== undefined) lease.relay({ type, recording: relayed.head, leaderId, names }, relayed.body)
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

  /** Ends the flight of a result. Its followers get that result. Other processes get it only if it was complete. */
  close (participant: Participant<R>): void {
    participant.lease.release()
    this.#end(participant)
  }

  /**
   * A result depends on what nobody knew of when it was begun to be read. Followers that have not begun board again, and newcomers do not
   * join. Other processes get it when it is complete, unless it will never be known who may have it.
   *
   * @param isKnown what it depends on is known, and has been learned
   */
  readLate (participant: Participant<R>, isKnown: boolean): void {
    const { boardedKey, lease, retried, role } = participant
    // Who asks for that key again must not be told to wait for this: newcomers, if it tells what was read, or others of a slow flight.
    const isAskedFor = !isKnown || retried || boardedKey === this.#variants.keyOf(participant)
    if (isAskedFor && role.type === 'landed') lease.release()
    else lease.cut()
    this.#end(participant, MISMATCH)
  }

  #end (participant: Participant<R>, rest?: Landing<R>): void {
    if (participant.role.type === 'landed') participant.flight?.close(participant, rest)
  }
}

/**
 * What another process brings is still being made: all who may have it read it, and newcomers until its end. Whether it can be read.
 *
 * @param variants knows what the result depends on
 */
export function openPeer<R> (
  standIn: Participant<R>, flight: Flight<R, Participant<R>>, landing: Landing<R> & { readonly type: 'peer' }, body: Readable,
  variants: Pick<Variants, 'keyOf'>
): boolean {
  const live = standIn.revived(landing.recording, body, {
    full: () => { flight.close(standIn) },
    over: how => {
      if (how === 'complete') flight.close(standIn)
      else flight.abandon(standIn, 'peer-lost')
    }
  })
  if (live === undefined) return false
  const answer = { ...landing, recording: live.recording }
  // The key has turned out to have variants: newcomers ask anew, each for its own.
  if (standIn.boardedKey !== variants.keyOf(standIn)) flight.land(standIn, answer, live.joined)
  else flight.open(standIn, answer, live.joined)
  return true
}
