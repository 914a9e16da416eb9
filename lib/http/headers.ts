/**
 * Response headers: what the handler did to them, and which of them belong to one connection only.
 *
 * Invariant: nothing returned here shares an array or object with a reply.
 */
import { combined } from './fields.js'

export type HeaderValue = string | number | readonly string[]
export type Headers = Readonly<Record<string, HeaderValue | undefined>>

/** Fields that belong to a connection or a message, not to the response (RFC 9110 section 7.6.1). */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer',
  'transfer-encoding', 'upgrade', 'http2-settings'
])

/** Headers that describe the bytes. They are recorded even if the handler did not change them, because a follower's hooks may differ. */
const OF_THE_BODY: ReadonlySet<string> = new Set(['content-type', 'content-encoding'])

/** What the handler did: the headers that it added or changed, and the names of those that it removed. */
export interface HeaderDelta {
  readonly set: ReadonlyArray<readonly [name: string, value: string | readonly string[]]>
  readonly removed: readonly string[]
}

export function headerDelta (before: Headers, after: Headers): HeaderDelta {
  const set: Array<readonly [string, string | readonly string[]]> = []
  const travels = travelling(after.connection)
  for (const name in after) {
    const value = after[name]
    if (value === undefined || !travels(name) || (same(before[name], value) && !OF_THE_BODY.has(name))) continue
    set.push([name, copy(value)])
  }
  const removed: string[] = []
  for (const name in before) {
    if (before[name] !== undefined && after[name] === undefined && !HOP_BY_HOP.has(name)) removed.push(name)
  }
  return { set, removed }
}

/** Makes a test for end-to-end fields: not hop-by-hop, and not named in Connection. */
export function travelling (connection: HeaderValue | undefined): (name: string) => boolean {
  const named = connection === undefined
    ? undefined
    : new Set(combined(connection).toLowerCase().split(',').map(name => name.trim()))
  return name => !HOP_BY_HOP.has(name) && named?.has(name) !== true
}

/** As text, as Node sends any value that an app sets: a Date, a URL, null. */
function copy (value: HeaderValue): string | readonly string[] {
  return Array.isArray(value) ? value.map(String) : String(value as string | number)
}

function same (a: HeaderValue | undefined, b: HeaderValue): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((each, index) => each === b[index])
  }
  return a === b
}
