/**
 * What a `ttl` would have answered, and how much of that would have been wrong.
 *
 * Invariant: a longer ttl than the route has is advised only where responses may be shared at all.
 */
import type { SimulatedTtl } from '../../types/index.js'
import { ENOUGH, type Draft, type RouteFacts } from './facts.js'
import { UNSAFE } from './leak.js'
import { count, percent, time } from './words.js'

/** The smallest part of the requests that is worth a cache. */
const WORTH = 0.1
/** The largest part of the hits that may be out of date. */
const WRONG = 0.01
/** From this part on a ttl that is set is too long. */
const TOO_WRONG = 0.05
/** A shorter ttl that hits nearly as often is the better one. */
const NEARLY = 0.8

export function ttl ({ observed, settings }: RouteFacts): Draft[] {
  if (observed === undefined || observed.requests < ENOUGH || observed.verdict === 'too-few' || UNSAFE.has(observed.verdict)) return []
  const { requests } = observed
  const ttls = [...observed.ttls].sort((one, other) => one.ttl - other.ttl)
  const good = ttls.filter(({ hits, wrong }) => hits >= WORTH && wrong <= WRONG)
  if (settings.ttl === undefined) return missing(good, requests)
  return typeof settings.ttl === 'number' ? tooLong(ttls, good, settings.ttl, requests) : []
}

function missing (good: readonly SimulatedTtl[], requests: number): Draft[] {
  const most = Math.max(...good.map(({ hits }) => hits))
  const best = good.find(({ hits }) => hits >= most * NEARLY)
  if (best === undefined) return []
  return [{
    id: 'ttl/missing',
    kind: 'ttl',
    text: `A ttl of ${time(best.ttl)} would have answered ${percent(best.hits)} of the requests without a run, ${wrongText(best)}. The price: a change shows up to ${time(best.ttl)} later, unless it purges.`,
    evidence: evidenceOf(good, requests),
    confidence: best.wrong === 0 ? 'medium' : 'low',
    patch: { ttl: best.ttl }
  }]
}

function tooLong (ttls: readonly SimulatedTtl[], good: readonly SimulatedTtl[], set: number, requests: number): Draft[] {
  const near = ttls.findLast(({ ttl }) => ttl <= set)
  if (near === undefined || near.wrong < TOO_WRONG || near.hits === 0) return []
  const best = good.findLast(({ ttl }) => ttl < near.ttl)
  return [{
    id: 'ttl/too-long',
    kind: 'ttl',
    text: `Of what a ttl of ${time(near.ttl)} answers, ${percent(near.wrong)} differs from what its own run would have answered; the route has ${time(set)}. ` +
      (best === undefined ? 'No shorter one is much better: purge by tags when something changes, or ttl: false.' : `With ${time(best.ttl)} it is ${percent(best.wrong)}, and ${percent(best.hits)} of the requests are answered without a run.`),
    evidence: evidenceOf(ttls, requests),
    confidence: 'high',
    ...best !== undefined && { patch: { ttl: best.ttl } }
  }]
}

function wrongText ({ wrong }: SimulatedTtl): string {
  return wrong === 0 ? 'and none of them wrongly' : `and ${percent(wrong)} of those with what had changed meanwhile`
}

function evidenceOf (ttls: readonly SimulatedTtl[], requests: number): string {
  return `${count(requests)} requests: ${ttls.map(({ hits, ttl, wrong }) => `${time(ttl)} hits ${percent(hits)}, ${percent(wrong)} wrong`).join('; ')}`
}
