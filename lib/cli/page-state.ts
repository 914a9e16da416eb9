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
  readonly observed: { readonly verdict: string, readonly pairs: number } | undefined
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
  const { actualExecutions, cacheHits, deduplicatedRequests, method, observed, route, state, totalRequests } = fieldsOf(told)
  return {
    method: textOf(method),
    route: textOf(route),
    state: textOf(state),
    requests: numberOf(totalRequests),
    runs: numberOf(actualExecutions),
    shared: numberOf(deduplicatedRequests),
    hits: numberOf(cacheHits),
    observed: observed === undefined ? undefined : { verdict: textOf(fieldsOf(observed).verdict), pairs: pairsOf(observed) }
  }
}

function pairsOf (observed: unknown): number {
  const { differs, echo, equal, noise } = fieldsOf(fieldsOf(fieldsOf(observed).pairs).between)
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
