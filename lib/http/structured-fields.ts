/**
 * The part of structured fields (RFC 8941) that caching needs: reading a dictionary of bare values, writing a token or string.
 *
 * Invariant: never throws. A dictionary that is not well formed to its end is undefined, and so is text that cannot be written.
 */
import { combined, type FieldValue } from './fields.js'

const KEY = '[a-z*][a-z0-9_\\-.*]*'
const TOKEN = "[A-Za-z*][!#$%&'*+\\-.^_`|~0-9A-Za-z:/]*"
const STRING = '"(?:[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]|\\\\["\\\\])*"'
const BARE = `(?:-?\\d{1,12}\\.\\d{1,3}|-?\\d{1,15}|${STRING}|${TOKEN}|:[A-Za-z0-9+/=]*:|\\?[01])`
const PARAMETERS = `(?:; *${KEY}(?:=${BARE})?)*`
const INNER_LIST = `\\( *(?:${BARE}${PARAMETERS}(?: +|(?=\\))))*\\)`
const MEMBER = new RegExp(`(${KEY})(?:=(${INNER_LIST}|${BARE}))?${PARAMETERS}`, 'y')
const AFTER_MEMBER = /[ \t]*(?:(,)[ \t]*|$)/y

/**
 * The members of a dictionary (RFC 8941 section 4.2.2) with their values as they are written, undefined where there is none,
 * without their parameters. Of several members of one name the last counts. Undefined if the field is not a dictionary.
 */
export function parseDictionary (value: FieldValue): ReadonlyMap<string, string | undefined> | undefined {
  const text = combined(value).replace(/^ +/, '')
  const members = new Map<string, string | undefined>()
  let more = text !== ''
  for (let at = 0; more; at = AFTER_MEMBER.lastIndex) {
    MEMBER.lastIndex = at
    const member = MEMBER.exec(text)
    if (member === null) return undefined
    members.set(member[1] as string, member[2])
    AFTER_MEMBER.lastIndex = MEMBER.lastIndex
    const after = AFTER_MEMBER.exec(text)
    if (after === null) return undefined
    more = after[1] !== undefined
  }
  return members
}

const WHOLE_TOKEN = new RegExp(`^${TOKEN}$`)
const WRITABLE = /^[\x20-\x7e]*$/

/** Text as a token if it is one, else as a string (RFC 8941 section 4.1.6); undefined if it can be neither. */
export function tokenOrString (text: string): string | undefined {
  if (WHOLE_TOKEN.test(text)) return text
  return WRITABLE.test(text) ? `"${text.replace(/["\\]/g, '\\$&')}"` : undefined
}
