/**
 * Where requests wait: followers that do not pass gates which stand before the handler.
 */
import { ENOUGH, type Draft, type RouteFacts } from './facts.js'
import { count } from './words.js'

export function placement ({ figures: { deduplicatedRequests, parking, totalRequests }, settings }: RouteFacts): Draft[] {
  const skips = parking?.skips ?? []
  if (settings.hook !== 'onRequest' || skips.length === 0 || deduplicatedRequests === 0 || totalRequests < ENOUGH) return []
  return [{
    id: 'placement/skips-gates',
    kind: 'placement',
    text: `Followers of this route wait in onRequest, because hook says so, and do not pass ${skips.join(', ')}. If one of these decides who may have the response, leave hook to 'auto': then all pass them.`,
    evidence: `${count(deduplicatedRequests)} of ${count(totalRequests)} requests were answered without passing ${skips.join(', ')}`,
    confidence: 'medium',
    patch: { hook: 'auto' }
  }]
}
