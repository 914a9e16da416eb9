/**
 * For readers of explanations: what `fastify.coalesce.explain` answers.
 */
import type { ParkingFigures, VariesOn } from './figures.js'
import type { Outcome } from './outcome.js'

/** Options of `explain`. */
export interface ExplainOptions {
  /**
   * Give the values of the key's parts and of what tells variants apart as well, not only their names.
   * @default false
   */
  readonly values?: boolean
}

/** What would happen to a request, and why. It has nothing but data: `JSON.stringify` gives all of it. */
export interface Explanation {
  /** The route that the request comes to; undefined if there is none. */
  readonly route: { readonly method: string, readonly url: string } | undefined
  /** Whether that route is coalesced. */
  readonly coalesced: boolean
  /** In one sentence: what would happen. */
  readonly summary: string
  /** Where requests of the route wait, and why there. `skips`: which hooks followers skip because of that. */
  readonly parking: ParkingFigures | undefined
  /** The answer of a hook, a validation or a parser that came before coalescing: the request does not get as far as that. */
  readonly gate: { readonly status: number, readonly error: string | undefined } | undefined
  /** What is asked of the request, in order, up to the first that decides. */
  readonly steps: readonly ExplainedStep[]
  /** How it would be served; undefined if it does not get as far as that. */
  readonly outcome: Outcome | undefined
  /** Why. Undefined for a leader, a follower and a peer: only the run tells. */
  readonly reason: string | undefined
  /** More of the reason, as `request.coalesce.cause` has it. */
  readonly cause: string | undefined
  /** What its key is made of; undefined if it has none. */
  readonly key: readonly ExplainedPart[] | undefined
  /** What the request carries that its key does not cover. */
  readonly outside: readonly ExplainedOutside[]
  /** What is known to tell several responses of the key apart. */
  readonly variant: readonly ExplainedName[]
  /** Why the last response of the key was not shared, and for how many milliseconds more that is remembered. */
  readonly unshareable: { readonly cause: string, readonly remaining: number } | undefined
  /**
   * The run in the air for the key. `since`: how many milliseconds ago it began, or was joined. `elsewhere`: another process runs, and it is
   * not known yet for which request.
   */
  readonly flight: {
    readonly leaderId: string | undefined
    readonly followers: number
    readonly since: number
    readonly elsewhere?: boolean
  } | undefined
  /**
   * Where processes meet, if it would be asked first whether another one runs for the key. It was not asked for this. `isDown`: it is known
   * that it cannot be asked now.
   */
  readonly coordinator: { readonly isDown: boolean } | undefined
  /** What is cached for the key, if it was looked for and found; durations are in milliseconds. */
  readonly cached: ExplainedEntry | undefined
}

/** One question, and whether it decided. */
export interface ExplainedStep {
  readonly step: 'enabled' | 'method' | 'body' | 'range' | 'upgrade' | 'method-override' | 'connection' | 'credentials' | 'request-directives' |
    'key' | 'variant' | 'unshareable' | 'flight' | 'cached' | 'limits' | 'breaker' | 'coordinator' | 'queue' | 'lead'
  readonly decides: boolean
  readonly text: string
}

/** A part of a key. */
export interface ExplainedPart {
  readonly part: 'route' | 'method' | 'protocol' | 'host' | 'path' | 'query' | 'original-url' | 'key' | 'identity' | 'header' | 'cookie' |
    'body' | 'hooks'
  /** Which header, cookie or parameter. */
  readonly name?: string
  /** Only if asked for. */
  readonly value?: unknown
}

/** What a key does not cover. */
export interface ExplainedOutside {
  readonly kind: 'header' | 'address' | 'query'
  readonly name: string
  /**
   * How it is treated:
   *
   * - `variant`: responses are known to depend on it
   * - `read`: a hook has read it, so the response will depend on it
   * - `ignored`: `learnVary: { ignore }` says that reading it does not matter
   * - `infrastructure`: hooks may read it, and only a handler's read counts
   * - `trusted`: with `learnVary: false` nobody looks who reads it; the response's `Vary` tells
   * - `unread`: it counts as soon as a hook or the handler reads it
   */
  readonly treated: 'variant' | 'read' | 'ignored' | 'infrastructure' | 'trusted' | 'unread'
}

/** A name that tells responses of one key apart. */
export interface ExplainedName {
  readonly name: string
  /** Where that was seen first, for responses of the route; see `VariesOn`. */
  readonly learnedFrom: VariesOn['learnedFrom']
  /** Only if asked for; null if the request has none. */
  readonly value?: string | null
}

/** What is cached under a key. */
export interface ExplainedEntry {
  readonly status: number
  readonly bytes: number
  readonly tags: readonly string[]
  readonly age: number
  /** How much longer it is fresh; negative once it is not. */
  readonly fresh: number
  /** How long it may be served stale after that, while it is refreshed. */
  readonly staleWhileRevalidate: number
  /** How long it may be served stale after that, instead of an error. */
  readonly staleIfError: number
}
