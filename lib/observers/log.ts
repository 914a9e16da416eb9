/**
 * The log events: started, joined, completed, failed, cleaned up; refreshed; and each request's outcome.
 *
 * Invariant: through the request's own logger; route patterns and closed sets of names, never a key or a URL. Debug level, but
 * for a refresh that failed: no client will tell of that.
 */
import type { Observer, Subject } from './observer.js'
import { warn } from './warn.js'

/** Whether anything comes of a line. */
function isHeard ({ log }: Subject): boolean {
  // Who does the same for debug and for error, as Fastify's does when logging is off, does nothing.
  return log.debug !== log.error && log.isLevelEnabled?.('debug') !== false
}

function write ({ log, tally, leaderId }: Subject, event: string, fields: object): void {
  log.debug({ coalesce: { event, method: tally.method, route: tally.route, leaderId, ...fields } }, `coalesce ${event}`)
}

export const logging: Observer = Object.freeze({
  started (leader) { if (isHeard(leader)) write(leader, 'started', {}) },
  joined (follower, waiters) { if (isHeard(follower)) write(follower, 'joined', { waiters }) },
  landed (leader, landing, reason, followers) { if (isHeard(leader)) write(leader, landing, { reason, followers }) },
  cleanedUp (leader) { if (isHeard(leader)) write(leader, 'cleaned up', {}) },
  cutOff (subject, reason) { if (isHeard(subject)) write(subject, 'cut off', { reason }) },
  settled (subject, outcome, reason, waited) { if (isHeard(subject)) write(subject, 'settled', { outcome, reason, waited: Math.round(waited) }) },
  refreshed (subject, result, err) {
    if (result !== 'failed') {
      if (isHeard(subject)) write(subject, 'refreshed', { result })
      return
    }
    const { log, tally } = subject
    warn(log, err, { event: 'refresh-failed', method: tally.method, route: tally.route }, 'coalesce: what is kept could not be refreshed')
  }
} satisfies Observer)
