/**
 * A fresh recording for a request that makes no conditions: nothing waits and nothing runs, so it is given without boarding.
 *
 * Invariant: it is counted and seen as the hit that it would have been. Whatever needs a second look boards.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KeptRecording } from '../../http/recording.js'
import { mayBeWritten, writeBody, writeHead } from '../request/fast-lane.js'
import type { CoalescedRoute } from '../request/route.js'
import { Hit, setStandIn } from '../request/view.js'

/** Answers a request with a fresh recording in the fast lane; false if there is none that it may have, and it boards. */
export function serveAtOnce (route: CoalescedRoute, request: FastifyRequest, reply: FastifyReply, key: string): boolean {
  const { conductor, guarded } = route.requests
  const recording = conductor.freshFor(key, route.cache) as KeptRecording | undefined
  if (recording === undefined || recording.bytes > route.settings.maxEntryBytes || recording.variant.names.length > 0) return false
  if (!mayBeWritten(request, reply, recording) || !writeHead(reply, recording, guarded.now())) return false
  const hit = new Hit(route, request)
  setStandIn(request, hit)
  conductor.hit(hit)
  writeBody(reply, recording)
  return true
}
