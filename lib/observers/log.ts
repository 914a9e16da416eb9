/**
 * Writes log events: started, joined, peer lost, completed, failed, cleaned up, cut off, refreshed, and each request's outcome.
 *
 * Invariant: lines go through the request's own logger. They have route patterns and names from closed sets, never a key or a URL. Their
 * level is debug; only a failed refresh is a warning, because no client sees it.
 */
import type { Observer, Subject } from './observer.js'
import { warn } from './warn.js'

/** Whether the logger writes debug lines. */
function isHeard ({ log }: Subject): boolean {
  // If logging is off, all level methods of Fastify's logger are the same empty function.
  return log.debug !== log.error && log.isLevelEnabled?.('debug') !== false
}

function write ({ log, tally, leaderId }: Subject, event: string, fields: object): void {
  log.debug({ coalesce: { event, method: tally.method, route: tally.route, leaderId, ...fields } }, `coalesce ${event}`)
}

export const logging: Observer = Object.freeze({
  held () {},
  started (leader) { if (isHeard(leader)) write(leader, 'started', {}) },
  joined (follower, waiters, elsewhere) { if (isHeard(follower)) write(follower, 'joined', { waiters, ...elsewhere && { elsewhere } }) },
  peerLost (heir, reason) { if (isHeard(heir)) write(heir, 'peer lost', { reason }) },
  landed (leader, landing, reason, followers) { if (isHeard(leader)) write(leader, landing, { reason, followers }) },
  cleanedUp (leader) { if (isHeard(leader)) write(leader, 'cleaned up', {}) },
  cutOff (subject, reason) { if (isHeard(subject)) write(subject, 'cut off', { reason }) },
  settled (subject, outcome, reason, waited, detail) { if (isHeard(subject)) write(subject, 'settled', { outcome, reason, ...detail, waited: Math.round(waited) }) },
  refreshed (subject, result, err) {
    if (result !== 'failed') {
      if (isHeard(subject)) write(subject, 'refreshed', { result })
      return
    }
    const { log, tally } = subject
    warn(log, err, { event: 'refresh-failed', method: tally.method, route: tally.route }, 'coalesce: what is kept could not be refreshed')
  }
} satisfies Observer)

/** The same without the warnings of these names. */
export function loggingWithout (silenced: ReadonlySet<string>): Observer {
  if (!silenced.has('refresh-failed')) return logging
  return Object.freeze<Observer>({
    ...logging,
    refreshed (subject, result, err) { if (result !== 'failed') logging.refreshed(subject, result, err) }
  })
}
