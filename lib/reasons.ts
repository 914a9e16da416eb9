/**
 * Reasons: why a request or a call was served as it was. Code, logs, metrics, Cache-Status, `explain` and docs share these names.
 * Here are only the names. A bypass is decided in `http/policy.ts`, `http/key.ts`, `fastify/admission/`, `engine/flights/flights.ts` and
 * `engine/endings.ts`; whether a response is shared in `http/policy.ts` and `fastify/request/`.
 *
 * Invariant: closed sets. What a request says never becomes a reason or a cause; the names of headers and cookies stand beside them.
 */
import type { Outcome, ShedReason } from '../types/index.js'

/** Why a request did not board. */
const BYPASS = Object.freeze([
  'method', 'credentials', 'connection-closed', 'request-body', 'range', 'head', 'upgrade', 'method-override', 'connection-header',
  'no-key', 'key-threw', 'no-identity', 'identity-threw', 'body-unknown', 'unshareable', 'disabled', 'max-flights', 'max-waiters',
  'max-waiters-per-key', 'request-no-store', 'only-if-cached', 'observed'
] as const)

/** Why nobody but its own client may have a response. */
const UNSHAREABLE = Object.freeze([
  'set-cookie', 'private', 'no-store', 'cache-control-malformed', 'vary-any', 'vary-malformed', 'status', 'trailers', 'event-stream',
  'authorization', 'too-large', 'hijacked', 'unrecorded', 'unknown-payload', 'reads-all-headers', 'varies-too-much', 'csp-nonce',
  'request-id', 'disabled'
] as const)

/** Why a run came to nothing. */
const ABANDONED = Object.freeze([
  'client-left', 'answered-elsewhere', 'cut-off', 'unheard', 'no-reply', 'hook-failed', 'handler-timeout', 'flight-timeout', 'failed'
] as const)

const SERVED = Object.freeze(['shared', 'failed'] as const)
const CACHED = Object.freeze(['stale-while-revalidate', 'stale-if-error', 'max-stale'] as const)

/** Why a run is refused to protect what is behind it. */
const REFUSED: readonly ShedReason[] = Object.freeze(['queue-full', 'queue-timeout', 'evicted', 'breaker-open', 'breaker-probing'])

export type UnshareableReason = typeof UNSHAREABLE[number]
export type AbandonedReason = typeof ABANDONED[number]
export type BypassReason = typeof BYPASS[number]
export type Reason = BypassReason | UnshareableReason | AbandonedReason | typeof SERVED[number] | typeof CACHED[number] |
  ShedReason | 'fallback' | 'fresh' | 'split' | 'peer-lost' | 'wait-timeout' | 'vary' | 'verified'

/** All reasons, by the outcomes that have them. */
export const REASONS: Readonly<Record<Outcome, readonly Reason[]>> = Object.freeze({
  bypass: BYPASS,
  leader: [...new Set<Reason>([...SERVED, 'split', ...UNSHAREABLE, ...ABANDONED])],
  follower: [...SERVED, 'client-left', 'wait-timeout', 'answered-elsewhere'],
  hit: ['fresh'],
  stale: [...CACHED, ...REFUSED],
  peer: SERVED,
  alone: [...new Set<Reason>([...UNSHAREABLE, ...ABANDONED, 'peer-lost', 'wait-timeout', 'vary', 'verified', 'range', 'head', 'unshareable', 'max-flights', 'max-waiters', 'max-waiters-per-key'])],
  shed: [...REFUSED, 'fallback']
})

/** Which credentials a request carries that its key says nothing of. */
export type CredentialCause = 'authorization' | 'cookie' | 'certificate' | 'other'

/** What the runs of a key split by. */
export type SplitCause = 'address' | 'cookie' | 'header' | 'query' | 'other'

export type Cause = CredentialCause | SplitCause | UnshareableReason

export function isUnshareableReason (value: unknown): value is UnshareableReason {
  return UNSHAREABLE.includes(value as UnshareableReason)
}

/** More of a reason: of `credentials` and `split` the kind and the names, of `unshareable` why the last response was. */
export interface Detail {
  readonly cause: Cause
  /** Names of headers or parameters, never their values. */
  readonly names: readonly string[]
}

const details = new Map<string, Detail>()

/** The detail of `unshareable`. */
export function detailOf (cause: UnshareableReason): Detail {
  return remembered(cause, cause, [])
}

/** The detail of `credentials`: those of a header that options name; undefined stands for a client's certificate. */
export function credentialDetail (header: string | undefined): Detail {
  if (header === undefined) return remembered('certificate', 'certificate', [])
  const isAuthorization = header === 'authorization' || header === 'proxy-authorization'
  return remembered(`header ${header}`, isAuthorization ? 'authorization' : header === 'cookie' ? 'cookie' : 'other', [header])
}

function remembered (key: string, cause: Cause, names: readonly string[]): Detail {
  let detail = details.get(key)
  if (detail === undefined) details.set(key, detail = Object.freeze({ cause, names: Object.freeze(names) }))
  return detail
}
