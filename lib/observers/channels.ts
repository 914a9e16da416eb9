/**
 * Publishes the events of requests on diagnostics channels, for tracers: `fastify-coalesce:hold`, `:board`, `:land`, `:cut`,
 * `:settle`, `:peer-lost` and `:refresh`.
 *
 * Invariant: if a channel has no subscribers, no message is made. What a message says itself is ids, route patterns and names from
 * closed sets, never a key or a URL. Besides it hands on Fastify's own request objects, to subscribers in this process only: ids repeat.
 */
import { channel } from 'node:diagnostics_channel'
import type { Message } from '../../types/tracing.js'
import type { Observer, Subject } from './observer.js'

const hold = channel('fastify-coalesce:hold')
const board = channel('fastify-coalesce:board')
const land = channel('fastify-coalesce:land')
const cut = channel('fastify-coalesce:cut')
const settle = channel('fastify-coalesce:settle')
const lose = channel('fastify-coalesce:peer-lost')
const refresh = channel('fastify-coalesce:refresh')

function about ({ id, leaderId, leaderRequest, request, tally }: Subject): Message {
  return { id, leaderId, method: tally.method, route: tally.route, request, leaderRequest }
}

export const publishing: Observer = Object.freeze({
  held (subject) {
    if (hold.hasSubscribers) hold.publish(about(subject))
  },
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
    if (!settle.hasSubscribers) return
    settle.publish({ ...about(subject), outcome, reason, ...detail, waited, ...subject.gone === true && { gone: true } })
  },
  refreshed (subject, result) {
    if (refresh.hasSubscribers) refresh.publish({ ...about(subject), result })
  }
} satisfies Observer)
