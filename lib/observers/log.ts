/**
 * The log events: started, joined, completed, failed, cleaned up; refreshed; and each request's outcome.
 *
 * Invariant: through the request's own logger; route patterns and closed sets of names, never a key or a URL. Debug level, but
 * for a refresh that failed: no client will tell of that.
 */
import type { Observer, Subject } from './observer.js'

function write (subject: Subject, event: string, fields: object): void {
  const { log, tally } = subject
  // Who does the same for debug and for error, as Fastify's does when logging is off, does nothing.
  if (log.isLevelEnabled?.('debug') === false || log.debug === log.error) return
  log.debug({ coalesce: { event, method: tally.method, route: tally.route, leaderId: subject.leaderId, ...fields } }, `coalesce ${event}`)
}

export const logging: Observer = Object.freeze({
  started (leader) { write(leader, 'started', {}) },
  joined (follower, waiters) { write(follower, 'joined', { waiters }) },
  landed (leader, landing, reason, followers) { write(leader, landing, { reason, followers }) },
  cleanedUp (leader) { write(leader, 'cleaned up', {}) },
  cutOff (subject, reason) { write(subject, 'cut off', { reason }) },
  settled (subject, outcome, reason, waited) { write(subject, 'settled', { outcome, reason, waited: Math.round(waited) }) },
  refreshed (subject, result, err) {
    if (result !== 'failed') {
      write(subject, 'refreshed', { result })
      return
    }
    const { log, tally } = subject
    log.warn({ err, coalesce: { event: 'refresh-failed', method: tally.method, route: tally.route } }, 'coalesce: what is kept could not be refreshed')
  }
} satisfies Observer)
