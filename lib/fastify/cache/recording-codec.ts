/**
 * Responses as they travel between processes.
 *
 * Invariant: what is read is as safe to send as a cached response, whoever wrote it. A body that is still being made does not travel. One
 * from the cache goes on ageing from where it was.
 */
import { isAmount, isFiniteNumber, isMoment, isText, isTextOrNull, listOf, member, wanted } from '../../codec/strict.js'
import type { RecordingFormat } from '../../engine/coordinators/message-codec.js'
import { byteLength, type Recording } from '../../http/recording.js'
import { namesFrom, responseFrom, variantFrom } from '../../http/response-reader.js'

type Kept = NonNullable<Recording['kept']>

/** @param now the time by which responses are stored, in milliseconds since 1970 */
export function recordingFormat (now: () => number): RecordingFormat<Recording> {
  /** No two processes need to have the same time: what travels are durations. */
  function writeKept ({ age, date, freshFor, labels, storedAt }: Kept): unknown {
    const resident = Math.max(now() - storedAt, 0)
    return { age: age + resident, freshFor: freshFor - resident, date: Date.parse(date), labels }
  }

  function readKept (value: unknown): Kept {
    return {
      storedAt: now(),
      freshFor: wanted(isFiniteNumber, member(value, 'freshFor')),
      age: wanted(isAmount, member(value, 'age')),
      date: new Date(wanted(isMoment, member(value, 'date'))).toUTCString(),
      labels: listOf(member(value, 'labels'), label => wanted(isText, label))
    }
  }

  return {
    kind: 'response',
    write ({ body, headers: { removed, set }, kept, leaderId, status, variant }) {
      // What no reader would accept does not travel.
      const parts = responseFrom({ status, headers: set, removed, body, variant })
      return { ...parts, leaderId: leaderId === undefined ? null : String(leaderId), kept: kept === undefined ? null : writeKept(kept) }
    },
    read (value) {
      const { status, headers, removed, body, variant } = responseFrom(value)
      const leaderId = wanted(isTextOrNull, member(value, 'leaderId')) ?? undefined
      const kept = member(value, 'kept')
      const recording = { status, headers: Object.freeze({ set: headers, removed }), body, bytes: byteLength(body), leaderId, variant }
      return Object.freeze(kept === null ? recording : { ...recording, kept: Object.freeze(readKept(kept)) })
    },
    names: namesFrom,
    variant: variantFrom
  }
}
