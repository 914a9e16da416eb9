/**
 * The paths that a successful unsafe request invalidates besides its own target (RFC 9111 section 4.4).
 *
 * Invariant: pure, never throws on any input. Paths of another origin are never among them.
 */
import { lines } from './fields.js'
import type { Headers } from './headers.js'

/** The requested URL: the scheme without its colon, the host with its port, and the path with or without a query. */
export interface RequestUrl {
  readonly protocol: string
  readonly host: string
  readonly path: string
}

/** These fields should have one line (RFC 9110 section 5.3), so that this many are more than enough. */
const MAX_LINES = 16

/**
 * The paths that Location and Content-Location of its response name, each once, without the target's own path, which is
 * invalidated with any query.
 */
export function invalidatedBy ({ protocol, host, path }: RequestUrl, headers: Headers): readonly string[] {
  const target = parse(`${protocol}://${host}`)
  // A host that also has a path, a query or credentials is not valid.
  if (target === undefined || target.href !== `${target.origin}/`) return []
  const self = path.startsWith('/') ? parse(target.origin + path) : undefined
  const paths = new Set<string>()
  for (const value of [headers.location, headers['content-location']]) {
    for (const line of value === undefined ? [] : lines(value).slice(0, MAX_LINES)) {
      const named = parse(line, self ?? target)
      // A blob: URL has the same origin, so scheme and host are compared.
      if (named?.protocol === target.protocol && named.host === target.host) paths.add(named.pathname)
    }
  }
  if (self !== undefined) paths.delete(self.pathname)
  return [...paths]
}

function parse (text: string, base?: URL): URL | undefined {
  try {
    return new URL(text, base)
  } catch {
    return undefined
  }
}
