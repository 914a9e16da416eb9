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

/** Whether every cookie that the header carries is one of `names`. */
export function carriesOnly (header: string, names: readonly string[]): boolean {
  return names.length > 0 && cookiePairs(header).every(([name]) => names.includes(name))
}
