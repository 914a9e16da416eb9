/**
 * A route of which it is not known whether sharing leaks, because responses were not compared that others would have been given.
 *
 * Invariant: what nobody else would have been given hides nothing, and neither does what an app chose not to compare.
 */
import type { RouteReport } from '../../types/index.js'
import { count } from './words.js'

/** Why a response is not compared that may differ, and what to do. */
const REMEDIES: Readonly<Record<string, string>> = {
  budget: 'observe: { budget: 1 } at the registration, in tests, has all of them compared',
  bytes: 'a larger maxBytes in observe of the registration holds more to compare with',
  'too-large': 'a larger maxBytes in observe of the registration takes larger ones',
  'clean-threw': 'clean has to return a text for each response; the log says what it threw',
  error: 'the log says what has failed (observe-failed)'
}

type Found = Pick<RouteReport, 'skipped' | 'verdict'>

/** Whether it has no verdict, and responses that may differ were skipped. */
export function isUnseen (report: Found): boolean {
  return report.verdict === 'too-few' && hidden(report).length > 0
}

/** How many were skipped why, and what to do. */
export function unseenOf (report: Found): string {
  const reasons = hidden(report)
  const skipped = reasons.map(([reason, times]) => `${count(times)} skipped: ${reason}`)
  return `no verdict, because responses were not compared (${skipped.join(', ')}): ${reasons.map(([reason]) => REMEDIES[reason] as string).join('; ')}`
}

function hidden ({ skipped }: Found): Array<readonly [reason: string, times: number]> {
  return Object.keys(REMEDIES).map(reason => [reason, skipped[reason] ?? 0] as const).filter(([, times]) => times > 0)
}
