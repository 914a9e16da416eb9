/**
 * Hears what the package tells on diagnostics channels, and writes it into the spans of an app that is traced with OpenTelemetry.
 *
 * Invariant: it only listens. Nothing that a tracer throws reaches the app: what a subscriber of a channel throws is an uncaught exception.
 * After `stop` nothing is left.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { BoardMessage, LandMessage, Message, SettleMessage, TraceOptions, Tracing, TracingApi, TracingSpan } from '../../types/tracing.js'
import { Known } from './known.js'
import { checkApi, readTraceOptions } from './options.js'

const NAME = 'fastify-coalesce'

type Listener = (message: unknown) => void

/**
 * Says in OpenTelemetry's spans how requests, and calls of an app's functions, are coalesced: by attributes and links of the request's own
 * span, and by a span for each wait for another one's run.
 *
 * @param api what `@opentelemetry/api` exports: the app's own copy, with which its SDK is registered
 * @returns ends that
 * @throws FST_COALESCE_INVALID_OPTION
 * @example
 * import * as api from '@opentelemetry/api'
 * const stop = traceCoalescing(api)
 */
export function traceCoalescing (api: TracingApi, options: TraceOptions = {}): () => void {
  checkApi(api)
  const waiting = new Set<TracingSpan>()
  let tracer: Tracing | undefined
  const known = new Known({
    api, options: readTraceOptions(options), waiting, get tracer () { return (tracer ??= api.trace.getTracer(NAME)) }
  })
  const attempt = attempting(api)
  const listening = <Told extends Message>(hear: (message: Told) => void): Listener =>
    message => { attempt(() => { hear(message as Told) }) }

  const listeners = Object.entries({
    hold: listening(message => { known.of(message) }),
    board: listening<BoardMessage>(message => {
      const traced = known.of(message)
      if (message.role === 'leader') traced.leads()
      else traced.follows(known.leaderOf(message), message)
    }),
    land: listening<LandMessage>(message => { known.of(message).landed(message) }),
    settle: listening<SettleMessage>(message => {
      const traced = known.of(message)
      if (message.request === undefined) known.forgetCall(message.id)
      traced.settled(known.leaderOf(message), message)
    })
  }).map(([name, listener]) => [`fastify-coalesce:${name}`, listener] as const)
  for (const [name, listener] of listeners) subscribe(name, listener)

  return () => {
    for (const [name, listener] of listeners) unsubscribe(name, listener)
    for (const wait of waiting) attempt(() => { wait.end() })
    waiting.clear()
  }
}

/** Has nothing thrown. What was thrown first is reported, if that can be done. */
function attempting ({ diag }: TracingApi): (action: () => void) => void {
  let hasFailed = false
  return action => {
    try {
      action()
    } catch (error) {
      if (hasFailed) return
      hasFailed = true
      try {
        diag.error(`${NAME}: a span could not be written, and this is reported once`, error)
      } catch {
        // Nobody is left to tell.
      }
    }
  }
}
