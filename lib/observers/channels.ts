/**
 * Publishes the events of requests on diagnostics channels, for tracers: `fastify-coalesce:board`, `:land`, `:cut`, `:settle`,
 * `:peer-lost` and `:refresh`.
 *
 * Invariant: if a channel has no subscribers, no message is made. A message has request ids, route patterns and names from closed
 * sets, never a key or a URL.
 */
import { channel } from 'node:diagnostics_channel'
import type { Observer, Subject } from './observer.js'

const board = channel('fastify-coalesce:board')
const land = channel('fastify-coalesce:land')
const cut = channel('fastify-coalesce:cut')
const settle = channel('fastify-coalesce:settle')
const lose = channel('fastify-coalesce:peer-lost')
const refresh = channel('fastify-coalesce:refresh')

function about ({ id, leaderId, tally }: Subject): object {
  return { id, leaderId, method: tally.method, route: tally.route }
}

export const publishing: Observer = Object.freeze({
  started (leader) {
    if (board.hasSubscribers) board.publish({ ...about(leader), role: 'leader', waiters: 0 })
  },
  joined (follower, waiters, elsewhere) {
    if (board.hasSubscribers) board.publish({ ...about(follower), role: 'follower', waiters, ...elsewhere && { elsewhere } })
  },
  peerLost (heir, reason) {
    if (lose.hasSubscribers) lose.publish({ ...about(heir), reason })
  },
  landed (leader, landing, reason, followers) {
    if (land.hasSubscribers) land.publish({ ...about(leader), landing, reason, followers })
  },
  cleanedUp (leader) {
    if (land.hasSubscribers) land.publish({ ...about(leader), landing: 'timed-out', reason: 'flight-timeout', followers: 0 })
  },
  cutOff (subject, reason) {
    if (cut.hasSubscribers) cut.publish({ ...about(subject), reason })
  },
  settled (subject, outcome, reason, waited, detail) {
    if (settle.hasSubscribers) settle.publish({ ...about(subject), outcome, reason, ...detail, waited })
  },
  refreshed (subject, result) {
    if (refresh.hasSubscribers) refresh.publish({ ...about(subject), result })
  }
} satisfies Observer)
