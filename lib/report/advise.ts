/**
 * All that is advised for some routes.
 *
 * Invariant: pure. What is silenced is not there. The most urgent comes first: what harms clients, then what harms nobody but costs.
 */
import type { Advice } from '../../types/index.js'
import { READS_ALL, type Draft, type RouteFacts } from './facts.js'
import { leak } from './leak.js'
import { limits } from './limits.js'
import { nothingShared } from './nothing-shared.js'
import { placement } from './placement.js'
import { tooBroad } from './too-broad.js'
import { tooNarrow } from './too-narrow.js'
import { ttl } from './ttl.js'

/** The most urgent first. */
const RULES: Readonly<Record<Advice['kind'], (facts: RouteFacts) => Draft[]>> = {
  leak, placement, limits, 'nothing-shared': nothingShared, 'too-broad': tooBroad, 'too-narrow': tooNarrow, ttl
}
const KINDS = Object.keys(RULES)
const CONFIDENCES: ReadonlyArray<Advice['confidence']> = ['high', 'medium', 'low']

/** @param silenced the names of warnings that the app does not want */
export function advise (routes: Iterable<RouteFacts>, silenced: ReadonlySet<string>): Advice[] {
  const all: Advice[] = []
  for (const facts of routes) {
    const { method, route } = facts.figures
    for (const draft of Object.values(RULES).flatMap(rule => rule(facts))) {
      const name = warningOf(draft)
      if (!silenced.has(name)) all.push(Object.freeze({ ...draft, method, route, silence: `warnings: ['${name}'] of the registration` }))
    }
  }
  return all.sort((one, other) =>
    KINDS.indexOf(one.kind) - KINDS.indexOf(other.kind) || CONFIDENCES.indexOf(one.confidence) - CONFIDENCES.indexOf(other.confidence))
}

/** The name of the warning that says it, and silences it. */
export function warningOf ({ id, kind }: Pick<Draft, 'id' | 'kind'>): string {
  if (kind !== 'nothing-shared') return `advice-${kind}`
  return id === `nothing-shared/${READS_ALL}` ? READS_ALL : id.replace('/', '-')
}
