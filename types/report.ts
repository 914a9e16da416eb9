/**
 * For readers of reports: what observe mode found, and what is advised.
 */
import type { CoalesceRouteOptions } from './route-options.js'

/**
 * What became of comparing responses that one run would have answered.
 *
 * - `too-few`: not enough pairs yet
 * - `equal`: byte for byte the same
 * - `noise`: they differ in times, ids, nonces, or as much for one client as between clients
 * - `echo`: they differ in what is of their own request, such as its id or its nonce, which must not be shared
 * - `unknown`: they differ, and no client was seen often enough to know whether that says who is asking
 * - `differs`: they differ between clients: sharing would leak
 */
export type Verdict = 'too-few' | 'equal' | 'noise' | 'echo' | 'unknown' | 'differs'

/** How pairs of responses compared. */
export interface PairFigures {
  readonly equal: number
  /** The same but for times, ids, nonces, what is ignored, and what was learned to be noise. */
  readonly noise: number
  /** They differ in what is of their own request, and in nothing else that counts. */
  readonly echo: number
  readonly differs: number
}

/** A place at which responses differ. */
export interface Difference {
  /**
   * As in `'$.user.name'`; `'<text>'` for a body that is no JSON, `'<status>'` for the status, `'<type>'` for the Content-Type,
   * `'<headers>'` for other headers that the handler sets, `'<others>'` for places past the first 63.
   */
  readonly path: string
  /** The part of the pairs of different clients in which it differs. */
  readonly between: number
  /** The part of the pairs of one client in which it differs; undefined if no client was seen twice. */
  readonly within: number | undefined
  /** What the key leaves out and explains it best first: `'cookie ab'`, `'header accept-language'`, `'address'`, `'?utm_source'`. */
  readonly causes: readonly DifferenceCause[]
}

/** Something that the key leaves out, and how well it explains a difference. */
export interface DifferenceCause {
  readonly name: string
  /** The part of the pairs in which the place differs, where this differs. */
  readonly whenDiffers: number
  /** The same where this does not differ; undefined if there were too few. */
  readonly whenSame: number | undefined
}

/** A part of the key that made no difference. */
export interface InertPart {
  /** `['?utm_source']`, or several that differ together. */
  readonly names: readonly string[]
  /** Pairs of requests that differ in nothing else of the key. */
  readonly pairs: number
  /** With 95 % confidence it makes a difference in no larger part of the pairs. */
  readonly upTo: number
}

/** What a `ttl` would have done. */
export interface SimulatedTtl {
  /** In milliseconds. */
  readonly ttl: number
  /** The part of the requests that would have been answered from the cache. */
  readonly hits: number
  /** The part of those that would have been answered with what differs from their own response. */
  readonly wrong: number
}

/** What would have become of requests that are only observed. */
export interface WouldFigures {
  /** `'unshareable'`: it would have led, and nobody else would have been given its response. */
  readonly outcome: 'leader' | 'follower' | 'hit' | 'bypass' | 'unshareable' | 'shed'
  /** As in `docs/why-is-nothing-shared.md`. */
  readonly reason: string
  readonly count: number
}

/** What was found on one route. */
export interface RouteReport {
  readonly method: string
  readonly route: string
  readonly mode: 'observe' | 'verify'
  readonly verdict: Verdict
  /** Requests whose responses were compared. */
  readonly requests: number
  /** Those that were not, by reason. */
  readonly skipped: Readonly<Record<string, number>>
  /**
   * Pairs of requests with one key: of different clients, and of the same client, which is told by identity, credential or long cookie, and
   * by all else that they say.
   */
  readonly pairs: { readonly between: PairFigures, readonly within: PairFigures }
  /** What would have become of the requests, the most frequent first; at most 12. Empty with `verify`: `stats()` tells what became of them. */
  readonly would: readonly WouldFigures[]
  /** The part of the requests that would have followed or hit. With `verify` it is what was shared. */
  readonly shareable: number
  /** Where responses of different clients differ more than those of one. */
  readonly differences: readonly Difference[]
  /** Paths that differ as much for one client as between clients. */
  readonly noise: readonly string[]
  /** Parts of the key that made no difference. */
  readonly inert: readonly InertPart[]
  readonly ttls: readonly SimulatedTtl[]
}

/** Something that should be changed, or known. */
export interface Advice {
  /** For example `'too-narrow/utm'`. Unique together with the route. */
  readonly id: string
  readonly kind: 'leak' | 'too-narrow' | 'too-broad' | 'ttl' | 'placement' | 'limits' | 'nothing-shared'
  readonly method: string
  readonly route: string
  /** One or two sentences. */
  readonly text: string
  /** The figures that it rests on. */
  readonly evidence: string
  readonly confidence: 'low' | 'medium' | 'high'
  /** Options of the route that would follow it. */
  readonly patch?: CoalesceRouteOptions
  /** How not to be given it any more. */
  readonly silence: string
}

/** What `fastify.coalesce.report()` answers. */
export interface Report {
  /** Routes that are observed or verified. */
  readonly routes: readonly RouteReport[]
  /** For all routes, the most urgent first. */
  readonly advice: readonly Advice[]
  /**
   * For test suites: throws unless what was compared may be shared. Let all be compared there: `observe: { budget: 1 }` at the registration.
   *
   * @throws FST_COALESCE_UNSAFE if a route's verdict is `differs`, `unknown` or `echo`; if there are too few pairs for a verdict, and some differ in
   * what is no time or id, or responses were skipped that may differ (for `budget`, `bytes`, `too-large`, `clean-threw` or `error`); and if no
   * responses of different clients were compared at all
   */
  assertSafe (): void
}
