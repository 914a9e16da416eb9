/**
 * What a request carries that its key does not cover, and how that is treated.
 *
 * Invariant: names only.
 */
import type { FastifyRequest } from 'fastify'
import type { ExplainedName, ExplainedOutside, VariesOn } from '../../../types/index.js'
import { headerOfName, plainName } from '../../http/dimensions.js'
import { isInfrastructure } from '../../http/infrastructure-headers.js'
import { keyCovers } from '../../http/policy.js'
import { ignoresQuery, isOfQuery, parameter, REST } from '../../http/query.js'
import { CLIENT_ADDRESS } from '../../http/reads.js'
import type { RouteSettings } from '../../options/route-options.js'
import { hookReadsOf } from '../dependencies/hook-reads.js'
import { uncoveredParameters } from '../dependencies/narrowing.js'

type Treated = ExplainedOutside['treated']

/**
 * The names of what tells variants apart, as they are written in options and headers.
 *
 * @param learned where names were seen first
 * @param value gives values, where they are told
 */
export function variantOf (
  names: readonly string[], learned: readonly VariesOn[], value: ((name: string) => string | null) | undefined
): ExplainedName[] {
  return names.map(name => {
    const plain = plainName(name)
    const learnedFrom = learned.find(each => each.name === plain)?.learnedFrom ?? 'earlier'
    return { name: plain, learnedFrom, ...value === undefined ? {} : { value: value(name) } }
  })
}

/** @param variant names that are known to tell responses apart */
export function outsideOf (request: FastifyRequest, settings: RouteSettings, variant: readonly string[]): ExplainedOutside[] {
  const { learnVary } = settings
  const reads = hookReadsOf(request)?.names ?? new Set<string>()
  const treat = (name: string, others: readonly string[], ignored: (ignore: readonly string[]) => boolean): Treated => {
    const all = [name, ...others]
    if (all.some(each => variant.includes(each))) return 'variant'
    if (learnVary === false) return 'trusted'
    if (ignored(learnVary.ignore)) return 'ignored'
    return all.some(each => reads.has(each)) ? 'read' : 'unread'
  }
  const known = [...variant, ...reads].filter(name => !isOfQuery(name) && name !== CLIENT_ADDRESS)
  const headers = Object.keys(request.headers).filter(name => !keyCovers(name, request, settings)).map(name => {
    const treated = treat(name, known.filter(each => headerOfName(each) === name), ignore => ignore.includes(name))
    return { kind: 'header' as const, name, treated: treated === 'unread' && isInfrastructure(name) ? 'infrastructure' as const : treated }
  })
  const query = uncoveredParameters(request, settings).map(name => ({
    kind: 'query' as const, name, treated: treat(parameter(name), [REST], ignore => ignoresQuery(ignore, parameter(name)))
  }))
  return [...headers, { kind: 'address', name: 'ip', treated: treat(CLIENT_ADDRESS, [], ignore => ignore.includes('ip')) }, ...query]
}
