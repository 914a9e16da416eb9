/**
 * The words of explanations that several steps have in common.
 *
 * Invariant: pure.
 */
import type { ExplainedStep } from '../../../types/index.js'

/** A time in milliseconds. */
export function inWords (time: number): string {
  return Math.abs(time) < 1_000 ? `${Math.round(time)} ms` : `${(time / 1_000).toFixed(1)} s`
}

export function goesOn (step: ExplainedStep['step'], text: string): ExplainedStep {
  return { step, decides: false, text }
}

export function decides (step: ExplainedStep['step'], text: string): ExplainedStep {
  return { step, decides: true, text }
}
