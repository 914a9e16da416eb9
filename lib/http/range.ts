/**
 * Byte ranges (RFC 9110 section 14): parses Range, evaluates If-Range, and writes the ranges of a response.
 *
 * Invariant: never throws on any input. A Range that is malformed, or would cost more than the whole, is ignored: the client gets the
 * whole, as section 14.2 allows.
 */
import { matchesStrongly, parseEntityTag, parseHttpDate, trimmed, type Validators } from './conditional.js'
import { combined, type FieldValue } from './fields.js'

/** The bytes from `start` to `end`, without the one at `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** The most ranges in one request. A Range with more is ignored. */
export const MAX_RANGES = 32

const UNIT = /^bytes=/i
const SPEC = /^(\d*)-(\d*)$/

/**
 * The spans that a Range asks for, in its order. Spans behind the end of the whole are left out, so the list may be empty. Returns
 * undefined if the Range is to be ignored: another unit, malformed, too many ranges, or ranges that overlap.
 *
 * @param length of the whole, in bytes
 */
export function parseRange (value: FieldValue, length: number): readonly Span[] | undefined {
  const text = combined(value)
  if (!UNIT.test(text)) return undefined
  const specs = text.slice('bytes='.length).split(',').map(trimmed).filter(spec => spec !== '')
  if (specs.length === 0 || specs.length > MAX_RANGES) return undefined
  const spans: Span[] = []
  for (const spec of specs) {
    const [, first, last] = SPEC.exec(spec) ?? []
    if (first === undefined || last === undefined || (first === '' && last === '')) return undefined
    if (first === '') {
      const suffix = Number(last)
      if (suffix === 0) continue
      // No Content-Range can describe the last bytes of an empty body.
      if (length === 0) return undefined
      spans.push({ start: Math.max(length - suffix, 0), end: length })
    } else {
      if (last !== '' && isLess(last, first)) return undefined
      const start = Number(first)
      if (start < length) spans.push({ start, end: last === '' ? length : Math.min(Number(last) + 1, length) })
    }
  }
  return overlap(spans) ? undefined : spans
}

/** Whether the number `a` is less than `b`. Both are text with any number of digits. */
function isLess (a: string, b: string): boolean {
  const [one, other] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')] as const
  return one.length === other.length ? one < other : one.length < other.length
}

function overlap (spans: readonly Span[]): boolean {
  const sorted = [...spans].sort((a, b) => a.start - b.start)
  return sorted.some(({ start }, index) => index > 0 && start < (sorted[index - 1] as Span).end)
}

/**
 * Whether the If-Range of a request matches this representation (RFC 9110 section 13.1.5). True without an If-Range. A date matches only
 * if the response was sent at least a second later: until then the representation could have changed again (section 8.8.2.2).
 *
 * @param sent the response's Date, or the current time, in milliseconds since 1970
 */
export function ifRangeHolds (value: FieldValue, { etag, lastModified }: Validators, sent: number): boolean {
  if (value === undefined) return true
  const tag = parseEntityTag(value)
  if (tag !== undefined) return etag !== undefined && matchesStrongly(tag, etag)
  const date = parseHttpDate(value, sent)
  return date !== undefined && date === lastModified && date + 1000 <= sent
}

export function contentRange ({ start, end }: Span, length: number): string {
  return `bytes ${start}-${end - 1}/${length}`
}

/**
 * Writes several ranges as one multipart body (RFC 9110 section 14.6).
 *
 * @param type the Content-Type of the whole; undefined if it has none
 * @param token returns a boundary that is hard to guess; called again if the whole contains it
 */
export function multipart (
  whole: Buffer, spans: readonly Span[], type: string | undefined, token: () => string
): { type: string, body: Buffer } {
  let boundary = token()
  while (whole.includes(boundary)) boundary = token()
  const typed = type === undefined ? '' : `Content-Type: ${type}\r\n`
  const parts = spans.flatMap(span => [
    Buffer.from(`\r\n--${boundary}\r\n${typed}Content-Range: ${contentRange(span, whole.length)}\r\n\r\n`, 'latin1'),
    whole.subarray(span.start, span.end)
  ])
  return { type: `multipart/byteranges; boundary=${boundary}`, body: Buffer.concat([...parts, Buffer.from(`\r\n--${boundary}--\r\n`)]) }
}
