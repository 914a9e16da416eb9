/**
 * The form in which paths are compared by purges, and by writes that end older flights.
 *
 * Invariant: pure, linear, never throws. Two paths that a router may take for the same one, with any of its options, have the same
 * form, and so have all valid spellings of one path. Paths that differ may have the same form as well: a purge too many costs one
 * run. The form is a path, its own form, and holds no character that would end it in a URL.
 */

/** Characters at which a path may end, for a router or for the caller of a purge, and the one that begins an escape. */
const ENDS = /[%?#;]/g

/** `path` without what routers may ignore: the origin, percent-encoding, case, empty segments and dot segments. */
export function fencedPath (path: string): string {
  const segments: string[] = []
  for (const segment of decode(path.replace(/^https?:\/\/.*?(?=\/|$)/i, '')).toLowerCase().split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  return '/' + segments.join('/').replace(ENDS, encodeURIComponent)
}

/** Decodes all percent-encoded bytes, as UTF-8. */
function decode (text: string): string {
  const bytes = Buffer.from(text).toString('latin1')
    .replace(/%([0-9a-f]{2})/gi, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString()
}
