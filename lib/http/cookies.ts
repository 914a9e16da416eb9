/**
 * The Cookie request header, read for the names and raw values of its pairs.
 *
 * Invariant: a pair that cannot be read is reported under a name that nobody can declare, so that it never counts as covered.
 */

/** The pairs of a Cookie header (RFC 6265 section 4.2.1), in order, values raw. A piece without `=` has the name ''. */
export function cookiePairs (header: string): Array<readonly [name: string, value: string]> {
  const pairs: Array<readonly [string, string]> = []
  for (const piece of header.split(';')) {
    const pair = piece.trim()
    if (pair === '') continue
    const end = pair.indexOf('=')
    pairs.push(end === -1 ? ['', pair] : [pair.slice(0, end).trim(), pair.slice(end + 1).trim()])
  }
  return pairs
}

/** Whether every cookie that the header carries is one of `names`. */
export function carriesOnly (header: string, names: readonly string[]): boolean {
  return names.length > 0 && cookiePairs(header).every(([name]) => names.includes(name))
}
