/**
 * How a request was served, in the words of RFC 9211.
 *
 * Invariant: pure; reasons are names of this package's, never a key or a value.
 */
import { cacheStatus, type CacheStatusFacts, type ForwardReason } from '../../http/cache-status.js'
import type { MissReason } from '../../engine/cache/lookup.js'
import type { KeptRecording } from '../../http/recording.js'
import type { RequestParticipant } from '../request/participant.js'

const FORWARDED: Readonly<Record<MissReason, ForwardReason>> = Object.freeze({
  none: 'miss', purged: 'miss', rejected: 'miss', expired: 'stale', vary: 'vary-miss', request: 'request'
})

/**
 * The member of a participant, once it is known what becomes of its response.
 *
 * @param now in milliseconds since 1970
 */
export function cacheStatusOf (name: string, participant: RequestParticipant, now: number): string {
  return cacheStatus(name, factsOf(participant, now))
}

/** The member of a request that never boarded. */
export function bypassStatus (name: string, reason: string): string {
  return cacheStatus(name, { fwd: 'bypass', detail: reason })
}

function factsOf (participant: RequestParticipant, now: number): CacheStatusFacts {
  const { outcome, outcomeReason: detail, missed, served } = participant
  const fwd = detail === 'split' ? 'vary-miss' : missed === undefined ? 'miss' : FORWARDED[missed.reason]
  switch (outcome) {
    case 'hit':
    case 'stale': {
      const { storedAt, freshFor } = (served?.recording as KeptRecording).kept
      const ttl = (storedAt + freshFor - now) / 1000
      return participant.led
        ? { fwd, fwdStatus: participant.runStatus, ttl, detail }
        : { hit: true, ttl, detail: outcome === 'hit' ? undefined : detail }
    }
    case 'bypass':
      return { fwd: 'bypass', detail }
    case 'follower':
      return { fwd, collapsed: true, detail }
    case 'shed':
      return { hit: false, detail }
    case 'peer':
      return { fwd, collapsed: true, detail: `peer/${String(detail)}` }
    default:
      return {
        fwd,
        fwdStatus: participant.revalidated ? participant.runStatus : undefined,
        stored: participant.storedFor !== undefined,
        ttl: participant.storedFor === undefined ? undefined : participant.storedFor / 1000,
        detail
      }
  }
}
