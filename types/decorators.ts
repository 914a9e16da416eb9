/**
 * For users of the decorators: `fastify.coalesce`, `request.coalesce` and `reply.coalesce`.
 */
import type { InjectOptions } from 'fastify'
import type { Registry } from 'prom-client'
import type { ExplainOptions, Explanation } from './explanation.js'
import type { CoalesceStats } from './figures.js'
import type { Batched, Deduplicate } from './functions.js'
import type { Outcome } from './outcome.js'
import type { Report } from './report.js'

/** What `fastify.coalesce` is. */
export interface Coalesce {
  /** The five figures, for all routes and functions of this registration together and for each. */
  stats: () => CoalesceStats
  /** `deduplicate` with this registration's metrics, log and caps. */
  deduplicate: Deduplicate
  /** `batched` with this registration's metrics, log and caps. */
  batched: Batched
  /**
   * Stops coalescing at once, for all routes or for one: waiting requests run for themselves, and new ones bypass.
   *
   * @throws FST_COALESCE_UNKNOWN_ROUTE if no coalesced route matches
   */
  disable: (route?: RouteSelector) => void
  /**
   * Undoes `disable`.
   *
   * @throws FST_COALESCE_UNKNOWN_ROUTE if no coalesced route matches
   */
  enable: (route?: RouteSelector) => void
  /**
   * Purges: no later request is given what is cached or in the air now. With `soft`, what is cached becomes stale instead, and may be
   * served as such. Purges registrations around and inside this one as well, in this process only; docs/caching.md says what to
   * do with a store that several processes share.
   *
   * @throws FST_COALESCE_INVALID_OPTION if it names nothing to purge, or wrongly
   */
  invalidate: (purge: Purge) => void
  /**
   * What is cached, the most recently used first; bodies only if asked for.
   *
   * @throws FST_COALESCE_NOT_LISTABLE if the store cannot list its entries
   */
  entries: (options?: { readonly bodies?: boolean }) => readonly KeptEntry[]
  /**
   * What would happen to a request, and why: a request or a URL, as for `app.inject`. The hooks of its route run on it, and its handler
   * never does; nothing is counted, joined, learned or cached. Of a route that is not coalesced no hook runs either.
   *
   * @throws FST_COALESCE_INVALID_OPTION if an option is wrong, and whatever `app.inject` throws
   * @example
   * console.log((await app.coalesce.explain({ url: '/search?q=a', headers: { cookie: '_ga=1' } })).summary)
   */
  explain: (request: InjectOptions | string, options?: ExplainOptions) => Promise<Explanation>
  /**
   * What was found where observe mode is on, and what is advised for all routes of this registration, the most urgent first. Advice changes no option.
   *
   * @example
   * for (const { method, route, text } of app.coalesce.report().advice) console.log(method, route, text)
   */
  report: () => Report
  /** The registry that the metrics are in; `undefined` without metrics. */
  readonly registry: Registry | undefined
}

/** A route, by its pattern and, where several methods have that pattern, its method. */
export interface RouteSelector {
  readonly url: string
  readonly method?: string
}

/** What to purge: everything with one of these tags, this key, this route pattern, or this path (of a URL, with any query). */
export interface Purge {
  readonly tags?: readonly string[]
  readonly key?: string
  readonly route?: string
  readonly url?: string
  /**
   * Makes it stale instead of removing it.
   * @default false
   */
  readonly soft?: boolean
}

/** A cached response, for operators and tests. Durations are in milliseconds. */
export interface KeptEntry {
  readonly key: string
  readonly route: string
  readonly path: string
  readonly tags: readonly string[]
  readonly status: number
  readonly bytes: number
  /** How old it is. */
  readonly age: number
  /** How much longer it is fresh; negative once it is not. */
  readonly fresh: number
  /** Only if asked for. */
  readonly body?: string | Buffer | null
}

/** What `reply.coalesce` is, on every route. */
export interface ReplyCoalesce {
  /** Adds tags by which the response can be purged, if it is cached. */
  tag: (...tags: string[]) => void
}

/** What `request.coalesce` is, on coalesced routes; `undefined` until a client's request has boarded. */
export interface RequestCoalesce {
  /**
   * Whether this is an internal request that refreshes a cached response in the background. True from the first hook on; nothing that a
   * client sends can make it true.
   */
  readonly refresh: boolean
  /** How the request is being served, as far as it is known; `undefined` before it boarded. */
  readonly outcome: Outcome | undefined
  /**
   * Why, once the outcome is known: `'credentials'`, `'shared'`, `'split'`, `'set-cookie'`, … The docs list all of them, and what to do.
   */
  readonly reason: string | undefined
  /**
   * More of the reason. Of `'credentials'`: `'authorization'`, `'cookie'`, `'certificate'` or `'other'`. Of `'split'` what tells the
   * key's runs apart: `'address'`, `'cookie'`, `'header'`, `'query'` or `'other'`. Of `'unshareable'` why the last response was not shared.
   */
  readonly cause: string | undefined
  /** The id of the request that runs the handler for this one; a leader's own id. */
  readonly leaderId: string | undefined
  /** Aborts when no client needs this run any more. */
  readonly signal: AbortSignal
  /** Declares that the response depends on these request headers, as if `Vary` named them. `'*'`: no other client may have it. */
  varyOn: (...headers: string[]) => void
}
