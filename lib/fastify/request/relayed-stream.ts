/**
 * Live streams between processes: what other processes read of a stream of this one, and streams of theirs that are read here.
 *
 * Invariant: here, the stream of another process is a stream like any other: it is read once, held once, and counts as one of this process.
 */
import type { Readable } from 'node:stream'
import { pace } from '../../engine/flights/pace.js'
import type { Relayed, Revived, RevivedListener } from '../../engine/relayed.js'
import { WrongLengthError } from '../../errors.js'
import { Broadcast, type BroadcastLimits } from '../../http/broadcast.js'
import type { Listener } from '../../http/broadcast-reader.js'
import type { Recording } from '../../http/recording.js'
import type { RequestFacts } from './facts.js'

/** Reads a stream for other processes. */
const RELAY: Listener = { cutOff: reason => new Error(reason) }

const nothing = (): void => {}

/** Whether a stream is read for other processes, and not for a client of this one. */
export function isRelay (listener: Listener): boolean {
  return listener === RELAY
}

/** @param length the value of Content-Length, if that is the length of the stream */
export function broadcastLimits ({ conductor, requests, route }: RequestFacts, length: unknown): BroadcastLimits {
  return {
    clock: conductor.clock,
    pace: (step, yields) => { pace(conductor.clock, step, yields) },
    maxBytes: route.settings.maxBodyBytes,
    length: /^\d+$/.test(String(length)) ? Number(length) : undefined,
    hold: requests.budget.hold,
    wrongLength: (wanted, got) => new WrongLengthError(wanted, got)
  }
}

/** What other processes get of a recording whose body is a live stream. */
export function relayedOf (recording: Recording): Relayed<Recording> {
  const body = recording.body as Broadcast
  return { head: { ...recording, body: null, bytes: 0 }, body: () => body.join(RELAY) }
}

/** A recording of another process, with its live stream. */
export function revive (facts: RequestFacts, recording: Recording, source: Readable, { full, over }: RevivedListener): Revived<Recording> {
  const [, length] = recording.headers.set.find(([name]) => name === 'content-length') ?? []
  const broadcast = new Broadcast(source, broadcastLimits(facts, length), {
    early: nothing,
    begun: nothing,
    tooLarge: full,
    over
  })
  // It must not outgrow what is held until all have joined.
  broadcast.rest(true)
  return {
    recording: { ...recording, body: broadcast, bytes: undefined },
    joined () {
      broadcast.rest(false)
      broadcast.start()
    }
  }
}
