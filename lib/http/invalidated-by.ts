/**
 * What a successful unsafe request makes out of date besides its own target (RFC 9111 section 4.4).
 *
 * Invariant: pure, never throws on any input. Nothing of another origin is ever named.
 */
import { lines } from './fields.js'
import type { Headers } from './headers.js'

/** What was requested: the scheme without its colon, the host with its port, and the path, with a query or without. */
export interface RequestUrl {
  readonly protocol: string
  readonly host: string
  readonly path: string
}

/** A field that has more lines than one is wrong already (RFC 9110 section 5.3), and each is resolved against the target. */
const MAX_LINES = 16

/**
 * The paths that Location and Content-Location of its response name, each once, but for the target's own: a path is out of date
 * with any query.
 */
export function invalidatedBy ({ protocol, host, path }: RequestUrl, headers: Headers): readonly string[] {
  const target = parse(`${protocol}://${host}`)
  // A host that says more than a host is none.
  if (target === undefined || target.href !== `${target.origin}/`) return []
  const self = path.startsWith('/') ? parse(target.origin + path) : undefined
  const paths = new Set<string>()
  for (const value of [headers.location, headers['content-location']]) {
    for (const line of value === undefined ? [] : lines(value).slice(0, MAX_LINES)) {
      const named = parse(line, self ?? target)
      // Not by its origin: a blob of this origin has that, too.
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
