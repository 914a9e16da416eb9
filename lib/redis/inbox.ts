/**
 * Messages between processes: how they are written, and read.
 *
 * Invariant: whatever arrives is read in linear time, and is a message or undefined. What a message carries is sealed, and is not opened
 * here.
 */

/** A process, then a number of its own. */
const TOKEN = /^[\w-]{22}:[\da-z]{1,12}$/
const INSTANCE = /^[\w-]{22}$/
const LONGEST_TOKEN = 35
const LINE_FEED = 10

export type Message =
  /** To who leads: somebody waits. */
  | { readonly type: 'waited', readonly token: string }
  /** To who waits: the result. */
  | { readonly type: 'inline', readonly token: string, readonly sealed: Buffer }
  /** To who waits: the result is in Redis, and has so many bytes. */
  | { readonly type: 'claim', readonly token: string, readonly bytes: number }
  /** To who waits: nothing comes of it. */
  | { readonly type: 'released', readonly token: string }
  /** To who waits: so many entries of its log can be read. `isWhole`: the last one is the end. */
  | { readonly type: 'log', readonly token: string, readonly entries: number, readonly isWhole: boolean }
  /** To all: something was purged. */
  | { readonly type: 'purged', readonly instance: string, readonly sealed: Buffer }
  /** To all: what was purged is no longer known. */
  | { readonly type: 'reset', readonly instance: string }

/** The process of a token. */
export function instanceOf (token: string): string {
  return token.slice(0, token.indexOf(':'))
}

export function readMessage (message: Buffer): Message | undefined {
  const type = message.toString('latin1', 0, 1)
  const feed = message.subarray(0, LONGEST_TOKEN + 2).indexOf(LINE_FEED)
  const head = message.toString('latin1', 1, feed < 0 ? Math.min(message.length, LONGEST_TOKEN + 2) : feed)
  if (type === 'W') return feed < 0 && TOKEN.test(head) ? { type: 'waited', token: head } : undefined
  if (feed < 0) return undefined
  const rest = message.subarray(feed + 1)
  if (type === 'P') return INSTANCE.test(head) ? { type: 'purged', instance: head, sealed: rest } : undefined
  if (type === 'A') return INSTANCE.test(head) && rest.length === 0 ? { type: 'reset', instance: head } : undefined
  return TOKEN.test(head) ? readEnding(type, head, rest) : undefined
}

function readEnding (type: string, token: string, rest: Buffer): Message | undefined {
  if (type === 'I') return { type: 'inline', token, sealed: rest }
  if (type === 'X') return rest.length === 0 ? { type: 'released', token } : undefined
  if (rest.length > 12) return undefined
  const text = rest.toString('latin1')
  if (!/^\d{1,12}$/.test(text)) return undefined
  const count = Number(text)
  if (type === 'R') return { type: 'claim', token, bytes: count }
  return type === 'L' || type === 'E' ? { type: 'log', token, entries: count, isWhole: type === 'E' } : undefined
}

export function purgedMessage (instance: string, sealed: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`P${instance}\n`), sealed])
}

export function resetMessage (instance: string): string {
  return `A${instance}\n`
}
