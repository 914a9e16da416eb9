/**
 * A response as its handler made it, taken before other hooks see it, to be compared.
 *
 * Invariant: what is taken is nobody else's, is not larger than what may be shared or compared, and has its bytes of the room until they are given back.
 */
import type { FastifyReply } from 'fastify'
import { isFailure } from '../../http/failure.js'
import { combined } from '../../http/fields.js'
import { headerDelta, type HeaderDelta, type Headers } from '../../http/headers.js'
import { isInfrastructure } from '../../http/infrastructure-headers.js'
import { answersOneOnly } from '../../http/policy.js'
import { isLarger, snapshot, type Body } from '../../http/recording.js'
import type { Allowance } from '../../observe/allowance.js'
import type { SkipReason } from '../../observe/skip-reasons.js'
import { headersOf } from '../internals.js'

export interface Taken {
  readonly status: number
  readonly type: string | undefined
  /** What its handler has set of headers that may say more than of one reply. */
  readonly headers: string
  readonly body: Body
}

/** A response as it was made. */
export interface Made {
  readonly reply: FastifyReply
  readonly status: number
  /** Undefined if it is a stream. */
  readonly body: string | Uint8Array | null | undefined
  /** The reply's headers before the handler. */
  readonly before: Headers
  /** Its handler threw. */
  readonly failed: boolean
}

/** What may be taken. */
export interface Limits {
  readonly maxBodyBytes: number
  readonly allowance: Pick<Allowance, 'largest' | 'waiting'>
}

/** Takes a response, or says why it cannot be compared. Whoever takes one gives it back. */
export function take ({ reply, status, body, before, failed }: Made, { allowance, maxBodyBytes }: Limits): Taken | SkipReason {
  // Neither says what a response to others would be.
  if (failed || isFailure(status)) return 'failed'
  if (answersOneOnly(status)) return 'unfinished'
  if (body === undefined) return 'stream'
  if (isLarger(body, Math.min(maxBodyBytes, allowance.largest))) return 'too-large'
  // A client that reads slowly holds it for as long as it likes.
  if (!allowance.waiting.take(lengthOf(body))) return 'bytes'
  return { status, ...textsOf(headerDelta(before, headersOf(reply))), body: snapshot(body) }
}

/** It is held no more. */
export function giveBack (taken: Taken | SkipReason | undefined, { waiting }: Pick<Allowance, 'waiting'>): void {
  if (typeof taken === 'object') waiting.give(lengthOf(taken.body))
}

function lengthOf (body: string | Uint8Array | null): number {
  return body === null ? 0 : body.length
}

/** Those of one reply: when and how fast it was made, how many more a client may ask for. A difference in the rest shows in the body. */
const OF_ONE_REPLY: ReadonlySet<string> = new Set([
  'content-type', 'content-length', 'date', 'age', 'etag', 'expires', 'last-modified', 'retry-after', 'server-timing', 'x-response-time', 'x-runtime'
])

/** The headers of a response, as they are compared. */
export function textsOf ({ set }: Pick<HeaderDelta, 'set'>): Pick<Taken, 'type' | 'headers'> {
  let type: string | undefined
  const lines: string[] = []
  for (const [name, value] of set) {
    if (name === 'content-type') type = combined(value)
    if (OF_ONE_REPLY.has(name) || isInfrastructure(name) || name.includes('ratelimit') || name.includes('rate-limit')) continue
    lines.push(`${name}: ${combined(value)}`)
  }
  return { type, headers: lines.sort().join('\n') }
}
