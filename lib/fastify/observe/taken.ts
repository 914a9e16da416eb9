/**
 * A response as its handler made it, taken before other hooks see it, to be compared.
 *
 * Invariant: what is taken is nobody else's, and is not larger than what may be shared.
 */
import type { FastifyReply } from 'fastify'
import { isFailure } from '../../http/failure.js'
import { combined } from '../../http/fields.js'
import { headerDelta, type HeaderDelta, type Headers } from '../../http/headers.js'
import { isInfrastructure } from '../../http/infrastructure-headers.js'
import { answersOneOnly } from '../../http/policy.js'
import { isLarger, snapshot, type Body } from '../../http/recording.js'
import type { SkipReason } from '../../observe/skip-reasons.js'
import { headersOf } from '../internals.js'

export interface Taken {
  readonly status: number
  readonly type: string | undefined
  /** What its handler has set of headers that may say more than of one reply. */
  readonly headers: string
  readonly body: Body
}

/**
 * Takes a response, or says why it cannot be compared.
 *
 * @param body undefined if it is a stream
 * @param before the reply's headers before the handler
 * @param failed its handler threw
 */
export function take (
  reply: FastifyReply, body: string | Uint8Array | null | undefined, before: Headers, failed: boolean, most: number
): Taken | SkipReason {
  const { statusCode: status } = reply
  // Neither says what a response to others would be.
  if (failed || isFailure(status)) return 'failed'
  if (answersOneOnly(status)) return 'unfinished'
  if (body === undefined) return 'stream'
  if (isLarger(body, most)) return 'too-large'
  return { status, ...textsOf(headerDelta(before, headersOf(reply))), body: snapshot(body) }
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
