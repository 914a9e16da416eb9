/**
 * The Cookie request header, read for the names and raw values of its pairs.
 *
 * Invariant: a pair without a name gets the name '', which no option can list, so that it never counts as covered.
 */

/** The pairs of a Cookie header (RFC 6265 section 4.2.1), in order, values raw. A piece without `=` has the name ''. */
export function cookiePairs (header: string): Array<readonly [name: string, value: string]> {
  const pairs: Array<readonly [string, string]> = []
  for (const piece of header.split(';')) {
    const pair = trim(piece)
    if (pair === '') continue
    const end = pair.indexOf('=')
    pairs.push(end === -1 ? ['', pair] : [trim(pair.slice(0, end)), trim(pair.slice(end + 1))])
  }
  return pairs
}

/** Removes spaces and tabs around a pair, and nothing that a cookie parser would keep. */
function trim (text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isSpace(text.charCodeAt(start))) start++
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isSpace (code: number): boolean {
  return code === 32 || code === 9
}

/** What a route says of cookies. */
export interface CookieSettings {
  /** The names of those that are part of the key. */
  readonly key: readonly string[]
  /** Tells those that nobody is to see; undefined: there are none. */
  readonly ignores: ((name: string) => boolean) | undefined
  /** The same, as the option lists them. */
  readonly ignored: readonly string[]
}

/**
 * A Cookie header without the cookies of these names, the other pieces in their order; as it was if it has none of them. Undefined:
 * nothing is left. A piece without `=` has the name ''.
 */
export function withoutCookies (header: string, isIgnored: (name: string) => boolean): string | undefined {
  const pieces = header.split(';')
  // Some parsers take more than spaces and tabs off a name.
  const left = pieces.filter(piece => !isIgnored(piece.slice(0, Math.max(piece.indexOf('='), 0)).trim()))
  if (left.length === pieces.length) return header
  const rest = left.map(trim).filter(piece => piece !== '')
  return rest.length === 0 ? undefined : rest.join('; ')
}

/** Whether every cookie that the header carries is one of `names`. */
export function carriesOnly (header: string, names: readonly string[]): boolean {
  return names.length > 0 && cookiePairs(header).every(([name]) => names.includes(name))
}
