/**
 * A response as its handler made it, taken before other hooks see it, to be compared.
 *
 * Invariant: what is taken is nobody else's, and is not larger than what may be shared.
 */
import type { FastifyReply } from 'fastify'
import { isFailure } from '../../http/failure.js'
import { combined } from '../../http/fields.js'
import type { HeaderValue } from '../../http/headers.js'
import { answersOneOnly } from '../../http/policy.js'
import { isLarger, snapshot, type Body } from '../../http/recording.js'
import type { SkipReason } from '../../observe/skip-reasons.js'
import { headersOf } from '../internals.js'

export interface Taken {
  readonly status: number
  readonly type: string | undefined
  readonly body: Body
}

/**
 * Takes a response, or says why it cannot be compared.
 *
 * @param body undefined if it is a stream
 * @param failed its handler threw
 */
export function take (reply: FastifyReply, body: string | Uint8Array | null | undefined, failed: boolean, most: number): Taken | SkipReason {
  const { statusCode: status } = reply
  // Neither says what a response to others would be.
  if (failed || isFailure(status)) return 'failed'
  if (answersOneOnly(status)) return 'unfinished'
  if (body === undefined) return 'stream'
  return isLarger(body, most) ? 'too-large' : { status, type: typeOf(headersOf(reply)['content-type']), body: snapshot(body) }
}

export function typeOf (value: HeaderValue | undefined): string | undefined {
  return value === undefined ? undefined : combined(value)
}
