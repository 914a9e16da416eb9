/**
 * Paths as a write fences them.
 *
 * Invariant: pure, never throws; two paths that a router may take for the same one, with any of its options, have the same
 * fenced path. Paths that differ may have it as well: a fence too many costs a run and harms nobody.
 */

/** `path` without what routers may overlook: the origin, percent-encoding, case, repeated and trailing slashes. */
export function fencedPath (path: string): string {
  const bytes = path.replace(/^https?:\/\/.*?(?=\/|$)/i, '')
    .replace(/%([0-9a-f]{2})/gi, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString().toLowerCase().replace(/\/+/g, '/').replace(/\/$/, '')
}
