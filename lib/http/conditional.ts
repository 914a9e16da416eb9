/**
 * Evaluates conditional requests (RFC 9110 section 13).
 *
 * Invariant: never throws on any input. A malformed validator or condition is ignored, as if it had not been sent.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { combined, type FieldValue } from './fields.js'

export interface EntityTag {
  readonly weak: boolean
  /** The text between the quotes. */
  readonly opaque: string
}

/** The validators of a response: they tell one state of a representation from another. Undefined if the response has none. */
export interface Validators {
  readonly etag: EntityTag | undefined
  /** In milliseconds since 1970, always whole seconds. */
  readonly lastModified: number | undefined
}

/** The result of the conditions: answer as usual, 304, or 412. */
export type Verdict = 'go-on' | 'not-modified' | 'failed'

const TAG = /(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"/y

/** Parses one entity tag (RFC 9110 section 8.8.3), from ETag or If-Range. */
export function parseEntityTag (value: FieldValue): EntityTag | undefined {
  const text = trimmed(combined(value))
  const found = tagAt(text, 0)
  return found?.end === text.length ? found.tag : undefined
}

/** Parses If-Match or If-None-Match: a list of tags, or `*`. Returns undefined if the value is malformed, or has no tags. */
export function parseEntityTags (value: FieldValue): readonly EntityTag[] | '*' | undefined {
  const text = trimmed(combined(value))
  if (text === '*') return '*'
  const tags: EntityTag[] = []
  let at = 0
  while (at < text.length) {
    if (text[at] !== ',') {
      const found = tagAt(text, at)
      if (found === undefined) return undefined
      tags.push(found.tag)
      at = skip(text, found.end)
      if (at < text.length && text[at] !== ',') return undefined
    }
    at = skip(text, at + 1)
  }
  return tags.length === 0 ? undefined : tags
}

function tagAt (text: string, at: number): { readonly tag: EntityTag, readonly end: number } | undefined {
  TAG.lastIndex = at
  const match = TAG.exec(text)
  return match === null ? undefined : { tag: { weak: match[1] !== undefined, opaque: match[2] as string }, end: TAG.lastIndex }
}

function skip (text: string, at: number): number {
  while (isSpace(text[at])) at++
  return at
}

/** Removes optional white space from both ends (RFC 9110 section 5.6.3), in linear time. */
export function trimmed (text: string): string {
  let end = text.length
  while (end > 0 && isSpace(text[end - 1])) end--
  return text.slice(skip(text, 0), end)
}

function isSpace (char: string | undefined): boolean {
  return char === ' ' || char === '\t'
}

/** Strong comparison (RFC 9110 section 8.8.3.2): both representations have the same bytes. */
export function matchesStrongly (a: EntityTag, b: EntityTag): boolean {
  return !a.weak && !b.weak && a.opaque === b.opaque
}

/** Weak comparison (RFC 9110 section 8.8.3.2): each representation can replace the other. */
export function matchesWeakly (a: EntityTag, b: EntityTag): boolean {
  return a.opaque === b.opaque
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTH = `(?<month>${MONTHS.join('|')})`
const DAY = `(?<weekday>${DAYS.map(day => day.slice(0, 3)).join('|')})`
const TIME = '(?<hour>\\d\\d):(?<minute>\\d\\d):(?<second>\\d\\d)'
const FORMS = [
  // First IMF-fixdate, which servers send; then the two obsolete forms.
  new RegExp(`^${DAY}, (?<day>\\d\\d) ${MONTH} (?<year>\\d{4}) ${TIME} GMT$`),
  new RegExp(`^(?<weekday>${DAYS.join('|')}), (?<day>\\d\\d)-${MONTH}-(?<short>\\d\\d) ${TIME} GMT$`),
  new RegExp(`^${DAY} ${MONTH} (?<day>\\d\\d| \\d) ${TIME} (?<year>\\d{4})$`)
]

/**
 * Parses an HTTP-date in any of its three forms (RFC 9110 section 5.6.7). Returns milliseconds since 1970, or undefined if the value
 * is not a date, or the day does not exist.
 *
 * @param now in milliseconds since 1970: a year of two digits is at most fifty years in the future
 */
export function parseHttpDate (value: FieldValue, now: number): number | undefined {
  const text = combined(value)
  for (const form of FORMS) {
    const parts = form.exec(text)?.groups
    if (parts === undefined) continue
    const [day, hour, minute, second] = ['day', 'hour', 'minute', 'second'].map(name => Number(parts[name])) as [number, number, number, number]
    const year = parts.year === undefined ? fullYear(Number(parts.short), now) : Number(parts.year)
    const month = MONTHS.indexOf(parts.month as string)
    if (hour > 23 || minute > 59 || second > 60) return undefined
    const date = new Date(0)
    date.setUTCFullYear(year, month, day)
    if (date.getUTCDate() !== day || date.getUTCMonth() !== month) return undefined
    if (DAYS[date.getUTCDay()]?.startsWith(parts.weekday as string) !== true) return undefined
    // A leap second counts as second 59.
    return date.setUTCHours(hour, minute, Math.min(second, 59))
  }
  return undefined
}

function fullYear (short: number, now: number): number {
  const current = new Date(now).getUTCFullYear()
  const year = current - current % 100 + short
  return year > current + 50 ? year - 100 : year
}

export function validatorsOf (headers: Readonly<Record<string, FieldValue>>, now: number): Validators {
  return { etag: parseEntityTag(headers.etag), lastModified: parseHttpDate(headers['last-modified'], now) }
}

/**
 * Evaluates the conditions of a GET or HEAD on an existing representation (RFC 9110 section 13.2.2). If the response lacks the validator
 * of a condition, the condition is ignored; the condition with lower precedence is then ignored too.
 *
 * @param now in milliseconds since 1970
 */
export function evaluate ({ etag, lastModified }: Validators, headers: IncomingHttpHeaders, now: number): Verdict {
  if (headers['if-match'] !== undefined) {
    const tags = parseEntityTags(headers['if-match'])
    if (tags !== undefined && tags !== '*' && etag !== undefined && !tags.some(tag => matchesStrongly(tag, etag))) return 'failed'
  } else if (headers['if-unmodified-since'] !== undefined) {
    const since = parseHttpDate(headers['if-unmodified-since'], now)
    if (since !== undefined && lastModified !== undefined && lastModified > since) return 'failed'
  }
  if (headers['if-none-match'] !== undefined) {
    const tags = parseEntityTags(headers['if-none-match'])
    if (tags === '*') return 'not-modified'
    return tags !== undefined && etag !== undefined && tags.some(tag => matchesWeakly(tag, etag)) ? 'not-modified' : 'go-on'
  }
  if (headers['if-modified-since'] !== undefined) {
    const since = parseHttpDate(headers['if-modified-since'], now)
    if (since !== undefined && lastModified !== undefined && lastModified <= since) return 'not-modified'
  }
  return 'go-on'
}
