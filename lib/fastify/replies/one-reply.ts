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
import type { RouteSettings } from '../../options/route-options.js'
import type { Capture } from './payload.js'

/** A request and its reply, as far as marks go. */
interface Marked {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly route: { readonly settings: Pick<RouteSettings, 'learnVary'> }
}

export type OwnReason = 'csp-nonce' | 'request-id'

const POLICIES = ['content-security-policy', 'content-security-policy-report-only'] as const
/** As options name them. */
const NONCE = 'reply.cspnonce'
const ID = 'request.id'

const NONE: readonly string[] = Object.freeze([])
const HTML = /\bx?html\b/i

/** @param flows its body is a stream */
export function ownReason ({ request, reply, route }: Marked, capture: Capture, flows: boolean): OwnReason | undefined {
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

/** The headers of a request by which its client chose its id. */
export function idHeaders ({ id, headers }: FastifyRequest): string[] {
  return Object.keys(headers).filter(name => headers[name] === id)
}

/** The nonces in its policy headers, and those that @fastify/helmet has made for it. */
function noncesIn (reply: FastifyReply): readonly string[] {
  const own = Object.getOwnPropertyDescriptor(reply, 'cspNonce')?.value as unknown
  const [policy, report] = POLICIES.map(name => reply.getHeader(name) as HeaderValue | undefined)
  if (policy === undefined && report === undefined && own === undefined) return NONE
  const values = typeof own === 'object' && own !== null ? Object.values(own) as unknown[] : [own]
  return [...noncesOf(policy), ...noncesOf(report), ...values.filter(value => typeof value === 'string')]
}
