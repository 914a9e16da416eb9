/**
 * Questions about Fastify's replies and payloads, and changes to them, that have no public API.
 *
 * Invariant: if something is unknown, the answer is the one that prevents sharing.
 */
import type { Http2Stream } from 'node:http2'
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import type { FastifyReply } from 'fastify'
import { parseCacheControl } from '../../http/cache-control.js'
import type { Headers } from '../../http/headers.js'
import type { Part } from '../../http/represent.js'
import { targetedRestriction } from '../../http/response-directives.js'
import type { UnshareableReason } from '../../reasons.js'
import { headersOf } from '../internals.js'
import { onClose } from './queued-reply.js'

/** The reason why a reply with these headers may not be shared, if there is one. Other hooks may have added such headers after the capture. */
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

/** The status that a reply will have. Fastify takes a Response's late. */
export function statusOf ({ statusCode }: FastifyReply, payload: unknown): number {
  return isResponse(payload) ? payload.status : statusCode
}

/** Whether a payload is a Node stream or a web stream. */
export function isStream (payload: unknown): boolean {
  const stream = payload as { readonly pipe?: unknown, readonly getReader?: unknown } | null | undefined
  return typeof stream?.pipe === 'function' || typeof stream?.getReader === 'function'
}

/** The status and the headers of a reply. */
export interface Head {
  readonly status: number
  readonly headers: Headers
}

/** A copy of a reply's status and headers. */
export function headOf (reply: FastifyReply): Head {
  const headers: Record<string, Headers[string]> = { ...headersOf(reply) }
  for (const [name, value] of Object.entries(headers)) if (Array.isArray(value)) headers[name] = [...value as string[]]
  return { status: reply.statusCode, headers }
}

/** Copies the status and headers of a Response to a reply, as Fastify does when it sends one. */
export function takeHeadOf (response: Response, reply: FastifyReply): void {
  reply.code(response.status)
  for (const [name, value] of response.headers) reply.header(name, value)
}

export function restoreHead (reply: FastifyReply, { status, headers }: Head): void {
  reply.code(status)
  restoreHeaders(reply, headers)
}

/** Restores the headers that a reply had before. */
export function restoreHeaders (reply: FastifyReply, before: Headers): void {
  for (const [name, value] of Object.entries(headersOf(reply))) {
    const own = before[name]
    if (own === value) continue
    // Remove it first: `reply.header` appends to `Set-Cookie` instead of replacing it.
    reply.removeHeader(name)
    if (own !== undefined) reply.header(name, own)
  }
}

/** Sets the status and headers of a part on a reply. */
export function applyPart (reply: FastifyReply, { status, set, removed }: Part): void {
  for (const name of removed) reply.removeHeader(name)
  for (const [name, value] of set) reply.header(name, value)
  reply.code(status)
}

/** A payload as a Node stream; undefined if Fastify would not send the payload as a stream, or if the stream has no `destroy`. */
export function readableOf (payload: unknown): Readable | undefined {
  const stream = payload as Partial<Record<'pipe' | 'on' | 'destroy' | 'resume' | 'write', unknown>>
  if (typeof stream.pipe === 'function' && typeof stream.on === 'function') {
    // `resume` marks a stream that can be read, and `write` one that can be written, such as `reply.raw`. A payload with neither is not taken.
    return typeof stream.destroy === 'function' && typeof (stream.resume ?? stream.write) === 'function' ? payload as Readable : undefined
  }
  return payload instanceof ReadableStream && !payload.locked ? Readable.fromWeb(payload) : undefined
}

/** Destroys a payload that nobody will read. Some streams then emit an error; without a listener that error would end the process. */
export function discard (payload: unknown): void {
  if (payload instanceof Readable) payload.on('error', () => {}).destroy()
  const web = isResponse(payload) ? payload.body : payload
  if (web instanceof ReadableStream && !web.locked) web.cancel().catch(() => {})
}

type Methods = Record<string, (...args: unknown[]) => unknown>

/** The methods that send headers over HTTP/1. All other methods call `writeHead`. */
const HTTP1_WAYS = ['writeHead']
/** The methods of an HTTP/2 reply that send headers. */
const HTTP2_WAYS = ['writeHead', 'write', 'end']
/** The methods of an HTTP/2 stream that send headers. Not `end`: Node calls it also when a client has left. */
const STREAM_WAYS = ['respond', 'respondWithFile', 'respondWithFD', 'write']

/**
 * Calls `written` once, before any method sends the headers, or would send them if the client had not left. Calls it at once if the
 * headers have been sent.
 */
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

/** Calls `ended` once, before the app ends the response, or when the response closes without that. */
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

/** Calls `destroyed` before the response is destroyed by Fastify, or by the app. Where its client leaves, Node itself destroys what is below. */
export function onDestroy ({ raw }: FastifyReply, destroyed: () => void): void {
  precede(raw, ['destroy'], destroyed)
}

/** Wraps methods of an object, so that each calls `before` first. */
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

/** An error code of HTTP/2 (RFC 9113 section 7). */
const INTERNAL_ERROR = 2

/**
 * Closes the stream of an HTTP/2 response with an error, if headers have been sent. If the response were only destroyed, the client would
 * take it for complete.
 */
export function breakOff ({ raw }: FastifyReply): void {
  const { stream } = raw as { stream?: Pick<Http2Stream, 'close'> }
  if (raw.headersSent) stream?.close(INTERNAL_ERROR)
}

/** A serializer for a payload that is already serialized: returns it unchanged. */
export function asIs (payload: unknown): string {
  return payload as string
}

/** Whether a payload is a stream or a Response, whose bytes are still to come. */
export function flows (payload: unknown): boolean {
  return typeof payload === 'object' && payload !== null && !(payload instanceof Uint8Array)
}
