/**
 * What Fastify's replies and payloads are, where it has no public way to ask.
 *
 * Invariant: where something cannot be told, the answer is the one that keeps a response from being shared.
 */
import type { Http2Stream } from 'node:http2'
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import type { FastifyReply } from 'fastify'
import { parseCacheControl } from '../../http/cache-control.js'
import type { HeaderDelta, Headers } from '../../http/headers.js'
import type { Body } from '../../http/recording.js'
import type { Part } from '../../http/represent.js'
import { targetedRestriction } from '../../http/response-directives.js'
import type { UnshareableReason } from '../../reasons.js'
import { headersOf } from '../internals.js'
import { onClose } from './queued-reply.js'

/** What a response was when it was captured. */
export interface Capture {
  /** Why it is its own client's only. */
  readonly reason: UnshareableReason | undefined
  readonly status: number
  readonly headers: HeaderDelta
  readonly body: Body
  readonly failed: boolean
  /** What its `Vary` names. */
  readonly vary: readonly string[]
}

/** What other hooks added on the way that keeps a response from being shared. */
export function restrictionOf (reply: FastifyReply): UnshareableReason | undefined {
  if (reply.getHeader('set-cookie') !== undefined) return 'set-cookie'
  const headers = headersOf(reply)
  return parseCacheControl(headers['cache-control']).restriction ?? targetedRestriction(headers)
}

export function isHandlerTimeout (error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === 'FST_ERR_HANDLER_TIMEOUT'
}

export function isResponse (payload: unknown): payload is Response {
  return typeof payload === 'object' && Object.prototype.toString.call(payload) === '[object Response]'
}

/** Whether it is one of the payloads that Fastify sends piece by piece. */
export function isStream (payload: unknown): boolean {
  const stream = payload as { readonly pipe?: unknown, readonly getReader?: unknown } | null | undefined
  return typeof stream?.pipe === 'function' || typeof stream?.getReader === 'function'
}

/** The status and the headers of a reply. */
export interface Head {
  readonly status: number
  readonly headers: Headers
}

/** A reply's head, for later. */
export function headOf (reply: FastifyReply): Head {
  const headers: Record<string, Headers[string]> = { ...headersOf(reply) }
  for (const [name, value] of Object.entries(headers)) if (Array.isArray(value)) headers[name] = [...value as string[]]
  return { status: reply.statusCode, headers }
}

/** Gives a reply the head of a Response, as Fastify does that sends one. */
export function takeHeadOf (response: Response, reply: FastifyReply): void {
  reply.code(response.status)
  for (const [name, value] of response.headers) reply.header(name, value)
}

export function restoreHead (reply: FastifyReply, { status, headers }: Head): void {
  reply.code(status)
  restoreHeaders(reply, headers)
}

/** Gives a reply the headers that it had. */
export function restoreHeaders (reply: FastifyReply, before: Headers): void {
  for (const [name, value] of Object.entries(headersOf(reply))) {
    const own = before[name]
    if (own === value) continue
    // Fastify adds a cookie to those that are there.
    reply.removeHeader(name)
    if (own !== undefined) reply.header(name, own)
  }
}

/** Makes a reply's head that of a part of what it was about. */
export function applyPart (reply: FastifyReply, { status, set, removed }: Part): void {
  for (const name of removed) reply.removeHeader(name)
  for (const [name, value] of set) reply.header(name, value)
  reply.code(status)
}

/** A payload as a Node stream; undefined if it is none that Fastify would send, or an old one that nobody can end. */
export function readableOf (payload: unknown): Readable | undefined {
  const stream = payload as Partial<Record<'pipe' | 'on' | 'destroy' | 'resume' | 'write', unknown>>
  if (typeof stream.pipe === 'function' && typeof stream.on === 'function') {
    // Only what is read can be asked to go on; what is written, such as `reply.raw`, ends at once.
    return typeof stream.destroy === 'function' && typeof (stream.resume ?? stream.write) === 'function' ? payload as Readable : undefined
  }
  return payload instanceof ReadableStream && !payload.locked ? Readable.fromWeb(payload) : undefined
}

/** Lets go of a payload that nobody will read. There are streams that call that an error, and an error that nobody hears ends the process. */
export function discard (payload: unknown): void {
  if (payload instanceof Readable) payload.on('error', () => {}).destroy()
}

type Methods = Record<string, (...args: unknown[]) => unknown>

/** What makes headers leave. All other ways of HTTP/1 come by the one. */
const HTTP1_WAYS = ['writeHead']
/** Not after its client has left, of whom a reply to HTTP/2 says no more. */
const HTTP2_WAYS = ['writeHead', 'write', 'end']
/** Not `end`, which Node calls when a client has left as well. */
const STREAM_WAYS = ['respond', 'respondWithFile', 'respondWithFD', 'write']

/** Calls `written` once, before headers leave, by whatever way, or would leave if there was a client; at once if they have left. */
export function onHeaders ({ raw }: FastifyReply, written: () => void): void {
  if (raw.headersSent) {
    written()
    return
  }
  const { stream } = raw as { stream?: object }
  let over = false
  const first = (): void => {
    if (over) return
    over = true
    written()
  }
  precede(raw, stream === undefined ? HTTP1_WAYS : HTTP2_WAYS, first)
  if (stream !== undefined) precede(stream, STREAM_WAYS, first)
}

/** Calls `ended` before a response ends, by whatever way, or once it has closed without that. */
export function onEnd (reply: FastifyReply, ended: () => void): void {
  const { raw } = reply
  const { stream } = raw as { stream?: object }
  let isOver = false
  const end = (): void => {
    if (!isOver) ended()
    isOver = true
  }
  precede(raw, ['end'], end)
  if (stream !== undefined) precede(stream, ['end'], end)
  onClose(reply, end)
}

/** Calls `before` before each of these methods. */
function precede (object: object, names: readonly string[], before: () => void): void {
  for (const name of names) {
    const method = (object as Methods)[name] as Methods[string]
    Object.assign(object, {
      [name] (...args: unknown[]): unknown {
        before()
        return method.apply(object, args)
      }
    })
  }
}

/** RFC 9113 section 7. */
const INTERNAL_ERROR = 2

/** Over HTTP/2 a response that is destroyed ends as one that is complete does, unless its stream is closed for an error. */
export function breakOff ({ raw }: FastifyReply): void {
  const { stream } = raw as { stream?: Pick<Http2Stream, 'close'> }
  if (raw.headersSent) stream?.close(INTERNAL_ERROR)
}

/** A serializer for what is serialized already. */
export function asIs (payload: unknown): string {
  return payload as string
}

/** Whether a payload is still being made. */
export function flows (payload: unknown): boolean {
  return typeof payload === 'object' && payload !== null && !(payload instanceof Uint8Array)
}
