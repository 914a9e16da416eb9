/**
 * What other processes are told of a run that this one led.
 *
 * Invariant: told once, when its flight lands here. A result that is kept from this process's own clients for a reason of this
 * process alone (it is switched off here) is nobody else's concern: they ask again.
 */
import type { Landing } from './flights/landing.js'
import type { Participant } from './participant.js'
import type { PeerNote } from './coordinators/lease.js'

/** A landing, as far as it is handed over. How long a run took is no other process's matter. */
type Passed<R> = Exclude<Landing<R>, { readonly took: number }> | { readonly type: 'shared' | 'failed', readonly recording: R }

/**
 * Hands over how the flight of a leader has landed.
 *
 * @param names what its result depends on besides the key
 * @param remember newcomers are told the same for a while
 */
export function pass<R> (leader: Participant<R>, landing: Passed<R>, names: readonly string[], remember: boolean): void {
  const { id: leaderId, lease } = leader
  if (!lease.isShared) return
  switch (landing.type) {
    case 'shared':
    case 'failed':
      lease.land({ type: landing.type, recording: landing.recording, leaderId, names }, noteOf(leader, { type: 'varies', names }, names.length > 0 && remember))
      return
    case 'cached':
      lease.land({ type: 'shared', recording: landing.recording, leaderId, names })
      return
    case 'unshareable': {
      if (landing.reason === 'disabled') break
      const result = { ...landing, leaderId, remember }
      lease.land(result, noteOf(leader, result, remember))
      return
    }
  }
  lease.release()
}

/** A result can be shared, which an earlier run has left word of that it cannot: newcomers of other processes are not told so any more. */
export function forgetElsewhere<R> ({ boardedKey, coordinator, key }: Participant<R>): void {
  for (const each of new Set([key, boardedKey])) coordinator.forget(each)
}

function noteOf<R> ({ limits: { unshareableTtl } }: Participant<R>, result: PeerNote['result'], wanted: boolean): PeerNote | undefined {
  return wanted && unshareableTtl > 0 ? { result, ttl: unshareableTtl } : undefined
}
