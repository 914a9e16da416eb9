/**
 * Where sharing gives a client what is another one's, or would: what differs, what explains it, and what the key lacks.
 *
 * Invariant: nothing is advised that shares more than before.
 */
import type { Difference, DifferenceCause, RouteReport, Verdict } from '../../types/index.js'
import { shown } from '../observers/advice.js'
import type { RouteSettings } from '../options/route-options.js'
import type { Draft, RouteFacts } from './facts.js'
import { withNames } from './key-patch.js'
import { count, inputName, percent, total } from './words.js'

/** The most places that are named. */
const MOST = 4
/** It explains all of a difference that is no more frequent than this part where it is the same. */
const RESIDUE = 0.1
const SESSION = /auth|csrf|jwt|login|^connect\.|remember|sess|^_?_?(?:host|secure)-|sid\b|token|user|xsrf/i

/** The verdicts that forbid sharing. */
export const UNSAFE: ReadonlySet<Verdict> = new Set<Verdict>(['differs', 'unknown', 'echo'])

/** Which options have a cause in the key. */
interface Remedy {
  readonly cookies: string[]
  readonly headers: string[]
  readonly query: string[]
  /** It says who is asking. */
  readonly identities: string[]
  /** No option has it in the key. */
  readonly others: string[]
}

export function leak ({ observed, settings }: RouteFacts): Draft[] {
  if (observed === undefined || !UNSAFE.has(observed.verdict)) return []
  const { pairs: { between, within }, verdict } = observed
  const causes = causesOf(observed.differences)
  const remedy = remedyOf(causes, settings)
  const patch = verdict === 'echo' ? undefined : withNames(settings, remedy)
  return [{
    id: `leak/${verdict}`,
    kind: 'leak',
    text: `${sentenceOf(observed)} ${verdict === 'echo' ? ECHO : adviceOf(remedy, settings)}`,
    evidence: `${count(between.differs + between.echo)} of ${count(total(between))} pairs of different clients differ, ${count(within.differs + within.echo)} of ${count(total(within))} of the same client`,
    confidence: verdict === 'unknown' ? 'low' : verdict === 'echo' || observed.differences.every(isExplained) ? 'high' : 'medium',
    ...patch !== undefined && { patch }
  }]
}

const ECHO = 'That is of one request only, its id or its nonce, and must not be given to another: leave it out of the body, or coalesce: false for this route.'

/** Where responses differ, how often, and what explains it: names only. */
export function placesOf ({ differences }: Pick<RouteReport, 'differences'>): string[] {
  return differences.slice(0, MOST).map(difference => {
    const { between, path, within } = difference
    const cause = causeOf(difference)
    const baseline = within === undefined ? '' : `, ${percent(within)} within`
    const explained = cause === undefined ? '' : `; ${inputName(cause.name)} explains ${isExplained(difference) ? 'all of it' : 'some of it'}`
    return `${shown(path)} differs for ${percent(between)} of pairs between clients${baseline}${explained}`
  })
}

function sentenceOf (observed: RouteReport): string {
  const { mode, verdict } = observed
  const would = mode === 'verify' ? 'gives' : 'would give'
  const places = placesOf(observed).join('. ')
  const what = verdict === 'unknown'
    ? `Responses of one key differ, and too few clients were seen twice to tell whether that is noise, so that sharing perhaps ${would} a client what is another one's`
    : `Sharing ${would} a client what is another one's`
  return places === '' ? `${what}.` : `${what}: ${places}.`
}

function explainsAll ({ whenDiffers, whenSame }: DifferenceCause): boolean {
  return whenSame !== undefined && whenSame <= whenDiffers * RESIDUE
}

function isExplained ({ causes }: Difference): boolean {
  return causes.some(explainsAll)
}

/** What differs for each client always differs where responses do: what is the same for some, and explains all, says more. */
function causeOf ({ causes }: Difference): DifferenceCause | undefined {
  return causes.find(explainsAll) ?? causes[0]
}

/** The best one of each place. */
function causesOf (differences: readonly Difference[]): string[] {
  return [...new Set(differences.map(difference => causeOf(difference)?.name).filter(name => name !== undefined))]
}

function remedyOf (causes: readonly string[], { query }: RouteSettings): Remedy {
  const remedy: Remedy = { cookies: [], headers: [], query: [], identities: [], others: [] }
  for (const cause of causes) {
    const [, kind, name = ''] = /^(cookie |header |\?)(.+)$/s.exec(cause) ?? []
    if (kind !== undefined && kind !== '?' && SESSION.test(name)) remedy.identities.push(cause)
    else if (kind === 'cookie ') remedy.cookies.push(name)
    else if (kind === 'header ') remedy.headers.push(name)
    else if (kind === '?' && typeof query === 'object') remedy.query.push(name)
    else remedy.others.push(cause)
  }
  return remedy
}

function adviceOf ({ cookies, headers, identities, others, query }: Remedy, settings: RouteSettings): string {
  const named = [...cookies.map(name => `cookie ${name}`), ...headers.map(name => `header ${name}`), ...query.map(name => `?${name}`)]
  const sentences = [
    named.length > 0 && `Have it in the key: ${named.map(inputName).join(', ')}.`,
    identities.length > 0 && `${identities.map(inputName).join(', ')} says who is asking: identity: request => request.user.id (verified in a hook before) shares among requests of one user.`,
    others.length > 0 && `No option has ${others.map(inputName).join(', ')} in the key: ` +
      (others.includes('address') ? 'identity: request => request.ip does, ' : 'the identity or key function can, ') + 'or coalesce: false for this route.'
  ].filter(sentence => typeof sentence === 'string')
  if (sentences.length > 0) return sentences.join(' ')
  return `Nothing that requests say was seen to explain it${settings.identity === undefined ? ': identity, if it is of the user who asks; else' : ':'} coalesce: false for this route, or observe: { ignore } for places that may differ.`
}
