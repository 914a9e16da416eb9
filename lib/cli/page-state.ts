/**
 * What a live page has told, as far as the command prints it.
 *
 * Invariant: whatever came, its texts are harmless, its figures are numbers, and what is missing is left out.
 */
import type { Advice, Verdict } from '../../types/index.js'
import { harmless } from './harmless.js'

export interface ToldRoute {
  readonly method: string
  readonly route: string
  readonly state: string
  readonly requests: number
  readonly runs: number
  readonly shared: number
  readonly hits: number
  /** Why requests were not shared, the most frequent first. */
  readonly reasons: readonly ToldCount[]
  readonly observed: ToldFindings | undefined
}

export interface ToldFindings {
  readonly verdict: string
  readonly pairs: number
  readonly skipped: ReadonlyArray<{ readonly reason: string, readonly count: number }>
  /** What would have become of requests, the most frequent first. */
  readonly would: readonly ToldCount[]
}

export interface ToldCount {
  readonly outcome: string
  readonly reason: string
  readonly count: number
}

export interface Told {
  readonly instance: string
  readonly mode: string
  readonly routes: readonly ToldRoute[]
  readonly advice: readonly ToldAdvice[]
}

export type ToldAdvice = Omit<Record<keyof Advice, string>, 'patch'> & { readonly patch: unknown }

const LEAKS: ReadonlySet<string> = new Set<Verdict>(['differs', 'unknown', 'echo'])

export function toldBy (state: unknown, page: string): Told {
  const { advice, instance, mode, routes, version } = fieldsOf(state)
  if (!Array.isArray(routes) || !Array.isArray(advice)) throw new Error(`what ${page} answers is not of a live page of fastify-coalesce`)
  if (version !== 1) throw new Error(`${page} is of another version of fastify-coalesce, which this one cannot read: ${textOf(version)}`)
  return { instance: textOf(instance), mode: textOf(mode), routes: routes.map(routeOf), advice: advice.map(adviceOf) }
}

/** The routes of which something was found that must not be shared, each once. */
export function leaksOf ({ advice, routes }: Told): string[] {
  const leaking = [...routes.filter(({ observed }) => LEAKS.has(observed?.verdict ?? '')), ...advice.filter(({ kind }) => kind === 'leak')]
  return [...new Set(leaking.map(({ method, route }) => `${method} ${route}`))]
}

function routeOf (told: unknown): ToldRoute {
  const { actualExecutions, cacheHits, deduplicatedRequests, method, observed, reasons, route, state, totalRequests } = fieldsOf(told)
  return {
    method: textOf(method),
    route: textOf(route),
    state: textOf(state),
    requests: numberOf(totalRequests),
    runs: numberOf(actualExecutions),
    shared: numberOf(deduplicatedRequests),
    hits: numberOf(cacheHits),
    reasons: unsharedOf(countsOf(reasons)),
    observed: observed === undefined ? undefined : findingsOf(fieldsOf(observed))
  }
}

function findingsOf ({ pairs, skipped, verdict, would }: Readonly<Record<string, unknown>>): ToldFindings {
  return {
    verdict: textOf(verdict),
    pairs: pairsOf(pairs),
    skipped: Object.entries(fieldsOf(skipped)).map(([reason, count]) => ({ reason: textOf(reason), count: numberOf(count) })),
    would: countsOf(would)
  }
}

function countsOf (counts: unknown): ToldCount[] {
  return (Array.isArray(counts) ? counts : []).map(fieldsOf).map(({ cause, count, outcome, reason }) => (
    // Of what was remembered, why it was.
    { outcome: textOf(outcome), reason: textOf(reason === 'unshareable' ? cause : reason), count: numberOf(count) }
  ))
}

/** One reason may have several outcomes. */
function unsharedOf (counts: readonly ToldCount[]): ToldCount[] {
  const found = new Map<string, ToldCount>()
  for (const { count, outcome, reason } of counts) {
    if (!isFine(outcome, reason)) found.set(reason, { outcome, reason, count: count + (found.get(reason)?.count ?? 0) })
  }
  return [...found.values()].sort((one, other) => other.count - one.count)
}

/** It was shared, or could have been; as on the page. */
function isFine (outcome: string, reason: string): boolean {
  return outcome === 'leader' ? reason === 'shared' || reason === 'failed' : /^(?:follower|hit|stale|peer)$/.test(outcome) && reason !== 'wait-timeout'
}

function pairsOf (pairs: unknown): number {
  const { differs, echo, equal, noise } = fieldsOf(fieldsOf(pairs).between)
  return numberOf(equal) + numberOf(noise) + numberOf(echo) + numberOf(differs)
}

function adviceOf (told: unknown): ToldAdvice {
  const { confidence, evidence, id, kind, method, patch, route, silence, text } = fieldsOf(told)
  return {
    id: textOf(id),
    kind: textOf(kind),
    method: textOf(method),
    route: textOf(route),
    text: textOf(text),
    evidence: textOf(evidence),
    confidence: textOf(confidence),
    silence: textOf(silence),
    patch
  }
}

function fieldsOf (value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? harmless(value) : typeof value === 'number' ? String(value) : '?'
}

function numberOf (value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}
