/**
 * Decides what a client gets of a shared response: the whole, a 304, a 412, some ranges of it, or a 416.
 *
 * Invariant: pure except for the random boundary, and never throws. Only a 200 for GET or HEAD is changed; every other response is sent
 * whole. No part has more bytes than the whole. A 412 and a 416 have no caching headers of the whole.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { evaluate, parseHttpDate, validatorsOf } from './conditional.js'
import { combined } from './fields.js'
import type { Headers } from './headers.js'
import { contentRange, ifRangeHolds, multipart, parseRange, type Span } from './range.js'

/** The whole response, as the client would get it. */
export interface Representation {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Headers
  /** Returns all bytes; undefined if they are not available, because the body is a stream. */
  readonly body: (() => Buffer) | undefined
  /** The number of bytes of a streamed body; undefined if it is not known. */
  readonly length?: number | undefined
}

export interface Part {
  readonly status: 206 | 304 | 412 | 416
  readonly set: ReadonlyArray<readonly [name: string, value: string]>
  readonly removed: readonly string[]
  readonly body: Buffer | null
  /** The span to send of a streamed body. */
  readonly span?: Span
}

export interface Asking {
  readonly method: string
  readonly headers: IncomingHttpHeaders
}

/** Fields that describe the body, removed when no body is sent. A 304 keeps the fields by which caches update their copy (RFC 9110 section 15.4.5). */
const CONTENT = ['content-type', 'content-length', 'content-encoding', 'content-language', 'content-range', 'content-digest', 'content-md5', 'digest', 'repr-digest', 'accept-ranges']
/** Fields of a success that an error made from it must not have: a cache would store the error, or take it for the success. */
const STATE = ['etag', 'last-modified', 'cache-control', 'expires', 'age', 'content-location']
/** Fields that describe all bytes, and are wrong for a range (RFC 9530 section 2). */
const OF_ALL_BYTES = ['content-length', 'content-digest', 'content-md5']

/** Whether a request has a condition or a range. */
export function asksForPart (headers: IncomingHttpHeaders): boolean {
  return headers.range !== undefined || headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined ||
    headers['if-match'] !== undefined || headers['if-unmodified-since'] !== undefined
}

/**
 * Returns the part to send, `'whole'` if the response is to be sent unchanged, or `'needs-body'` if the ranges cannot be made before
 * all of the body is there. The caller may send the whole instead.
 *
 * @param now in milliseconds since 1970
 */
export function represent (whole: Representation, { method, headers }: Asking, now: number, token = randomToken): Part | 'whole' | 'needs-body' {
  if (whole.status !== 200 || (method !== 'GET' && method !== 'HEAD')) return 'whole'
  const validators = validatorsOf(whole.headers, now)
  switch (evaluate(validators, headers, now)) {
    case 'not-modified':
      // Without an ETag, Last-Modified stays: a cache needs it to find its copy.
      return { status: 304, set: [], removed: validators.etag === undefined ? CONTENT : [...CONTENT, 'last-modified'], body: null }
    case 'failed':
      return { status: 412, set: [], removed: [...CONTENT, ...STATE], body: null }
  }
  if (method !== 'GET' || headers.range === undefined || refusesRanges(whole.headers)) return 'whole'
  if (!ifRangeHolds(headers['if-range'], validators, parseHttpDate(whole.headers.date, now) ?? now)) return 'whole'
  const bytes = whole.body?.()
  const length = bytes?.length ?? whole.length
  return length === undefined ? 'needs-body' : slice(whole.headers, bytes, length, headers.range, token)
}

function slice (headers: Headers, bytes: Buffer | undefined, length: number, range: string, token: () => string): Part | 'whole' | 'needs-body' {
  const spans = parseRange(range, length)
  if (spans === undefined) return 'whole'
  const [span] = spans
  if (span === undefined) {
    return { status: 416, set: [['content-range', `bytes */${length}`]], removed: [...CONTENT, ...STATE], body: null }
  }
  if (spans.length === 1) {
    const set = ['content-range', contentRange(span, length)] as const
    return bytes === undefined
      ? { status: 206, set: [set, ['content-length', String(span.end - span.start)]], removed: OF_ALL_BYTES, body: null, span }
      : { status: 206, set: [set], removed: OF_ALL_BYTES, body: bytes.subarray(span.start, span.end) }
  }
  if (bytes === undefined) return 'needs-body'
  // The parts of a multipart body cannot say that their bytes are encoded.
  if (headers['content-encoding'] !== undefined && combined(headers['content-encoding']).trim().toLowerCase() !== 'identity') return 'whole'
  const { type, body } = multipart(bytes, spans, headers['content-type'] === undefined ? undefined : combined(headers['content-type']), token)
  return body.length < bytes.length ? { status: 206, set: [['content-type', type]], removed: OF_ALL_BYTES, body } : 'whole'
}

/** Whether a response says that it does not support ranges (RFC 9110 section 14.3), or is itself a range. */
function refusesRanges (headers: Headers): boolean {
  return headers['content-range'] !== undefined || combined(headers['accept-ranges']).trim().toLowerCase() === 'none'
}

function randomToken (): string {
  return randomBytes(18).toString('hex')
}
