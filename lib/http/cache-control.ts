/**
 * What a response's Cache-Control says to a shared cache (RFC 9111 section 5.2.2), as far as sharing goes.
 *
 * Invariant: a restrictive directive counts in any spelling: any case, with or without a field-name argument, on any of
 * several field lines. A field that is not well formed counts as restrictive.
 */
import { parseDeltaSeconds } from './delta-seconds.js'
import { directives, lines, type FieldValue } from './fields.js'

export type Restriction = 'private' | 'no-store' | 'cache-control-malformed'

export interface CacheControl {
  /** Why the response is for its own client only. */
  readonly restriction: Restriction | undefined
  /** Whether the response has explicit freshness, or `public`, so that it may be shared whatever its status. */
  readonly explicit: boolean
}

const NOTHING: CacheControl = Object.freeze({ restriction: undefined, explicit: false })
const MALFORMED: CacheControl = Object.freeze({ restriction: 'cache-control-malformed', explicit: false })

export type Directive = readonly [name: string, argument: string | undefined]

/** The directives of all lines, in order; one without a name stands for a line that is not well formed. */
export function cacheDirectives (value: FieldValue): readonly Directive[] {
  return value === undefined ? [] : lines(value).flatMap<Directive>(line => directives(line) ?? [['', undefined]])
}

export function parseCacheControl (value: FieldValue): CacheControl {
  return value === undefined ? NOTHING : judge(cacheDirectives(value))
}

/** What these directives say. */
export function judge (found: readonly Directive[]): CacheControl {
  let restriction: Restriction | undefined
  let explicit = false
  for (const [name, argument] of found) {
    switch (name) {
      case '':
        return MALFORMED
      case 'no-store':
        restriction = 'no-store'
        break
      case 'private':
        restriction ??= 'private'
        break
      case 'public':
        explicit = true
        break
      case 'max-age':
      case 's-maxage':
        if (parseDeltaSeconds(argument) === undefined) restriction ??= 'cache-control-malformed'
        else explicit = true
        break
    }
  }
  return { restriction, explicit }
}
