/**
 * Why a response is not compared.
 *
 * Invariant: a closed set, fit for labels.
 */

/**
 * - `not-sampled`: it is not of the part that `rate` or `verify` asks for
 * - `budget`: comparing took its part of a core already
 * - `bytes`: there was no room to hold it until its client had read it, or it had to make room for others before anything was compared with it
 * - `too-large`: its body is larger than one response may be
 * - `stream`: its body is a stream
 * - `unfinished`: its run or its client ended before there was a whole response, it was written past Fastify, or it answers a condition or a range of its own request
 * - `failed`: its run failed, so that it says nothing of what others would be answered
 * - `busy`: with `verify`, its run would have had to wait for a slot, or would have been refused
 * - `clean-threw`: the option `clean` threw, or gave no text
 * - `error`: something else of comparing has failed
 */
export const SKIP_REASONS = Object.freeze([
  'not-sampled', 'budget', 'bytes', 'too-large', 'stream', 'unfinished', 'failed', 'busy', 'clean-threw', 'error'
] as const)

export type SkipReason = typeof SKIP_REASONS[number]
