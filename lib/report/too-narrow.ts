/**
 * Parts of the key that make no difference, so that requests do not meet that could.
 *
 * Invariant: what may say who is asking is never advised to be left out.
 */
import type { CoalesceRouteOptions, InertPart } from '../../types/index.js'
import type { RouteSettings } from '../options/route-options.js'
import type { Draft, RouteFacts } from './facts.js'
import { withoutCookies, withoutHeaders, withoutParameters } from './key-patch.js'
import { UNSAFE } from './leak.js'
import { count, listed, percent } from './words.js'

/** What scripts add so that no cache answers. */
const BUSTERS: ReadonlySet<string> = new Set(['_', '_t', '_ts', 'cache', 'cachebust', 'cachebuster', 'cb', 'nocache', 'nonce', 'rand', 'random', 'rnd', 't', 'timestamp', 'ts'])
const PERSONAL = /auth|key|sess|sid\b|token|user/i

export function tooNarrow ({ observed, settings }: RouteFacts): Draft[] {
  // First the key has to hold what counts: then other things may make a difference.
  if (observed === undefined || UNSAFE.has(observed.verdict)) return []
  const parts = observed.inert
  return [queryAdvice(parts, settings), headerAdvice(parts, settings), cookieAdvice(parts, settings), pathAdvice(parts)]
    .filter(draft => draft !== undefined)
}

interface Chosen {
  readonly of: readonly InertPart[]
  readonly names: readonly string[]
}

/** The parts all of whose names begin like this, and are meant; and their names without it. */
function partsOf (parts: readonly InertPart[], prefix: string, isMeant: (name: string) => boolean): Chosen {
  const isOfThem = (name: string): boolean => name.startsWith(prefix) && name.length > prefix.length && isMeant(name.slice(prefix.length))
  const of = parts.filter(({ names }) => names.length > 0 && names.every(isOfThem))
  return { of, names: [...new Set(of.flatMap(({ names }) => names.map(name => name.slice(prefix.length))))] }
}

function queryAdvice (parts: readonly InertPart[], settings: RouteSettings): Draft | undefined {
  const { names, of } = partsOf(parts, '?', name => !PERSONAL.test(name))
  if (names.length === 0) return undefined
  const isCampaign = names.every(name => name.startsWith('utm_'))
  const busters = names.filter(name => BUSTERS.has(name))
  const patch = withoutParameters(settings, names)
  const remedy = settings.key !== undefined
    ? 'let the key function leave it out'
    : settings.query === 'raw' ? 'query: true, or a list of names, can leave it out' : 'the query option can leave it out, if no hook and no handler uses it: handlers do not see what is ignored'
  return draftOf(isCampaign ? 'too-narrow/utm' : 'too-narrow/query', of,
    `${listed(names)} of the query makes no difference to the response, and keeps requests apart that could share: ${remedy}.` +
    (busters.length === 0 ? '' : ` ${listed(busters)} looks like what scripts add so that no cache answers.`), patch)
}

function headerAdvice (parts: readonly InertPart[], settings: RouteSettings): Draft | undefined {
  const { credentials, headers } = settings
  const { names, of } = partsOf(parts, 'header ', name => headers.includes(name) && !credentials.includes(name) && !PERSONAL.test(name))
  if (names.length === 0) return undefined
  return draftOf('too-narrow/headers', of, `The header ${listed(names)} is in the key, and makes no difference to the response: leave it out of headers.`, withoutHeaders(settings, names))
}

function cookieAdvice (parts: readonly InertPart[], settings: RouteSettings): Draft | undefined {
  const { names, of } = partsOf(parts, 'cookie ', name => settings.cookies.key.includes(name) && !PERSONAL.test(name))
  if (names.length === 0) return undefined
  return draftOf('too-narrow/cookies', of,
    `The cookie ${listed(names)} is in the key, and makes no difference to the response: cookies: { ignore } takes it out of the requests, if neither a hook nor the handler uses it.`,
    withoutCookies(settings, names))
}

function pathAdvice (parts: readonly InertPart[]): Draft | undefined {
  const { names, of } = partsOf(parts, 'param ', name => !PERSONAL.test(name))
  if (names.length === 0) return undefined
  return draftOf('too-narrow/path', of, `The parameter ${listed(names)} of the path makes no difference to the response: a key function can leave it out.`, undefined)
}

function draftOf (id: string, parts: readonly InertPart[], text: string, patch: CoalesceRouteOptions | undefined): Draft {
  const upTo = Math.max(...parts.map(part => part.upTo))
  const evidence = parts.slice(0, 8).map(part => `${listed(part.names, '+')}: ${count(part.pairs)} pairs, same bytes (95 %: < ${percent(part.upTo)} differ)`).join('; ')
  return { id, kind: 'too-narrow', text, evidence, confidence: upTo <= 0.01 ? 'high' : upTo <= 0.03 ? 'medium' : 'low', ...patch !== undefined && { patch } }
}
