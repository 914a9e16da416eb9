/**
 * Paths as a write fences them, and as what is kept is purged by them.
 *
 * Invariant: pure, linear, never throws; two paths that a router may take for the same one, with any of its options, have the same
 * fenced path, and so have all valid spellings of one path. Paths that differ may have it as well: a fence too many costs a run and
 * harms nobody. A fenced path is a path, and its own fenced path, and holds nothing that would end it in a URL.
 */

/** Where a router, or who purges, may take a path to end; and what begins an escape. */
const ENDS = /[%?#;]/g

/** `path` without what routers may overlook: the origin, percent-encoding, case, empty segments and those that are dots. */
export function fencedPath (path: string): string {
  const segments: string[] = []
  for (const segment of decode(path.replace(/^https?:\/\/.*?(?=\/|$)/i, '')).toLowerCase().split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  return '/' + segments.join('/').replace(ENDS, encodeURIComponent)
}

/** With all escapes resolved, to bytes of UTF-8. */
function decode (text: string): string {
  const bytes = Buffer.from(text).toString('latin1')
    .replace(/%([0-9a-f]{2})/gi, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString()
}
