/**
 * Gives a reply the status and the headers of a recording.
 *
 * Invariant: no array of the recording becomes the reply's own. A cached response tells its age, and the time of the original response.
 */
import type { FastifyReply } from 'fastify'
import { deltaSecondsText } from '../../http/delta-seconds.js'
import type { Recording } from '../../http/recording.js'

/** @param now in milliseconds since 1970 */
export function takeHead (reply: FastifyReply, { headers, kept, status }: Recording, now: number): void {
  for (const [name, value] of headers.set) reply.header(name, typeof value === 'string' ? value : [...value])
  for (const name of headers.removed) reply.removeHeader(name)
  reply.code(status)
  if (kept === undefined) return
  reply.header('age', deltaSecondsText(kept.age + now - kept.storedAt))
  // Freshness is counted from the time of the original response.
  reply.header('date', kept.date)
}
