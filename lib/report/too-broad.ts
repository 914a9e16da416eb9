/**
 * What the key leaves out though the handler, or a hook before it, uses it: its runs split by that, and those who wait learn too late that
 * a run is not theirs.
 */
import type { RouteFigures } from '../../types/index.js'
import { isHeaderName } from '../options/parsers.js'
import { ENOUGH, isUnshared, type Draft, type RouteFacts } from './facts.js'
import { withNames } from './key-patch.js'
import { count, listed, percent } from './words.js'

/** The smallest part of the requests that is worth a word. */
const LEAST = 0.05
/** More would be a key of their own for each client. */
const MOST_HEADERS = 4
/** They mean something other than their text, or who is asking. */
const NO_HEADER_OF_A_KEY: ReadonlySet<string> = new Set(['accept-encoding', 'authorization', 'cookie', 'forwarded', 'ip', 'proxy-authorization', 'x-forwarded-for'])

export function tooBroad (facts: RouteFacts): Draft[] {
  const { figures, settings } = facts
  const splits = countOf(figures, 'header') + countOf(figures, 'query')
  if (isUnshared(facts) || figures.totalRequests < ENOUGH || splits < figures.totalRequests * LEAST) return []
  const names = figures.variesOn.map(({ name }) => name)
  const headers = headersOf(figures)
  const query = names.filter(name => name.startsWith('?') && name !== '?').map(name => name.slice(1))
  if (headers.length + query.length === 0) return []
  const patch = headers.length <= MOST_HEADERS ? withNames(settings, { headers, query }) : undefined
  const shownNames = [...headers, ...query.map(name => `?${name}`)]
  return [{
    id: 'too-broad/split',
    kind: 'too-broad',
    text: `The handler, or a hook before it, reads ${listed(shownNames)}, which the key leaves out: requests wait for runs that turn out not to be theirs. In the key it tells them apart from the start; ` +
      'if it makes no difference to the response, learnVary: { ignore } shares more.',
    evidence: `${count(splits)} of ${count(figures.totalRequests)} requests (${percent(splits / figures.totalRequests)}) led a run of their own because of it`,
    confidence: patch === undefined ? 'low' : 'medium',
    ...patch !== undefined && { patch }
  }]
}

/** The headers that its responses were seen to depend on, and that a key may be made of. */
export function headersOf ({ variesOn }: Pick<RouteFigures, 'variesOn'>): string[] {
  return variesOn.map(({ name }) => name).filter(name => isHeaderName(name) && !NO_HEADER_OF_A_KEY.has(name))
}

function countOf ({ reasons }: RouteFigures, cause: string): number {
  return reasons.filter(each => each.reason === 'split' && each.cause === cause).reduce((sum, each) => sum + each.count, 0)
}
