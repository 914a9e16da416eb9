/**
 * What a client is given of a complete response that others have as well: all of it, 304, 412, some ranges of it, or 416.
 *
 * Invariant: pure but for the boundary's randomness, and it never throws. Only a 200 for GET or HEAD is looked at. No answer
 * has more bytes than the whole, and none that is not a 200 says how long the whole is fresh, but for 304.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { evaluate, parseHttpDate, validatorsOf } from './conditional.js'
import { combined } from './fields.js'
import type { Headers } from './headers.js'
import { contentRange, ifRangeHolds, multipart, parseRange, type Span } from './range.js'

/** A response as the client would be given it. */
export interface Representation {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Headers
  /** All its bytes; undefined if they are not at hand. */
  readonly body: (() => Buffer) | undefined
  /** How many bytes there will be, where they are not at hand; undefined if that is not known. */
  readonly length?: number | undefined
}

export interface Part {
  readonly status: 206 | 304 | 412 | 416
  readonly set: ReadonlyArray<readonly [name: string, value: string]>
  readonly removed: readonly string[]
  readonly body: Buffer | null
  /** What is to be cut out of bytes that are not at hand. */
  readonly span?: Span
}

export interface Asking {
  readonly method: string
  readonly headers: IncomingHttpHeaders
}

/** Fields about the bytes of a body that is not sent. RFC 9110 section 15.4.5: 304 keeps what caches are updated with. */
const CONTENT = ['content-type', 'content-length', 'content-encoding', 'content-language', 'content-range', 'content-digest', 'content-md5', 'digest', 'repr-digest', 'accept-ranges']
/** An error that is made of a success must not be taken for it, nor kept for as long. */
const STATE = ['etag', 'last-modified', 'cache-control', 'expires', 'age', 'content-location']
/** Of the bytes that are sent, so no longer true of some of them (RFC 9530 section 2). */
const OF_ALL_BYTES = ['content-length', 'content-digest', 'content-md5']

/** Whether a request asks for anything but the whole. */
export function asksForPart (headers: IncomingHttpHeaders): boolean {
  return headers.range !== undefined || headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined ||
    headers['if-match'] !== undefined || headers['if-unmodified-since'] !== undefined
}

/**
 * `'whole'`: the response as it is. `'needs-body'`: its conditions hold, and its ranges cannot be told, or put together, before
 * all of the body is here; the whole may be given instead.
 *
 * @param now in milliseconds since 1970
 */
export function represent (whole: Representation, { method, headers }: Asking, now: number, token = randomToken): Part | 'whole' | 'needs-body' {
  if (whole.status !== 200 || (method !== 'GET' && method !== 'HEAD')) return 'whole'
  const validators = validatorsOf(whole.headers, now)
  switch (evaluate(validators, headers, now)) {
    case 'not-modified':
      // Without a tag the date is all by which a cache finds what is not modified.
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
  // A part cannot say that it is a part of something coded.
  if (headers['content-encoding'] !== undefined && combined(headers['content-encoding']).trim().toLowerCase() !== 'identity') return 'whole'
  const { type, body } = multipart(bytes, spans, headers['content-type'] === undefined ? undefined : combined(headers['content-type']), token)
  return body.length < bytes.length ? { status: 206, set: [['content-type', type]], removed: OF_ALL_BYTES, body } : 'whole'
}

/** RFC 9110 section 14.3; and what has a range already is itself a part of something. */
function refusesRanges (headers: Headers): boolean {
  return headers['content-range'] !== undefined || combined(headers['accept-ranges']).trim().toLowerCase() === 'none'
}

function randomToken (): string {
  return randomBytes(18).toString('hex')
}
