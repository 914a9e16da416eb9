/**
 * What is said of a route.
 *
 * Invariant: what is worse comes first, and needs no number of pairs: one difference that is not known to be noise is enough not to be harmless. It is
 * `differs` if it is known that it differs more between clients than for one, and `unknown` as long as too few pairs of one client were seen.
 */
import type { PairFigures, Verdict } from '../../types/index.js'
import type { Judgement } from './differences.js'
import { total } from './pair-counts.js'

/** Fewer pairs do not show that anything is harmless. */
const ENOUGH = 30

/** @param judgements of the places that differ between clients */
export function verdictOf (between: PairFigures, judgements: readonly Judgement[]): Verdict {
  if (judgements.includes('leak')) return 'differs'
  if (judgements.includes('unclear')) return 'unknown'
  if (between.echo > 0) return 'echo'
  if (total(between) < ENOUGH) return 'too-few'
  return between.noise > 0 ? 'noise' : 'equal'
}
