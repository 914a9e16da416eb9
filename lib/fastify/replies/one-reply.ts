/**
 * Whether a body contains something that belongs to one reply only: a CSP nonce, or the request id.
 *
 * Invariant: the body itself is searched, so a handler that only logs an id, or forwards it, still shares. A stream that may contain a
 * nonce counts as containing one.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { combined } from '../../http/fields.js'
import type { HeaderValue } from '../../http/headers.js'
import { holds, holdsId, noncesOf } from '../../http/own-marks.js'
import type { Body } from '../../http/recording.js'
import type { RouteSettings } from '../../options/route-options.js'
import { headersOf } from '../internals.js'

/** The part of a participant that this module needs. */
interface Marked {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly route: { readonly settings: Pick<RouteSettings, 'learnVary'> }
}

/** The part of a captured response that is searched. */
interface Searched {
  readonly body: Body
  readonly failed: boolean
}

export type OwnReason = 'csp-nonce' | 'request-id'

const POLICY = 'content-security-policy'
const REPORT_ONLY = 'content-security-policy-report-only'
/** The names that `learnVary.ignore` has for them. */
const NONCE = 'reply.cspnonce'
const ID = 'request.id'

const NONE: readonly string[] = Object.freeze([])
const HTML = /\bx?html\b/i

/**
 * The reason why a captured body belongs to one reply only, if there is one.
 *
 * @param flows whether the body is a stream
 */
export function ownReason ({ request, reply, route }: Marked, capture: Searched, flows: boolean): OwnReason | undefined {
  const { learnVary } = route.settings
  if (learnVary === false) return undefined
  const { ignore } = learnVary
  if (!ignore.includes(NONCE)) {
    const nonces = noncesIn(reply)
    if (flows && nonces.length > 0 && HTML.test(combined(reply.getHeader('content-type') as HeaderValue | undefined))) return 'csp-nonce'
    if (nonces.some(nonce => holds(capture.body, nonce))) return 'csp-nonce'
  }
  // The id in an error names the failed run, and leads to its log.
  return !capture.failed && !ignore.includes(ID) && holdsId(capture.body, String(request.id)) ? 'request-id' : undefined
}

/** What belongs to a reply only: the id of its request, and its nonces. */
export function marksOf (reply: FastifyReply): readonly string[] {
  return [String(reply.request.id), ...noncesIn(reply)]
}

/** The names of the request headers whose value is the request id: the client chose the id by them. */
export function idHeaders ({ id, headers }: FastifyRequest): string[] {
  return Object.keys(headers).filter(name => headers[name] === id)
}

/** The nonces in the policy headers of a reply, and those that @fastify/helmet made for it. */
function noncesIn (reply: FastifyReply): readonly string[] {
  const own = Object.hasOwn(reply, 'cspNonce') ? Object.getOwnPropertyDescriptor(reply, 'cspNonce')?.value as unknown : undefined
  const headers = headersOf(reply)
  const policy = headers[POLICY]
  const report = headers[REPORT_ONLY]
  if (policy === undefined && report === undefined && own === undefined) return NONE
  const values = typeof own === 'object' && own !== null ? Object.values(own) as unknown[] : [own]
  return [...noncesOf(policy), ...noncesOf(report), ...values.filter(value => typeof value === 'string')]
}
